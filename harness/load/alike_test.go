package load

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What an event says does not hang on which event came before it.
func TestAnEventIsReadTheSameAfterAnyOther(t *testing.T) {
	var events []string
	for _, s := range shapes {
		at := strings.Index(s, ` the"`)
		if at < 0 {
			at = strings.Index(s, `\ufffd`)
		}
		end := at + strings.Index(s[at:], `",`)
		for _, text := range []string{" the", "x", "", `\"`, `\\`, `\u00e9`, `\ud83d\ude00`, "é", "\xff", `a"`, `a\`, `\x`, "\n", `a","text":"b`,
			`a","finish_reason":"length`, `a"}],"error":{"message":"x"},"b":[{"c":"`} {
			events = append(events, s[:at]+text+s[end:])
		}
		for _, cut := range []int{at, end, end + 1, len(s) - 1} {
			events = append(events, s[:cut])
		}
		events = append(events, s, s+" ", s+"x", strings.Replace(s, `"finish_reason":null`, `"finish_reason":"stop"`, 1),
			strings.Replace(s, `"usage":null`, `"usage":{"prompt_tokens":1,"completion_tokens":2}`, 1))
	}
	events = append(events,
		`{"choices":[{"delta":{"role":"assistant","content":"a"}}]}`, `{"choices":[{"delta":{"role":"","content":"a"}}]}`,
		`{"choices":[{"delta":{"content":"","reasoning_content":"a"}}]}`, `{"choices":[{"delta":{"content":"b","reasoning_content":"a"}}]}`,
		`{"choices":[{"text":["a"]}]}`, `{"choices":[{"text":"a"},{"text":"b"}]}`, `{"choices":[{"text":""},{"text":"b"}]}`,
		`{"error":"a","choices":[{"text":"a"}]}`, `{"choices":[{"text":"a"}],"sglext":{"cached_tokens_details":{"device":1}}}`)
	for _, before := range events {
		for _, data := range events {
			var a alike
			_, _ = a.parse([]byte(before))
			learned := a.before != nil
			got, gotErr := a.parse([]byte(data))
			want, wantErr := slowChunk([]byte(data))
			require.Equal(t, wantErr, gotErr, "%s\nafter %s", data, before)
			require.Equal(t, want, got, "%s\nafter %s (learned: %v)", data, before, learned)
		}
	}
}

// Each of a stream's tokens is recognised after the first, in every engine's shape.
func TestTokensAreRecognised(t *testing.T) {
	for name, s := range shapes {
		var a alike
		_, err := a.parse([]byte(s))
		require.NoError(t, err)
		assert.True(t, a.is([]byte(strings.Replace(s, " the", `\n`, 1))), name)
		assert.False(t, a.is([]byte(strings.Replace(s, "1764082800", "1764082801", 1))), name)
	}
}

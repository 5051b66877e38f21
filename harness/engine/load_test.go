package engine

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// streamed is the text of an answer's events.
func streamed(t *testing.T, e *Engine, prompt string, tokens int, stream bool) string {
	body := fmt.Sprintf(`{"prompt":%q,"max_tokens":%d,"temperature":0,"ignore_eos":true,"stream":%v}`, prompt, tokens, stream)
	resp, err := http.Post(e.URL()+"/v1/completions", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	var text strings.Builder
	for part := range strings.SplitSeq(string(b), `"text":"`) {
		if i := strings.Index(part, `","logprobs"`); i >= 0 {
			text.WriteString(part[:i])
		}
	}
	return text.String()
}

// What goes wrong under load alone is right for one request, and for requests
// that are not streamed, whatever is beside them.
func TestFaultsUnderLoad(t *testing.T) {
	const tokens = 2000
	prompts := []string{"The scheduler", "A cache of the "}
	together := func(e *Engine, stream bool) []string {
		out := make([]string, len(prompts))
		var all sync.WaitGroup
		for i, p := range prompts {
			all.Go(func() { out[i] = streamed(t, e, p, tokens, stream) })
		}
		all.Wait()
		return out
	}
	sound := start(t, Config{})
	right := together(sound, true)
	for i, p := range prompts {
		require.Equal(t, right[i], streamed(t, sound, p, tokens, true), "the engine repeats itself")
	}
	for _, fault := range []string{"noise-under-load", "noise-under-load:noise=1.5", "cache-under-load:after=100"} {
		e := start(t, Config{Faults: fault})
		for i, p := range prompts {
			assert.Equal(t, right[i], streamed(t, e, p, tokens, true), fault+": alone")
		}
		assert.Equal(t, right, together(e, false), fault+": not streamed")
		assert.NotEqual(t, right, together(e, true), fault)
	}
}

// Only requests of the same salt share entries of the prefix cache.
func TestCacheSalts(t *testing.T) {
	prompt := strings.Repeat("all of this is the same. ", 20)
	for path, body := range map[string]string{
		"/v1/completions":      fmt.Sprintf(`{"prompt":%q,"max_tokens":1,"temperature":0`, prompt),
		"/v1/chat/completions": fmt.Sprintf(`{"messages":[{"role":"user","content":%q}],"max_tokens":1,"temperature":0`, prompt),
		"/generate":            fmt.Sprintf(`{"text":%q,"sampling_params":{"max_new_tokens":1,"temperature":0}`, prompt),
	} {
		e := start(t, Config{})
		found := func(salt string) bool {
			status, answer := post(t, e.URL()+path, body+salt+"}")
			require.Equal(t, 200, status, answer)
			return !strings.Contains(answer, `"cached_tokens":0`)
		}
		assert.False(t, found(""), path)
		assert.True(t, found(""), path)
		for _, salt := range []string{`,"cache_salt":"a"`, `,"extra_key":"a"`, `,"extra_key":["b","a"]`, `,"cache_salt":"a","extra_key":"a"`} {
			assert.False(t, found(salt), path+salt)
			assert.True(t, found(salt), path+salt)
		}
		status, answer := post(t, e.URL()+path, body+`,"cache_salt":""}`)
		assert.Equal(t, 400, status)
		assert.Contains(t, answer, "non-empty string")
		status, answer = post(t, e.URL()+path, body+`,"cache_salt":"a/b"}`)
		assert.Equal(t, 400, status)
		assert.Contains(t, answer, "must not contain '@', '/'")
	}
}

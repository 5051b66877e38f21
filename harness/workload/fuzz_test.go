package workload

import (
	"bytes"
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever a file of prompts or a trace holds, reading it ends in one line or
// in requests that can be sent, in memory that follows the file's size.
func FuzzDataset(f *testing.F) {
	f.Add([]byte("{\"prompt\":\"a\",\"output_len\":3}\n\n{\"prompt\":[1,2,3],\"max_tokens\":2}\n{\"messages\":[{\"role\":\"user\",\"content\":\"x\"}]}"), false, false)
	f.Add([]byte("{\"timestamp\":27482,\"input_length\":6955,\"output_length\":52,\"hash_ids\":[46,47]}\n{\"timestamp\":0,\"input_length\":1,\"output_length\":1}"), false, true)
	f.Add([]byte("{\"input_length\":2147483647}\n{\"input_length\":-1}\n{\"timestamp\":1e308,\"prompt\":\"a\"}\nnot json\n"), false, true)
	f.Add([]byte(`[{"conversations":[{"from":"human","value":"hello there you"},{"from":"gpt","value":"and you, too"}]},{"conversations":[]},{"id":1}]`), true, false)
	f.Add([]byte(`[{"conversations":3},`), true, false)
	count := func(_ context.Context, text string) (int, error) { return len(strings.Fields(text)) + 1, nil }
	f.Fuzz(func(t *testing.T, file []byte, shareGPT, trace bool) {
		s := Spec{Kind: JSONL, Path: "f", N: 5, ISL: 8, OSL: 4, RangeRatio: 1, Seed: 1, WarmUp: 2, Vocab: 256, Trace: trace, Count: count}
		read := readJSONL
		if shareGPT {
			s.Kind, s.Trace, read = ShareGPT, false, readShareGPT
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		src, notes, err := read(t.Context(), bytes.NewReader(file), s)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(256<<20), "a file of %d bytes", len(file))
		for _, n := range notes {
			require.NotContains(t, n, "\n")
		}
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		for i := -s.WarmUp; i < min(src.Len(), 20); i++ {
			r, err := src.Request(i)
			require.NoError(t, err)
			require.Positive(t, r.OutputLen)
			require.GreaterOrEqual(t, r.At, r.At*0)
			require.True(t, r.Text != "" || len(r.Tokens) > 0 || r.Messages != nil)
		}
	})
}

func FuzzParseRow(f *testing.F) {
	for _, s := range []string{`{"prompt":"a"}`, `{"prompt":[1],"output_len":2}`, `{"input_length":5,"hash_ids":[1],"timestamp":1}`, `{"messages":[{}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := parseRow(line, 1, Spec{OSL: 1, Trace: true, Vocab: 256, MaxLen: 1 << 16})
		if err == nil && (r.OutputLen < 1 || r.At < 0 || r.Text == "" && len(r.Tokens) == 0 && r.Messages == nil) {
			t.Fatalf("%q made %+v", line, r)
		}
	})
}

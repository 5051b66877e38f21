package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/server"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// Of canaries, and of them alone, the beginning is kept; they are greedy and have
// a salt, and the others are sent as if there were none.
func TestCanariesAreKept(t *testing.T) {
	var mu sync.Mutex
	bodies := map[string]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		var a struct{ Prompt string }
		json.Unmarshal(b, &a)
		mu.Lock()
		bodies[a.Prompt] = string(b)
		mu.Unlock()
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 300 {
			fmt.Fprintf(w, "data: {\"choices\":[{\"text\":\"%s%d \"}]}\n\n", a.Prompt, i)
		}
		fmt.Fprint(w, "data: {\"choices\":[{\"text\":\"\",\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n")
	}))
	defer s.Close()
	tg := server.New(s.URL, "m", "", nil)
	tg.Dialect = server.VLLM
	var src requests
	for i := range 6 {
		src = append(src, workload.Request{Text: fmt.Sprintf("p%d", i), OutputLen: 300})
	}
	plain := requests(append([]workload.Request{}, src...))
	src[2].Canary = &workload.Canary{Salt: "x"}
	src[4].Canary = &workload.Canary{Salt: "y", Logprobs: true, Apart: true}
	o := Options{Conc: 3, Temperature: 0.7, ExtraBody: map[string]json.RawMessage{"top_p": json.RawMessage("0.9")}}
	_, err := Run(context.Background(), tg, plain, o)
	require.NoError(t, err)
	before := bodies
	bodies = map[string]string{}
	rec, err := Run(context.Background(), tg, src, o)
	require.NoError(t, err)

	require.Len(t, rec.Answers, 2)
	for k, i := range []int{2, 4} {
		assert.Equal(t, i, rec.Answers[k].Index)
		assert.Len(t, rec.Answers[k].Pieces, keptEvents)
		assert.True(t, strings.HasPrefix(rec.Answers[k].Text(), fmt.Sprintf("p%d0 p%d1 ", i, i)))
	}
	for i := range src {
		p := fmt.Sprintf("p%d", i)
		if src[i].Canary == nil {
			assert.Equal(t, before[p], bodies[p])
		}
	}
	assert.JSONEq(t, `{"model":"m","prompt":"p2","max_tokens":300,"cache_salt":"x","temperature":0,"top_p":0.9,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`, bodies["p2"])
	assert.JSONEq(t, `{"model":"m","prompt":"p4","max_tokens":300,"cache_salt":"y","logprobs":5,"temperature":0,"top_p":0.9,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`, bodies["p4"])

	sum := rec.Summary(1)
	assert.Equal(t, 6, sum.Successful)
	assert.Len(t, stats.Timed(rec.Timings), 5, "request 4 is apart")
}

// What the servers' events say of text and of the likeliest tokens.
func TestPiecesOfAnEvent(t *testing.T) {
	top := func(text string, lp float64) stats.Likely { return stats.Likely{Text: text, Logprob: lp} }
	for name, c := range map[string]struct {
		event string
		want  []stats.Piece
	}{
		"completions": {`{"choices":[{"text":" the"}]}`, []stats.Piece{{Text: " the"}}},
		"with log-probabilities": {`{"choices":[{"text":" the","logprobs":{"tokens":[" the"],"token_logprobs":[-0.5],"top_logprobs":[{" the":-0.5," a":-1.25}]}}]}`,
			[]stats.Piece{{Text: " the", Top: []stats.Likely{top(" the", -0.5), top(" the", -0.5), top(" a", -1.25)}}}},
		"of several tokens": {`{"choices":[{"text":"ab","logprobs":{"tokens":["a","b"],"token_logprobs":[-1,-2],"top_logprobs":[null,{"b":-2}]}}]}`,
			[]stats.Piece{{Text: "a", Top: []stats.Likely{top("a", -1)}}, {Text: "b", Top: []stats.Likely{top("b", -2), top("b", -2)}}}},
		"whose texts are not told apart": {`{"choices":[{"text":"é","logprobs":{"tokens":["\\xc3","\\xa9"],"token_logprobs":[-1,-2]}}]}`, []stats.Piece{{Text: "é"}}},
		"a token without text yet":       {`{"choices":[{"text":"","logprobs":{"tokens":["\ufffd"],"token_logprobs":[-1]}}]}`, []stats.Piece{{Top: []stats.Likely{top("\ufffd", -1)}}}},
		"chat": {`{"choices":[{"delta":{"content":"x"},"logprobs":{"content":[{"token":"x","logprob":-0.1,"top_logprobs":[{"token":"x","logprob":-0.1},{"token":"y","logprob":-3}]}]}}]}`,
			[]stats.Piece{{Text: "x", Top: []stats.Likely{top("x", -0.1), top("x", -0.1), top("y", -3)}}}},
		"reasoning":     {`{"choices":[{"delta":{"reasoning":"hm","reasoning_content":"hm","content":null}}]}`, []stats.Piece{{Text: "hm"}}},
		"the role":      {`{"choices":[{"delta":{"role":"assistant","content":""}}]}`, nil},
		"only the end":  {`{"choices":[{"text":"","finish_reason":"length","logprobs":null}]}`, nil},
		"without a key": {`{"choices":[{}]}`, nil},
	} {
		assert.Equal(t, c.want, pieces([]byte(c.event)), name)
	}
}

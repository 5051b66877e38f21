package server

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// answer is a server that says the same to everything, without a socket: a
// fuzzer needs the speed.
type answer struct {
	status int
	body   []byte
}

func (a answer) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: a.status, Header: http.Header{"Retry-After": {string(a.body)}},
		Body: io.NopCloser(strings.NewReader(string(a.body))), Request: r}, nil
}

// Whatever a server answers to the questions that are asked before a run,
// waiting ends, in a target or in one line.
func FuzzServerAnswer(f *testing.F) {
	for _, s := range []string{
		twoModels, `{"data":[]}`, `{"data":null}`, `[]`, `{"data":[{"id":"A","max_model_len":-1,"meta":{"n_vocab":1e99}}]}`,
		`{"error":{"message":"too long"}}`, `{"detail":[{"loc":["body"]}]}`, `{"error":"x"}`, "<html>502</html>", "\x00\xff", "",
	} {
		f.Add(200, []byte(s))
		f.Add(503, []byte(s))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 || status/100 == 3 {
			return
		}
		tg := New("http://server", "", "k3y-that-nobody-sees", &http.Client{Transport: answer{status, body}})
		err := tg.Wait(context.Background(), WaitOptions{Timeout: time.Nanosecond, Every: time.Nanosecond})
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.NotEmpty(t, tg.Model)
		require.GreaterOrEqual(t, tg.MaxLen, 0)
		require.GreaterOrEqual(t, tg.Vocab, 0)
	})
}

// Whatever a server answers to a scoring request, what comes of it is an error
// in one line, or as many finite log-probabilities as were asked for.
func FuzzScoringAnswer(f *testing.F) {
	for _, s := range []string{
		`{"choices":[{"text":"ab","logprobs":{"tokens":["a","b","c","d"],"token_logprobs":[null,-1.5,-2.5,-0.5],"top_logprobs":[null,{"b":-1.5},{"c":-2},{"d":-0.5}]}}],"usage":{"completion_tokens":1}}`,
		`{"meta_info":{"input_token_logprobs":[[null,1,"a"],[-1.5,2,null],[-2.5,3]],"input_top_logprobs":[null,[[-1,2,"b"]],[[-2,3,"c"]]],"output_token_logprobs":[[-0.5,4,"d"]]}}`,
		`{"choices":[{"logprobs":{"content":[{"id":5,"logprob":-1},{"logprob":NaN}]}}]}`,
		`{"choices":[{"token_ids":[1,2],"logprobs":{"token_logprobs":[-1,-9999]}}]}`,
		`{"tokens":[1,2,3]}`, `{"tokens":[[1,2]]}`, `{}`, `{"choices":[]}`, `{"choices":[{"logprobs":null}]}`, "NaN", "\xff",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		once := Retry{Tries: 1, Each: time.Minute, Within: time.Minute}
		for _, d := range Dialects {
			tg := New("http://server", "m", "k3y-that-nobody-sees", &http.Client{Transport: answer{200, body}})
			tg.Dialect = d
			_, err := tg.Tokenize(t.Context(), once, "text", false)
			check(t, err)
			_, err = tg.Prefix(t.Context(), once)
			check(t, err)
			for _, w := range d.ways() {
				s := tg.scorer(w, once)
				scored, err := s.ScoreBest(t.Context(), []int32{1, 2, 3}, 1)
				if check(t, err) {
					require.Len(t, scored, 2)
					for _, sc := range scored {
						require.True(t, sc.Logprob <= 1e-6 && sc.Logprob > -9999 && sc.Best >= sc.Logprob)
					}
				}
				c, err := s.Greedy(t.Context(), []int32{1, 2, 3}, 2)
				if check(t, err) {
					require.Len(t, c.IDs, 2)
					require.Len(t, c.Logprobs, 2)
				}
			}
		}
	})
}

func check(t *testing.T, err error) bool {
	t.Helper()
	if err != nil {
		require.NotContains(t, err.Error(), "\n")
		require.NotContains(t, err.Error(), "k3y-that-nobody-sees")
	}
	return err == nil
}

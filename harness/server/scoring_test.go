package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// script answers each path with its answers in turn, the last one for ever.
// An answer is a status, perhaps a Retry-After in seconds, and a body: "429/1 busy".
func script(t *testing.T, answers map[string][]string) (*Server, map[string][]string) {
	asked := map[string][]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked[r.URL.Path] = append(asked[r.URL.Path], string(b))
		list := answers[r.URL.Path]
		if len(list) == 0 {
			http.NotFound(w, r)
			return
		}
		status, body, _ := strings.Cut(list[min(len(asked[r.URL.Path]), len(list))-1], " ")
		status, after, _ := strings.Cut(status, "/")
		if after != "" {
			w.Header().Set("Retry-After", after)
		}
		code := 0
		fmt.Sscan(status, &code)
		w.WriteHeader(code)
		fmt.Fprint(w, body)
	}))
	t.Cleanup(s.Close)
	return New(s.URL, "m", "", nil), asked
}

var hasty = Retry{Tries: 3, First: time.Millisecond, Longest: time.Millisecond}

// scorerAt asks a path in its way, untried.
func scorerAt(t *testing.T, tg *Server, path string, r Retry) *Scorer {
	t.Helper()
	for _, w := range OpenAI.Ways {
		if w.Path == path {
			return tg.scorer(w, r)
		}
	}
	t.Fatalf("no way of scoring asks %s", path)
	return nil
}

func TestPostRetry(t *testing.T) {
	for name, c := range map[string]struct {
		answers []string
		tries   int
		err     string
	}{
		"busy, then well":        {[]string{"429 x", "503 x", "200 {}"}, 3, ""},
		"never well":             {[]string{"500 broken"}, 3, "HTTP 500: broken (tried 3 times)"},
		"a request that is bad":  {[]string{"400 bad"}, 1, "HTTP 400: bad"},
		"not implemented":        {[]string{"501 no"}, 1, "HTTP 501: no"},
		"slow, or too early":     {[]string{"408 x", "425 x", "200 {}"}, 3, ""},
		"a gateway's troubles":   {[]string{"502 x", "504 x", "200 {}"}, 3, ""},
		"refused with a 500":     {[]string{"500 echo is not supported"}, 1, "HTTP 500: echo is not supported"},
		"a NaN, which stays":     {[]string{"500 Out of range float values are not JSON compliant"}, 1, "HTTP 500"},
		"its fault, twice alike": {[]string{`500 {"error":{"message":"litellm.BadRequestError: prompt must be a string"}}`}, 2, "prompt must be a string (tried 2 times)"},
		"its fault by a 429":     {[]string{"429 Request too large for the model"}, 2, "Request too large for the model (tried 2 times)"},
		"its fault, in passing":  {[]string{"502 invalid answer from upstream", "200 {}"}, 2, ""},
		"its fault, each other":  {[]string{"500 expected one", "500 expected two", "500 expected three"}, 3, "(tried 3 times)"},
		"not JSON":               {[]string{"200 <html>"}, 1, "read the answer"},
		"bad at the last":        {[]string{"503 x", "503 x", "400 bad"}, 3, "HTTP 400: bad (tried 3 times)"},
	} {
		t.Run(name, func(t *testing.T) {
			tg, asked := script(t, map[string][]string{"/x": c.answers})
			var out map[string]any
			err := tg.PostRetry(context.Background(), hasty, "/x", map[string]int{"a": 1}, &out)
			assert.Len(t, asked["/x"], c.tries)
			if c.err == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.err)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

// The server's own waiting time goes before ours, and never past the limit.
func TestPostRetryHonoursRetryAfterAndItsLimits(t *testing.T) {
	tg, asked := script(t, map[string][]string{"/x": {"429/1 later", "200 {}"}})
	begin := time.Now()
	require.NoError(t, tg.PostRetry(context.Background(), hasty, "/x", nil, nil))
	assert.GreaterOrEqual(t, time.Since(begin), time.Second)
	assert.Len(t, asked["/x"], 2)

	tg, asked = script(t, map[string][]string{"/x": {"429/3600 later"}})
	err := tg.PostRetry(context.Background(), Retry{Within: time.Second}, "/x", nil, nil)
	require.ErrorContains(t, err, "HTTP 429: later")
	assert.Len(t, asked["/x"], 1, "an hour is more than there is")

	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	tg, _ = script(t, map[string][]string{"/x": {"429/3600 later"}})
	err = tg.PostRetry(ctx, Retry{Within: 2 * time.Hour}, "/x", nil, nil)
	assert.ErrorIs(t, err, context.Canceled)
}

// An answer that is no answer is not scored: an error that came as HTTP 200, and a text
// that the server gave up.
func TestAnswersThatAreNone(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"an error as 200":          {`{"error":{"message":"the KV cache is full","type":"x"}}`, "HTTP 200, but the server says: the KV cache is full"},
		"an error in few words":    {`{"error":"engine busy"}`, "the server says: engine busy"},
		"an older error":           {`{"object":"error","message":"no such adapter","code":404}`, "the server says: no such adapter"},
		"no error":                 {`{"error":null,"choices":[{"text":"7","message":{"content":"7"},"finish_reason":"stop"}]}`, ""},
		"no error, but the key":    {`{"error":{},"choices":[{"text":"7","message":{"content":"7"},"finish_reason":"length"}]}`, ""},
		"given up":                 {`{"choices":[{"text":"","message":{"content":""},"finish_reason":"abort"}]}`, `gave the answer up: finish_reason "abort"`},
		"given up, in other words": {`{"choices":[{"text":"","message":{"content":""},"finish_reason":"Timed_out"}]}`, `gave the answer up: finish_reason "Timed_out"`},
	} {
		t.Run(name, func(t *testing.T) {
			tg, asked := script(t, map[string][]string{"/v1/completions": {"200 " + c.answer}, "/v1/chat/completions": {"200 " + c.answer}})
			text, completed := tg.Complete(t.Context(), hasty, Prompt{Text: "3+4"}, 8, nil)
			chat, answered := tg.Ask(t.Context(), hasty, []Message{{"user", "3+4"}}, 8, nil, nil)
			if c.want == "" {
				require.NoError(t, completed)
				require.NoError(t, answered)
				assert.Equal(t, "7", text)
				assert.Equal(t, "7", chat.Text)
				return
			}
			assert.ErrorContains(t, completed, c.want)
			assert.ErrorContains(t, answered, c.want)
			assert.Len(t, asked["/v1/completions"], 1, "nobody says that asking again may help")
		})
	}
}

// One answer that never comes takes one try's time, not all of it.
func TestATryThatHangsIsGivenUp(t *testing.T) {
	hung := make(chan struct{}, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that the client left
		select {
		case hung <- struct{}{}:
			<-r.Context().Done()
		default:
			fmt.Fprint(w, "{}")
		}
	}))
	defer s.Close()
	err := New(s.URL, "m", "", nil).PostRetry(context.Background(), Retry{Tries: 50, First: time.Millisecond, Longest: time.Millisecond, Each: 200 * time.Millisecond}, "/x", nil, nil)
	assert.NoError(t, err)
}

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	assert.Equal(t, 2*time.Second, RetryAfter("2"))
	assert.Equal(t, 1500*time.Millisecond, RetryAfter("1.5"))
	in := RetryAfter(time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
	assert.InDelta(t, time.Hour, in, float64(time.Minute))
	for _, v := range []string{"", "0", "-3", "soon", "NaN", "2s", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)} {
		assert.Zero(t, RetryAfter(v), v)
	}
}

func TestEveryRefusalHasItsName(t *testing.T) {
	for answer, want := range map[string]error{
		`400 {"error":{"message":"This model's maximum context length is 128 tokens"}}`:             ErrTooLong,
		`400 {"error":{"message":"max_tokens must be at least 2"}}`:                                 ErrMaxTokensRefused,
		`422 {"detail":"max_new_tokens: no"}`:                                                       ErrMaxTokensRefused,
		`500 ValueError: Out of range float values are not JSON compliant`:                          ErrNotFinite,
		`200 {"choices":[{"logprobs":{"token_logprobs":[null,NaN,-1]}}]}`:                           ErrNotFinite,
		`200 {"choices":[{"logprobs":{"token_logprobs":[null,-Infinity,-1]}}]}`:                     ErrNotFinite,
		`200 {"choices":[{"logprobs":{"token_logprobs":[null,null,-1]}}]}`:                          ErrNullLogprob,
		`200 {"choices":[{"logprobs":{"token_logprobs":[null,-9999.0,-1]}}]}`:                       ErrNotFinite,
		`200 {"choices":[{"logprobs":{"token_logprobs":[null,0.5,-1]}}]}`:                           ErrPositive,
		`200 {"choices":[{"logprobs":{"token_logprobs":[null,"x",-1]}}]}`:                           ErrNoPromptLogprobs,
		`200 {"choices":[{"logprobs":null}]}`:                                                       ErrNoPromptLogprobs,
		`200 {"choices":[]}`:                                                                        ErrNoPromptLogprobs,
		`200 {"choices":[{"logprobs":{"token_logprobs":[null]}}],"usage":{"completion_tokens":-1}}`: ErrNoPromptLogprobs,
		`200 {"choices":[{"logprobs":{"content":[{"id":5,"logprob":-1}]}}]}`:                        ErrNoPromptLogprobs,
	} {
		tg, _ := script(t, map[string][]string{"/v1/completions": {answer}})
		s := scorerAt(t, tg, "/v1/completions", hasty)
		_, err := s.Score(context.Background(), []int32{1, 2}, 1)
		assert.ErrorIs(t, err, want, answer)
		_, err = tg.Scorer(context.Background(), []int32{1, 2}, hasty)
		assert.ErrorIs(t, err, ErrCannotScore)
		assert.ErrorIs(t, err, want, "the reason is there too")
	}
	for answer, want := range map[string]error{
		`200 {"meta_info":{"input_token_logprobs":[[null,1,null],[-1,3,null]]}}`:   ErrOtherTokens,
		`200 {"meta_info":{"input_token_logprobs":[[null,1,null],[null,2,null]]}}`: ErrNullLogprob,
		`200 {"meta_info":{"input_token_logprobs":[[null,1,null]]}}`:               ErrNoPromptLogprobs,
		`200 {"meta_info":{"input_token_logprobs":[1,2]}}`:                         ErrNoPromptLogprobs,
		`200 {"text":"x"}`: ErrNoPromptLogprobs,
	} {
		tg, _ := script(t, map[string][]string{"/generate": {answer}})
		s := scorerAt(t, tg, "/generate", hasty)
		_, err := s.Score(context.Background(), []int32{1, 2}, 1)
		assert.ErrorIs(t, err, want, answer)
	}
}

const (
	echoed    = `200 {"choices":[{"logprobs":{"token_logprobs":[null,-1,-2],"top_logprobs":[null,{"a":-1,"b":-0.5},{"c":-2}]}}],"usage":{"completion_tokens":1}}`
	generated = `200 {"meta_info":{"input_token_logprobs":[[null,1,null],[-1,2,null]],"input_top_logprobs":[null,[[-0.5,7,null]]]}}`
)

func TestScorerAsksTheServerWhichWayWorks(t *testing.T) {
	for name, c := range map[string]struct {
		dialect *Dialect
		answers map[string][]string
		want    string
	}{
		"both":                      {VLLM, map[string][]string{"/v1/completions": {echoed}, "/generate": {generated}}, "/v1/completions"},
		"both, on SGLang":           {SGLang, map[string][]string{"/v1/completions": {echoed}, "/generate": {generated}}, "/generate"},
		"SGLang behind a router":    {OpenAI, map[string][]string{"/v1/completions": {"400 echo is not for logprobs"}, "/generate": {generated}}, "/generate"},
		"SGLang without /generate":  {SGLang, map[string][]string{"/v1/completions": {echoed}}, "/v1/completions"},
		"one token to generate, no": {VLLM, map[string][]string{"/v1/completions": {"400 max_tokens must be 0", `200 {"choices":[{"logprobs":{"token_logprobs":[null,-1]}}]}`}}, "/v1/completions"},
	} {
		t.Run(name, func(t *testing.T) {
			tg, asked := script(t, c.answers)
			tg.Dialect = c.dialect
			s, err := tg.Scorer(context.Background(), []int32{1, 2}, hasty)
			require.NoError(t, err)
			assert.Equal(t, c.want, s.Path)
			lps, err := s.Score(context.Background(), []int32{1, 2}, 1)
			require.NoError(t, err)
			assert.Equal(t, []float64{-1}, lps)
			if strings.HasPrefix(name, "both") {
				best, err := s.ScoreBest(context.Background(), []int32{1, 2}, 1)
				require.NoError(t, err)
				assert.Equal(t, []Scored{{Logprob: -1, Best: -0.5}}, best)
				assert.False(t, best[0].Greedy())
			}
			var body map[string]any
			require.NoError(t, json.Unmarshal([]byte(asked[c.want][0]), &body))
			assert.NotContains(t, body, "stream")
		})
	}
}

// The likeliest tokens must be told for every token, or they are of others.
func TestAlternativesAreToldForEveryToken(t *testing.T) {
	for path, answer := range map[string]string{
		"/v1/completions": `200 {"choices":[{"logprobs":{"token_logprobs":[null,-1,-2],"top_logprobs":[{"a":-1},{"c":-2}]}}]}`,
		"/generate":       `200 {"meta_info":{"input_token_logprobs":[[null,1,null],[-1,2,null]],"input_top_logprobs":[[[-0.5,7,null]]]}}`,
	} {
		tg, _ := script(t, map[string][]string{path: {answer}})
		s := scorerAt(t, tg, path, hasty)
		_, err := s.ScoreBest(context.Background(), []int32{1, 2}, 1)
		assert.ErrorIs(t, err, ErrNoPromptLogprobs)
		_, err = s.Score(context.Background(), []int32{1, 2}, 1)
		assert.NoError(t, err, "where they are not asked for they do not matter")
	}
}

func TestTokenizeKnowsTheShapesOfServers(t *testing.T) {
	for name, c := range map[string]struct {
		dialect      *Dialect
		answer, sent string
	}{
		"vLLM":                   {VLLM, `200 {"count":2,"max_model_len":9,"tokens":[5,6],"token_strs":null}`, `"prompt":"x"`},
		"SGLang":                 {SGLang, `200 {"tokens":[5,6],"count":2,"max_model_len":9}`, `"add_special_tokens":false`},
		"SGLang, as for a batch": {SGLang, `200 {"tokens":[[5,6]],"count":[2]}`, `"prompt":"x"`},
		"llama.cpp":              {LlamaCpp, `200 {"tokens":[5,6]}`, `"content":"x"`},
	} {
		t.Run(name, func(t *testing.T) {
			tg, asked := script(t, map[string][]string{"/tokenize": {c.answer}})
			tg.Dialect = c.dialect
			ids, err := tg.Tokenize(context.Background(), hasty, "x", false)
			require.NoError(t, err)
			assert.Equal(t, []int32{5, 6}, ids)
			assert.Contains(t, asked["/tokenize"][0], c.sent)
		})
	}
	for _, answer := range []string{"404 x", "405 x", "501 x", `200 {"tokens":"abc"}`, `200 {"tokens":[1.5]}`, `200 {"tokens":[-1]}`, "200 {}"} {
		tg, _ := script(t, map[string][]string{"/tokenize": {answer}})
		_, err := tg.Tokenize(context.Background(), hasty, "x", false)
		assert.ErrorIs(t, err, ErrNoTokenizer, answer)
	}
}

func TestPrefixIsNeverGuessed(t *testing.T) {
	for name, c := range map[string]struct {
		answers map[string][]string
		want    int32
		err     error
	}{
		"BOS by name":         {map[string][]string{"/tokenizer_info": {`200 {"bos_token":"<s>","eos_token":"</s>"}`}, "/tokenize": {`200 {"tokens":[1]}`}}, 1, nil},
		"EOS where no BOS":    {map[string][]string{"/tokenizer_info": {`200 {"bos_token":null,"eos_token":{"content":"</s>"}}`}, "/tokenize": {`200 {"tokens":[2]}`}}, 2, nil},
		"llama.cpp's /props":  {map[string][]string{"/props": {`200 {"bos_token":"<s>"}`}, "/tokenize": {`200 {"tokens":[1]}`}}, 1, nil},
		"what is added":       {map[string][]string{"/tokenize": {`200 {"tokens":[97]}`, `200 {"tokens":[1,97]}`}}, 1, nil},
		"EOS is added":        {map[string][]string{"/tokenize": {`200 {"tokens":[97]}`, `200 {"tokens":[97,2]}`}}, 0, ErrNoPrefix},
		"nothing is added":    {map[string][]string{"/tokenize": {`200 {"tokens":[97]}`}}, 0, ErrNoPrefix},
		"no server tokenizer": {nil, 0, ErrNoTokenizer},
	} {
		t.Run(name, func(t *testing.T) {
			tg, _ := script(t, c.answers)
			got, err := tg.Prefix(context.Background(), hasty)
			assert.ErrorIs(t, err, c.err)
			assert.Equal(t, c.want, got)
		})
	}
}

func TestGreedyTakesIDsInEveryShape(t *testing.T) {
	for name, c := range map[string]struct {
		path, answer string
		err          error
	}{
		"vLLM, token_ids":           {"/v1/completions", `200 {"choices":[{"token_ids":[7,8],"logprobs":{"tokens":["a","b"],"token_logprobs":[-1,-2]}}]}`, nil},
		"vLLM, names":               {"/v1/completions", `200 {"choices":[{"logprobs":{"tokens":["token_id:7","token_id:8"],"token_logprobs":[-1,-2]}}]}`, nil},
		"llama.cpp":                 {"/v1/completions", `200 {"choices":[{"logprobs":{"content":[{"id":7,"logprob":-1},{"id":8,"logprob":-2}]}}]}`, nil},
		"SGLang":                    {"/generate", `200 {"meta_info":{"output_token_logprobs":[[-1,7,"a"],[-2,8,"b"]]}}`, nil},
		"words alone":               {"/v1/completions", `200 {"choices":[{"logprobs":{"tokens":["a","b"],"token_logprobs":[-1,-2]}}]}`, ErrNoTokenIDs},
		"a null among them":         {"/v1/completions", `200 {"choices":[{"token_ids":[7,8],"logprobs":{"token_logprobs":[-1,null]}}]}`, ErrNullLogprob},
		"no logprobs":               {"/v1/completions", `200 {"choices":[{"token_ids":[7,8]}]}`, ErrNoPromptLogprobs},
		"SGLang without any":        {"/generate", `200 {"meta_info":{}}`, ErrNoPromptLogprobs},
		"ids that are not integers": {"/v1/completions", `200 {"choices":[{"token_ids":["x"],"logprobs":{"token_logprobs":[-1]}}]}`, ErrNoTokenIDs},
	} {
		t.Run(name, func(t *testing.T) {
			tg, asked := script(t, map[string][]string{c.path: {c.answer}})
			s := scorerAt(t, tg, c.path, hasty)
			got, err := s.Greedy(context.Background(), []int32{1}, 2)
			if c.err != nil {
				assert.ErrorIs(t, err, c.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, &Continuation{IDs: []int32{7, 8}, Logprobs: []float64{-1, -2}}, got)
			assert.Contains(t, asked[c.path][0], `"ignore_eos":true`, "the text's end must not stop it")
		})
	}
}

package accuracy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
	"inferbench/harness/server"
	"inferbench/harness/workload"
)

func TestCompareDecoded(t *testing.T) {
	a := compareDecoded([]*sequence{
		{index: 4, decoded: &server.Continuation{IDs: []int32{1, 2, 3}, Logprobs: []float64{-1, -1, -1}},
			again: []server.Scored{{Logprob: -1, Best: -1}, {Logprob: -1.5, Best: -1.5}, {Logprob: -2, Best: -1}}},
		{index: 7, decoded: &server.Continuation{IDs: []int32{8}, Logprobs: []float64{-1}},
			again: []server.Scored{{Logprob: -3, Best: -0.5}}},
	})
	assert.Equal(t, 4, a.Tokens)
	assert.Equal(t, 0.5, *a.ArgmaxShare)
	assert.Equal(t, (0+0.5+1+2)/4, *a.MeanAbsDiff)
	assert.InDelta(t, 1.97, *a.P99AbsDiff, 1e-12, "between the last two of 0, 0.5, 1, 2, as numpy has it")
	assert.Equal(t, &Divergence{Sequence: 7, Position: 0, Token: 8, DecodeLogprob: -1, PrefillLogprob: -3, LikeliestByThen: -0.5}, a.FirstDivergence)
}

func TestJudgeDecode(t *testing.T) {
	share := 0.98
	for name, c := range map[string]struct {
		a    DecodeAudit
		b    *baselines.Accuracy
		want Status
	}{
		"no baseline":     {DecodeAudit{ArgmaxShare: &share}, nil, Recorded},
		"no floor":        {DecodeAudit{ArgmaxShare: &share}, &baselines.Accuracy{Name: "b"}, Recorded},
		"above the floor": {DecodeAudit{ArgmaxShare: &share}, &baselines.Accuracy{Name: "b", DecodeArgmaxFloor: 0.97}, Passed},
		"below the floor": {DecodeAudit{ArgmaxShare: &share}, &baselines.Accuracy{Name: "b", DecodeArgmaxFloor: 0.99}, Failed},
		"not run":         {DecodeAudit{Status: NotRun}, &baselines.Accuracy{Name: "b", DecodeArgmaxFloor: 0.99}, NotRun},
	} {
		judgeDecode(&c.a, c.b)
		assert.Equal(t, c.want, c.a.Status, name)
	}
}

// A model's floor holds whatever task, text or window its accuracy was judged on.
func TestAFloorBelongsToTheModel(t *testing.T) {
	share := 0.98
	r := &Result{Task: "decode", Measured: &DecodeAudit{ArgmaxShare: &share}}
	for model, want := range map[string]string{"inferbench-ngram": "inferbench-ngram", "DeepSeek-R1-0528-MXFP4": ""} {
		b, err := Baseline("", model, r)
		require.NoError(t, err)
		if want == "" {
			assert.Nil(t, b, model)
		} else if assert.NotNil(t, b, model) {
			assert.Equal(t, want, b.Name)
		}
	}
	assert.NoError(t, Comparable(r, &baselines.Accuracy{Name: "own", DecodeArgmaxFloor: 0.5}))
	assert.ErrorIs(t, Comparable(r, &baselines.Accuracy{Name: "sums", Task: "gsm8k"}), ErrOtherBaseline)
}

// echoOnly answers scoring as the fake does, and a request for continuations
// with the given text.
func echoOnly(answer string) func([]int32, map[string]any) (int, string) {
	return echoThen(func([]int32, map[string]any) (int, string) { return 200, answer })
}

// echoThen answers scoring as the fake does, and a request for continuations as
// told.
func echoThen(otherwise func([]int32, map[string]any) (int, string)) func([]int32, map[string]any) (int, string) {
	return func(ids []int32, body map[string]any) (int, string) {
		if body["echo"] == true {
			return 0, ""
		}
		return otherwise(ids, body)
	}
}

func TestAServerThatCannotBeAuditedSaysWhy(t *testing.T) {
	src := workload.Random{N: 4, ISL: 8, OSL: 4, RangeRatio: 1, Vocab: 256, Seed: 1}
	for want, f := range map[string]*fake{
		"cannot score a prompt":   {completions: refuse, generate: refuse},
		"does not give the ids":   {completions: echoOnly(`{"choices":[{"logprobs":{"tokens":["a"],"token_logprobs":[-1]}}]}`)},
		"HTTP 500: logprobs fail": {completions: echoThen(func([]int32, map[string]any) (int, string) { return 500, "logprobs fail here" })},
		"has no log-probab":       {completions: echoOnly(`{"choices":[{"text":"a"}]}`)},
		"1 ids beside 2 log-prob": {completions: echoOnly(`{"choices":[{"token_ids":[1],"logprobs":{"token_logprobs":[-1,-2]}}]}`)},
	} {
		a, err := auditDecode(context.Background(), serve(t, f), src, 2, decodeSample{Retry: quick})
		require.NoError(t, err)
		assert.Equal(t, NotRun, a.Status)
		assert.Contains(t, a.Reason, want)
		b, err := json.Marshal(a)
		require.NoError(t, err)
		assert.NotContains(t, string(b), "argmax_share", "no figure that was not measured")
	}
	a, err := auditDecode(context.Background(), serve(t, &fake{}), chats{}, 2, decodeSample{Retry: quick})
	require.NoError(t, err)
	assert.Contains(t, a.Reason, "the workload is chats")
}

// Too short a prompt has nothing to score with; a text is tokenized as the server
// does it, with the tokens that it adds.
func TestTheAuditTakesThePromptsAsTheServerSeesThem(t *testing.T) {
	a, err := auditDecode(context.Background(), serve(t, &fake{}), workload.Random{N: 4, ISL: 1, OSL: 4, RangeRatio: 1, Vocab: 256, Seed: 1}, 2, decodeSample{Retry: quick})
	require.NoError(t, err)
	assert.Equal(t, NotRun, a.Status)
	assert.Contains(t, a.Reason, "no prompt of two tokens or more")

	seqs, err := decodePrompts(context.Background(), serve(t, &fake{}), texts{"hello"}, decodeSample{Sample: 8, Tokens: 64, Retry: quick})
	require.NoError(t, err)
	require.Len(t, seqs, 1)
	assert.Equal(t, append([]int32{fakeBOS}, bytesOf("hello")...), seqs[0].prompt)
	assert.Equal(t, 3, seqs[0].tokens)
}

type texts []string

func (s texts) Len() int { return len(s) }
func (s texts) Request(i int) (workload.Request, error) {
	return workload.Request{Text: s[i], OutputLen: 3}, nil
}

type chats struct{}

func (chats) Len() int { return 1 }
func (chats) Request(int) (workload.Request, error) {
	return workload.Request{Messages: json.RawMessage(`[]`), OutputLen: 3}, nil
}

// A server that has gone, or whose model gives NaN, could be audited and was
// not: that is no NOT_RUN, which passes.
func TestWhatIsBrokenIsNotCalledImpossible(t *testing.T) {
	src := workload.Random{N: 4, ISL: 8, OSL: 4, RangeRatio: 1, Vocab: 256, Seed: 1}
	busy := func([]int32, map[string]any) (int, string) { return 503, "going down" }
	for want, f := range map[string]*fake{
		"503: going down":    {completions: busy, generate: refuse},
		"is not finite":      {completions: echoOnly(`{"choices":[{"token_ids":[1],"logprobs":{"token_logprobs":[NaN]}}]}`)},
		"(tried 3 times)":    {completions: echoThen(busy)},
		"connection refused": nil,
		"scoring that is NaN": {completions: func([]int32, map[string]any) (int, string) {
			return 500, "Out of range float values are not JSON compliant: scoring that is NaN"
		}, generate: refuse},
	} {
		tg := server.New("http://127.0.0.1:1", "fake", "", nil)
		if f != nil {
			tg = serve(t, f)
		}
		a, err := auditDecode(context.Background(), tg, src, 2, decodeSample{Retry: quick})
		assert.ErrorContains(t, err, want)
		assert.Nil(t, a)
	}
}

// The sample fits a server whose context is just what the workload takes.
func TestTheAuditFitsTheServersContext(t *testing.T) {
	src := workload.Random{N: 4, ISL: 8, OSL: 4, RangeRatio: 1, Vocab: 256, Seed: 1}
	asked := 0
	f := &fake{}
	f.completions = func(ids []int32, body map[string]any) (int, string) {
		n := int(body["max_tokens"].(float64))
		if len(ids)+n > 12 {
			return 400, `{"error":{"message":"This model's maximum context length is 12 tokens"}}`
		}
		if body["echo"] == true {
			var top []any
			for range len(ids) + 1 {
				top = append(top, map[string]any{"x": -9})
			}
			b, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"logprobs": map[string]any{"token_logprobs": fakeScore(ids), "top_logprobs": top}}}})
			return 200, string(b)
		}
		asked = max(asked, n)
		b, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"token_ids": make([]int32, n), "logprobs": map[string]any{"token_logprobs": make([]float64, n)}}}})
		return 200, string(b)
	}
	tg := serve(t, f)
	tg.MaxLen = 12
	a, err := auditDecode(context.Background(), tg, src, 1, decodeSample{Retry: quick})
	require.NoError(t, err)
	assert.Equal(t, 3, asked, "one less than OSL: scoring generates one more")
	assert.Equal(t, 4*3, a.Tokens)
	tg.MaxLen = 9
	a, err = auditDecode(context.Background(), tg, src, 1, decodeSample{Retry: quick})
	require.NoError(t, err)
	assert.Equal(t, NotRun, a.Status)
	assert.Contains(t, a.Reason, "leaves room for two in the server's context")
}

// A request that fails on the way is an error: a half-taken sample is none.
func TestAuditFailsWhenARequestDoes(t *testing.T) {
	n := 0
	f := &fake{completions: func(ids []int32, body map[string]any) (int, string) {
		if body["echo"] == true {
			return 0, ""
		}
		if n++; n > 2 {
			return 400, `{"error":{"message":"gone wrong"}}`
		}
		count := int(body["max_tokens"].(float64))
		out := map[string]any{"token_ids": make([]int32, count), "logprobs": map[string]any{"token_logprobs": make([]float64, count)}}
		b, _ := json.Marshal(map[string]any{"choices": []any{out}})
		return 200, string(b)
	}}
	src := workload.Random{N: 4, ISL: 8, OSL: 4, RangeRatio: 1, Vocab: 256, Seed: 1}
	_, err := auditDecode(context.Background(), serve(t, f), src, 1, decodeSample{Retry: quick})
	var h *server.HTTPError
	require.True(t, errors.As(err, &h), fmt.Sprint(err))
	assert.ErrorContains(t, err, "decode audit: request 1: generate 4 tokens at")
}

// A model's generation_config.json may set penalties that change greedy answers:
// they are switched off, and where the server refuses a key the audit goes
// without it and says so.
func TestTheAuditSwitchesSamplingOff(t *testing.T) {
	all := []string{"frequency_penalty", "min_p", "presence_penalty", "repetition_penalty", "top_k", "top_p"}
	for name, c := range map[string]struct {
		refuses func(key string, v any) bool
		missing []string
		topK    any
	}{
		"takes all":        {func(string, any) bool { return false }, nil, -1.0},
		"wants 0 as top_k": {func(k string, v any) bool { return k == "top_k" && v != 0.0 }, nil, 0.0},
		"strict OpenAI": {func(k string, _ any) bool { return k == "top_k" || k == "min_p" || k == "repetition_penalty" },
			[]string{"repetition_penalty", "top_k", "min_p"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var last map[string]any
			f := &fake{completions: func(ids []int32, body map[string]any) (int, string) {
				if body["echo"] == true {
					return 0, ""
				}
				for _, k := range all {
					if v, sent := body[k]; sent && c.refuses(k, v) {
						return 422, `{"detail":"Extra inputs are not permitted"}`
					}
				}
				last = body
				n := int(body["max_tokens"].(float64))
				b, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"token_ids": make([]int32, n), "logprobs": map[string]any{"token_logprobs": make([]float64, n)}}}})
				return 200, string(b)
			}}
			tg := serve(t, f)
			scorer, err := tg.Scorer(context.Background(), []int32{1, 2}, quick)
			require.NoError(t, err)
			missing, err := scorer.Neutralize(context.Background(), []int32{1, 2})
			require.NoError(t, err)
			assert.Equal(t, c.missing, missing)
			_, err = scorer.Greedy(context.Background(), []int32{1, 2}, 3)
			require.NoError(t, err)
			assert.Equal(t, c.topK, last["top_k"])
			assert.Equal(t, 1.0, last["top_p"])
			for _, k := range all {
				_, sent := last[k]
				assert.Equal(t, !slices.Contains(c.missing, k), sent, k)
			}
		})
	}
	share := 0.5
	a := &DecodeAudit{ArgmaxShare: &share, NotNeutral: []string{"top_k"}}
	judgeDecode(a, &baselines.Accuracy{Name: "b", DecodeArgmaxFloor: 0.9})
	assert.Contains(t, a.Reason, "refuses to have top_k switched off")
}

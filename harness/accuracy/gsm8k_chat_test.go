package accuracy

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
	"inferbench/harness/engine"
	"inferbench/harness/server"
	"inferbench/harness/sums"
)

// chatServer answers chats with what answer makes of the last message, and keeps
// the requests' bodies.
func chatServer(t *testing.T, answer func(i int, asked string) string) (*server.Server, func() []string) {
	bodies := make(chan string, 10000)
	var n atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body json.RawMessage
		_ = json.NewDecoder(r.Body).Decode(&body)
		var in struct{ Messages []server.Message }
		_ = json.Unmarshal(body, &in)
		bodies <- string(body)
		fmt.Fprintf(w, `{"choices":[%s]}`, answer(int(n.Add(1))-1, in.Messages[len(in.Messages)-1].Content))
	}))
	t.Cleanup(s.Close)
	tg := server.New(s.URL, "golden", "", nil)
	tg.Loopback = true // the own questions
	return tg, func() (all []string) {
		for len(bodies) > 0 {
			all = append(all, <-bodies)
		}
		return all
	}
}

func says(text string) string {
	b, _ := json.Marshal(text)
	return fmt.Sprintf(`{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":%s}}`, b)
}

// Requests and extractions equal lm-evaluation-harness's own, with InferenceX's
// wording of the task: see scripts/parity/lm_eval_chat.py.
func TestGSM8KByChatEqualsLMEval(t *testing.T) {
	b, err := os.ReadFile("testdata/lmeval-gsm8k-chat.json")
	require.NoError(t, err)
	var g struct {
		Answers     []string
		Requests    []json.RawMessage
		Extractions []struct {
			Text, Strict, Flexible string
			Right                  [][2]bool
		}
	}
	require.NoError(t, json.Unmarshal(b, &g))
	for _, e := range g.Extractions {
		assert.Equal(t, e.Strict, extractLast(e.Text), "%q", e.Text)
		assert.Equal(t, e.Flexible, extractFlexible(e.Text), "%q", e.Text)
		for i, answer := range g.Answers {
			assert.Equal(t, e.Right[i], [2]bool{right(e.Strict, answer), right(e.Flexible, answer)}, "%q, where %q is asked for", e.Text, answer)
		}
	}
	tg, sent := chatServer(t, func(int, string) string { return says("#### 1") })
	_, err = Score(context.Background(), tg, Options{Task: "gsm8k-chat", Shots: 3, GenTokens: 512})
	require.NoError(t, err)
	bodies := sent()
	require.Len(t, bodies, len(g.Requests))
	for i, want := range g.Requests {
		assert.JSONEq(t, string(want), bodies[i], "question %d", i)
	}
}

// Reasoning is set aside, the last number after #### counts, and what was not
// answered is told; more than a hundredth of that is no score.
func TestGSM8KByChatSetsReasoningAside(t *testing.T) {
	reasoned := func(_ int, asked string) string {
		return says("<think>#### 99, no</think>First #### 12, then\n" + sums.Answer(asked))
	}
	tg, _ := chatServer(t, reasoned)
	r, err := Score(context.Background(), tg, Options{Task: "gsm8k-chat", Conc: 4})
	require.NoError(t, err)
	m := r.Measured.(*ChatMatch)
	assert.Equal(t, 1.0, m.Strict)
	assert.Equal(t, 16384, m.GenTokens, "the server does not tell its context")
	assert.Equal(t, "/v1/chat/completions", r.Path)
	b, err := json.Marshal(r)
	require.NoError(t, err)
	for _, absent := range []string{"prefix_token", "tokenizer", "max_length"} {
		assert.NotContains(t, string(b), absent, "no tokens were sent")
	}
	assert.Contains(t, string(b), `"answers_cut":0`)

	for what, answer := range map[string]string{
		"1 of 8 answers were cut at ACC_GEN_TOKENS=512: raise it":       `{"finish_reason":"length","message":{"content":"so 3 times"}}`,
		"1 of 8 answers were empty after the reasoning: raise":          `{"finish_reason":"stop","message":{"content":null,"reasoning_content":"hm"}}`,
		"1 of 8 answers were refused: look at the server's filters":     `{"finish_reason":"stop","message":{"content":"","refusal":"no"}}`,
		"1 of 8 answers were refused: look at the server's filters and": `{"finish_reason":"content_filter","message":{"content":"#### 3"}}`,
		"1 of 8 answers were empty":                                     says("<think>it never ends"),
	} {
		tg, _ := chatServer(t, func(i int, asked string) string {
			if i == 2 {
				return answer
			}
			return reasoned(i, asked)
		})
		_, err := Score(context.Background(), tg, Options{Task: "gsm8k-chat", GenTokens: 512})
		assert.ErrorContains(t, err, "accuracy: no score: "+what)
	}
}

// Of many questions a few may go unanswered: they count as wrong and are told.
func TestAFewUnansweredQuestionsAreTold(t *testing.T) {
	rows := filepath.Join(t.TempDir(), "many.jsonl")
	require.NoError(t, os.WriteFile(rows, []byte(strings.Repeat(`{"question":"1+1?","answer":"#### 2"}`+"\n", 300)), 0o600))
	tg, _ := chatServer(t, func(i int, _ string) string {
		if i < 3 {
			return `{"finish_reason":"length","message":{"content":""}}`
		}
		return says("#### 2")
	})
	r, err := Score(context.Background(), tg, Options{Task: "gsm8k-chat", Files: map[string]string{"GSM8K": rows}, Conc: 8})
	require.NoError(t, err)
	m := r.Measured.(*ChatMatch)
	assert.Equal(t, 0.99, m.Strict)
	assert.Equal(t, Unanswered{Cut: 3}, m.Unanswered)
	assert.Contains(t, Judge(r, nil, 0).Reason, "of 300 answers 3 cut at ACC_GEN_TOKENS")
	both := &baselines.Accuracy{Name: "b", Task: "gsm8k-chat", CorpusSHA256: r.Text.SHA256, Shots: 5, Filter: "strict-match,flexible-extract", ExactMatch: 0.98}
	v := Judge(r, both, 0)
	assert.Equal(t, Passed, v.Status, v.Reason)
	assert.Len(t, v.Limits, 2)
	both.ExactMatch = 0.995
	assert.Equal(t, Failed, Judge(r, both, 0).Status)
	both.Filter = "strict-match,other"
	assert.ErrorContains(t, Comparable(r, both), `its filter is "other", the run has strict-match and flexible-extract`)
}

func TestRoomOfAnAnswerInAChat(t *testing.T) {
	for context, want := range map[int]int{0: 16384, 131072: 16384, 20480: 16384, 9472: 5376, 4097: 1, 4096: 2048, 1: 1} {
		assert.Equal(t, want, chatTokens(context), "context %d", context)
	}
}

// The embedded engine knows the answers of the suite's own questions, a damaged
// one does not.
func TestGSM8KByChatOnTheEmbeddedEngine(t *testing.T) {
	for noise, sound := range map[float64]bool{0: true, 1: false} {
		r, err := Score(context.Background(), embedded(t, engine.Config{Noise: noise}), Options{Task: "gsm8k-chat", Conc: 8, GenTokens: 512})
		if sound {
			require.NoError(t, err)
			assert.Equal(t, 1.0, r.Figure("exact_match_strict"))
		} else if err == nil {
			assert.Less(t, r.Figure("exact_match_strict"), 0.9)
		}
	}
}

package accuracy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
	"inferbench/harness/corpus"
	"inferbench/harness/engine"
	"inferbench/harness/server"
	"inferbench/harness/sums"
)

func ownRows(t *testing.T) (test, train []Question) {
	tg := &server.Server{Loopback: true}
	test, _, err := questions(context.Background(), tg, Options{}, corpus.GSM8KTest, sums.Test)
	require.NoError(t, err)
	train, _, err = questions(context.Background(), tg, Options{}, corpus.GSM8KTest, sums.Train)
	require.NoError(t, err)
	return test, train
}

// Prompts, draws and extractions equal lm-evaluation-harness's own: see
// scripts/parity/lm_eval_gsm8k.py.
func TestGSM8KEqualsLMEval(t *testing.T) {
	b, err := os.ReadFile("testdata/lmeval-gsm8k.json")
	require.NoError(t, err)
	var g struct {
		Answers     []string
		Extractions []struct {
			Text, Strict, Flexible string
			Right                  [][2]bool // by answer: strict, flexible
		}
		Draws []struct {
			N, K, Times int
			Draws       [][]int // the last two of so many
		}
		Prompts map[int][]string
	}
	require.NoError(t, json.Unmarshal(b, &g))
	for _, e := range g.Extractions {
		assert.Equal(t, e.Strict, extractStrict(e.Text), "%q", e.Text)
		assert.Equal(t, e.Flexible, extractFlexible(e.Text), "%q", e.Text)
		for i, answer := range g.Answers {
			assert.Equal(t, e.Right[i], [2]bool{right(e.Strict, answer), right(e.Flexible, answer)}, "%q, where %q is asked for", e.Text, answer)
		}
	}
	for _, d := range g.Draws {
		r := newPyRandom(fewShotSeed)
		var got [][]int
		for range d.Times {
			got = append(got, r.sample(d.N, d.K))
		}
		assert.Equal(t, d.Draws, got[len(got)-2:], "%d of %d", d.K, d.N)
	}
	test, train := ownRows(t)
	for shots, want := range g.Prompts {
		assert.Equal(t, want, gsm8kSet{test: test, train: train}.prompts(shots), "%d-shot", shots)
	}
	require.Len(t, g.Prompts, 2)
}

// A server that answers every question but one: what it wrote decides, by each
// of the two extractions.
func TestGSM8KScoresWhatWasWritten(t *testing.T) {
	test, _ := ownRows(t)
	f := &fake{completions: func(ids []int32, body map[string]any) (int, string) {
		text := ""
		for _, id := range ids {
			text += string(rune(id))
		}
		asked := text[strings.LastIndex(text, "Question: ")+len("Question: "):]
		for i, q := range test {
			if asked == q.Question+"\nAnswer:" {
				answer := " " + q.Answer
				if i == 0 {
					answer = " It is 92 fans." // right, but not in the form of the examples
				}
				if i == 1 {
					answer = " #### 1"
				}
				b, _ := json.Marshal(map[string]any{"choices": []any{map[string]any{"text": answer}}})
				return 200, string(b)
			}
		}
		return 400, `{"error":{"message":"no such question"}}`
	}}
	tg := serve(t, f)
	tg.Loopback = true
	r, err := Score(context.Background(), tg, Options{Task: "gsm8k", Conc: 4, MaxLength: 8192, Shots: 3})
	require.NoError(t, err)
	assert.Equal(t, 6.0/8, exact(r).Strict)
	assert.Equal(t, 7.0/8, exact(r).Flexible)
	assert.InDelta(t, 0.1637, exact(r).StrictStdErr, 1e-4)
	assert.Equal(t, 8, r.Text.Documents)
	assert.Equal(t, TextID{Name: "inferbench sums", SHA256: corpus.Digest([]byte(sums.Train)), Documents: 9, Bytes: len(sums.Train)}, exact(r).Examples)
	b, err := json.Marshal(r)
	require.NoError(t, err)
	for _, other := range []string{"bits_per_byte", `"words"`, `"tokens"`} {
		assert.NotContains(t, string(b), other, "a figure of another task is not there, not even as 0")
	}

	base := &baselines.Accuracy{Name: "b", Task: "gsm8k", CorpusSHA256: r.Text.SHA256, Shots: 3, Filter: "strict-match", ExactMatch: 0.80, Tolerance: 0.06}
	assert.Equal(t, Passed, Judge(r, base, 0).Status)
	v := Judge(r, base, 0.04)
	assert.Equal(t, Failed, v.Status)
	assert.Equal(t, "exact_match (strict-match) 0.7500, at least 0.7600 is asked for by b", v.Reason)
	assert.Len(t, v.Warnings, 1, "eight questions are few")
	base.Filter = "flexible-extract"
	assert.Equal(t, Passed, Judge(r, base, 0.04).Status, "above the baseline is not wrong here")
	base.ExamplesSHA256 = exact(r).Examples.SHA256
	assert.NoError(t, Comparable(r, base))
	base.ExamplesSHA256 = corpus.GSM8KTrain.SHA256
	assert.ErrorContains(t, Comparable(r, base), "its examples are drawn from SHA-256 17f347dc…, the run's from inferbench sums")
	base.ExamplesSHA256 = ""
	base.Shots = 5
	assert.ErrorIs(t, Comparable(r, base), ErrOtherBaseline)

	f.completions = refuse
	_, err = Score(context.Background(), tg, Options{Task: "gsm8k", Conc: 4, MaxLength: 8192, Retry: quick})
	assert.ErrorContains(t, err, "question", "one that the server does not answer fails the task")
}

// Where no number of examples is asked for, it is the baseline's.
func TestGSM8KTakesTheBaselinesShots(t *testing.T) {
	for model, want := range map[string]int{"amd/DeepSeek-R1-0528-MXFP4-Preview": 3, "Qwen3-8B": DefaultShots} {
		o := Options{}
		require.NoError(t, o.stateShots("gsm8k", model))
		assert.Equal(t, want, o.Shots, model)
	}
	o := Options{Baseline: &baselines.Accuracy{Task: "gsm8k", Shots: 8}}
	require.NoError(t, o.stateShots("gsm8k", "Qwen3-8B"))
	assert.Equal(t, 8, o.Shots)
	o = Options{Baseline: &baselines.Accuracy{Task: "wikitext"}, Shots: 2}
	require.NoError(t, o.stateShots("gsm8k", "Qwen3-8B"))
	assert.Equal(t, 2, o.Shots)
}

// A prompt that is too long loses its beginning, not its question: a token of
// the model's length and those of the answer are kept free.
func TestGSM8KKeepsTheEndOfALongPrompt(t *testing.T) {
	test, train := ownRows(t)
	asked := make(chan string, len(test))
	f := &fake{completions: func(ids []int32, _ map[string]any) (int, string) {
		var b []byte
		for _, id := range ids {
			b = append(b, byte(id))
		}
		asked <- string(b)
		return 200, `{"choices":[{"text":""}]}`
	}}
	tg := serve(t, f)
	tg.Loopback = true
	_, err := Score(context.Background(), tg, Options{Task: "gsm8k", MaxLength: 200, GenTokens: 50, Shots: 3})
	require.NoError(t, err)
	for i, p := range (gsm8kSet{test: test, train: train}).prompts(3) {
		require.Greater(t, len(p), 149)
		assert.Equal(t, p[len(p)-149:], <-asked, "question %d", i)
	}
}

func TestGSM8KRefusesWhatCannotBe(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bad.jsonl")
	require.NoError(t, os.WriteFile(bad, []byte(`{"question":"a","answer":"b"}`), 0o644))
	for want, o := range map[string]Options{
		`ACC_TASK="sums"`: {Task: "sums"},
		"ACC_GEN_TOKENS":  {Task: "gsm8k", GenTokens: 4096},
		"ACC_SHOTS=50":    {Task: "gsm8k", Shots: 50},
		"ACC_SHOTS=-1":    {Task: "gsm8k", Shots: -1},
		"row 1: want":     {Task: "gsm8k", Files: map[string]string{"GSM8K": bad}},
		"want JSON lines": {Task: "gsm8k", Files: map[string]string{"GSM8K": "../corpus/testdata/lines.parquet"}},
		"GSM8K: open":     {Task: "gsm8k", Files: map[string]string{"GSM8K": bad + "x"}},
	} {
		tg := serve(t, &fake{})
		tg.Loopback = true
		_, err := Score(context.Background(), tg, o)
		assert.ErrorContains(t, err, want)
	}
}

// The task's whole way on the embedded engine, which knows no arithmetic.
func TestGSM8KRunsOnTheEmbeddedEngine(t *testing.T) {
	r, err := Score(context.Background(), embedded(t, engine.Config{}), Options{Task: "gsm8k", Conc: 8})
	require.NoError(t, err)
	assert.Equal(t, DefaultShots, exact(r).Shots)
	assert.Equal(t, "inferbench sums", r.Text.Name)
	assert.Less(t, exact(r).Flexible, 0.5)
	assert.Equal(t, NotRun, Judge(r, nil, 0).Status)
}

// answering stands before the engine and answers the own questions itself, some
// right and some wrong, by one extraction, the other or both.
func answering(t *testing.T, engineURL string) string {
	answers := []string{
		" It is 92 fans.", " #### 1", " 9 - 5 = 4.\n#### 4", " #### $114", " 1,500 - 400 is\n#### 1100", " #### -5 degrees, down from 3", " The answer is 100.0", " 9 - 2 = <<9-2=7>>7\n#### 7\n",
	}
	test, _ := ownRows(t)
	require.Len(t, answers, len(test))
	at, err := url.Parse(engineURL)
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(at)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		var in struct{ Prompt any }
		_ = json.Unmarshal(body, &in)
		asked := spelled(in.Prompt)
		for i, q := range test {
			if strings.HasSuffix(asked, "Question: "+q.Question+"\nAnswer:") && r.URL.Path == "/v1/completions" {
				w.Header().Set("Content-Type", "application/json")
				_ = json.NewEncoder(w).Encode(map[string]any{"choices": []any{map[string]any{"index": 0, "text": answers[i]}}})
				return
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

// spelled is a prompt as text: it may be a text, tokens, or a list of one of
// these. The engine's tokens are bytes.
func spelled(prompt any) string {
	switch p := prompt.(type) {
	case string:
		return p
	case float64:
		return string([]byte{byte(p)})
	case []any:
		var b strings.Builder
		for _, part := range p {
			b.WriteString(spelled(part))
		}
		return b.String()
	}
	return ""
}

func TestParityGSM8KWithLMEval(t *testing.T) {
	py := python(t)
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	defer e.Close()
	for _, c := range []struct{ who, url string }{
		{"the embedded engine", e.URL()},
		{"a server that is right and wrong", answering(t, e.URL())},
	} {
		for _, shots := range []int{3, 5} {
			tg := server.New(c.url, "", "", nil)
			require.NoError(t, tg.Wait(context.Background(), server.WaitOptions{}))
			tg.Loopback = true // the own questions
			out := filepath.Join(t.TempDir(), "out.json")
			run(t, py, "../../scripts/parity/lm_eval_gsm8k.py", "--model", "local-completions", "--url", c.url+"/v1/completions", "--served", engine.ModelName,
				"--test", "../sums/test.jsonl", "--train", "../sums/train.jsonl", "--shots", fmt.Sprint(shots), "--out", out)
			var their struct {
				Wrote            []string
				Strict, Flexible float64
				StrictStdErr     float64 `json:"strict_stderr"`
				FlexibleStdErr   float64 `json:"flexible_stderr"`
			}
			b, err := os.ReadFile(out)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(b, &their))
			o := Options{Task: "gsm8k", Conc: 8, Shots: shots}
			o.defaults()
			r, wrote, err := solve(context.Background(), tg, o)
			require.NoError(t, err)
			assert.Equal(t, their.Wrote, wrote, "what the model wrote, to the letter")
			assert.InDelta(t, their.Strict, exact(r).Strict, 1e-12)
			assert.InDelta(t, their.Flexible, exact(r).Flexible, 1e-12)
			assert.InDelta(t, their.StrictStdErr, exact(r).StrictStdErr, 1e-12)
			assert.InDelta(t, their.FlexibleStdErr, exact(r).FlexibleStdErr, 1e-12)
			if c.url != e.URL() {
				assert.Equal(t, [2]float64{4.0 / 8, 5.0 / 8}, [2]float64{their.Strict, their.Flexible}, "or else not this server was asked")
			}
			if !t.Failed() {
				t.Logf("gsm8k, %d-shot, %d questions to %s: the same words; exact_match strict %.4f and %.4f, flexible %.4f and %.4f", shots, len(wrote), c.who, their.Strict, exact(r).Strict, their.Flexible, exact(r).Flexible)
			}
		}
	}
}

// A server that takes no token ids gets the questions as text, with a tokenizer or
// without; one that is too long for the window is refused, since a text's
// beginning is not cut off.
func TestGSM8KSendsTextWhereIDsAreRefused(t *testing.T) {
	var asked atomic.Int32
	for _, noTokenize := range []bool{false, true} {
		f := &fake{noTokenize: noTokenize, completions: func(_ []int32, body map[string]any) (int, string) {
			if text, ok := body["prompt"].(string); !ok || !strings.HasPrefix(text, "Question: ") {
				return 422, `{"error":"invalid type: expected a string"}`
			}
			asked.Add(1)
			return 200, `{"choices":[{"text":" #### 1"}]}`
		}}
		tg := serve(t, f)
		tg.Loopback, tg.TextOnly = true, true
		r, err := Score(t.Context(), tg, Options{Task: "gsm8k", Conc: 4, MaxLength: 8192, Shots: 3})
		require.NoError(t, err)
		assert.True(t, r.AsText)
		assert.Nil(t, r.Prefix)
		assert.Equal(t, 8, r.Text.Documents)

		_, err = Score(t.Context(), tg, Options{Task: "gsm8k", Conc: 4, MaxLength: 300, Shots: 3})
		if noTokenize {
			require.NoError(t, err, "nobody knows how long it is")
			continue
		}
		require.ErrorContains(t, err, "ACC_MAX_LENGTH=300 with ACC_GEN_TOKENS=256 leaves 43")
	}
	assert.EqualValues(t, 3*8, asked.Load())
}

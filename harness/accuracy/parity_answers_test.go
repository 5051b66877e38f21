package accuracy

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
	"inferbench/harness/server"
	"inferbench/harness/tokenizer"
)

// asked is the server that both programs ask: the embedded engine, or another where
// PARITY_URL and PARITY_TOKENIZER, the folder of its tokenizer, name one (make
// parity-vllm).
type asked struct {
	*server.Server
	who, tokenizer string // tokenizer is empty for the embedded engine
}

func parityServer(t *testing.T) asked {
	t.Helper()
	a := asked{who: "the embedded engine", tokenizer: os.Getenv("PARITY_TOKENIZER")}
	url := os.Getenv("PARITY_URL")
	if url == "" {
		e, err := engine.Start(engine.Config{})
		require.NoError(t, err)
		t.Cleanup(func() { e.Close() })
		url = e.URL()
	}
	a.Server = server.New(url, "", "", nil)
	require.NoError(t, a.Wait(t.Context(), server.WaitOptions{}))
	if a.tokenizer != "" {
		a.who = a.Dialect.Name + " " + a.Version
	}
	a.Loopback = true // the own questions
	return a
}

// theirAnswers is what the scripts write that ask a server.
type theirAnswers struct {
	Prompts, Wrote          []string
	Strict, Flexible, Score float64
}

// lmEval runs a script of lm-evaluation-harness on a server.
func lmEval(t *testing.T, py string, a asked, path, script string, args ...string) (their theirAnswers) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.json")
	run(t, py, append([]string{"../../scripts/parity/" + script, "--url", a.BaseURL + path, "--served", a.ModelSent(), "--out", out}, args...)...)
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &their))
	return their
}

// wrote is what the model writes to questions in a chat, also where it is cut, as
// everything is that a model of random weights writes.
func wrote(t *testing.T, a asked, questions []chatQuestion, o Options) []string {
	t.Helper()
	out := make([]string, len(questions))
	require.NoError(t, o.eachOf(t.Context(), len(questions), func(ctx context.Context, i int) error {
		q := questions[i]
		answer, err := a.Ask(ctx, o.Retry, q.chat, o.GenTokens, q.stop, q.more)
		out[i] = answer.Text
		return err
	}))
	return out
}

func TestParityGSM8KByChatWithLMEval(t *testing.T) {
	py, a := python(t), parityServer(t)
	for _, shots := range []int{3, 5} {
		o := Options{Conc: 8, Shots: shots, GenTokens: 512}
		if a.tokenizer != "" {
			o.GenTokens = 64
		}
		their := lmEval(t, py, a, "/v1/chat/completions", "lm_eval_chat.py", "--test", "../sums/test.jsonl", "--train", "../sums/train.jsonl",
			"--shots", fmt.Sprint(shots), "--gen-tokens", fmt.Sprint(o.GenTokens))
		questions, rows, err := gsm8kChatQuestions(t.Context(), a.Server, &o)
		require.NoError(t, err)
		ours := wrote(t, a, questions, o)
		assert.Equal(t, their.Wrote, ours, "what the model wrote, to the letter")
		m := rows.match(ours, extractLast)
		assert.InDelta(t, their.Strict, m.Strict, 1e-12)
		assert.InDelta(t, their.Flexible, m.Flexible, 1e-12)
		if !t.Failed() {
			t.Logf("gsm8k by chat, %d-shot, %d questions to %s: the same words; exact_match strict %.4f and %.4f, flexible %.4f and %.4f",
				shots, len(ours), a.who, their.Strict, m.Strict, their.Flexible, m.Flexible)
		}
	}
}

func TestParityGPQAWithLMEval(t *testing.T) {
	py, a := python(t), parityServer(t)
	const file = "testdata/gpqa-own.csv"
	o := Options{Conc: 4, GenTokens: 128, Files: map[string]string{"GPQA": file}}
	their := lmEval(t, py, a, "/v1/chat/completions", "lm_eval_gpqa.py", "--rows", file, "--gen-tokens", fmt.Sprint(o.GenTokens))
	rows, _, err := gpqaRows(o)
	require.NoError(t, err)
	ours := wrote(t, a, gpqaChats(rows), o)
	assert.Equal(t, their.Wrote, ours, "what the model wrote, to the letter")
	m := gpqaMatch(ours, rows)
	assert.InDelta(t, their.Strict, m.Strict, 1e-12)
	assert.InDelta(t, their.Flexible, m.Flexible, 1e-12)
	if !t.Failed() {
		t.Logf("gpqa, %d questions to %s: the same words; strict %.4f and %.4f, flexible %.4f and %.4f", len(ours), a.who,
			their.Strict, m.Strict, their.Flexible, m.Flexible)
	}
}

// Each RULER task: the same prompts to the byte, the same answers, the same score.
// Of a worked example of ruler_vt, which may take 500 tokens, the tokenizers of the
// servers here make too many, and lm-evaluation-harness then tries for ever: its
// prompts are made for another tokenizer, and sent as text. So are all of the
// embedded engine's, whose tokens are bytes.
func TestParityRULERWithLMEval(t *testing.T) {
	py, length := python(t), 2048
	for _, task := range []ruler{niahSingle1, rulerVT, rulerCWE, rulerFWE} {
		t.Run(task.name, func(t *testing.T) {
			a, limit := parityServer(t), 100
			if a.tokenizer != "" {
				limit = 8
			}
			asText := a.tokenizer == "" || task.name == rulerVT.name
			a.TextOnly = asText
			args := []string{"--tokenizer", a.tokenizer}
			if asText {
				args = []string{"--tokenizer", rulerTokenizer(t), "--as-text"}
			}
			their := lmEval(t, py, a, "/v1/completions", "lm_eval_ruler.py", append(args, "--task", task.name, "--length", fmt.Sprint(length),
				"--limit", fmt.Sprint(limit))...)
			o := Options{Conc: 8}
			o.defaults()
			maker, tok := parityMaker(t, a, task, o)
			maker.samples = limit
			prompts, err := task.make(maker, length)
			require.NoError(t, err)
			require.Len(t, their.Prompts, len(prompts))
			for i, p := range prompts {
				require.Equal(t, their.Prompts[i], p.text, "%s, prompt %d", task.name, i)
			}
			score, ours, err := task.ask(t.Context(), a.Server, tok, prompts, o)
			require.NoError(t, err)
			assert.Equal(t, their.Wrote, ours, "%s: what the model wrote, to the letter", task.name)
			assert.InDelta(t, their.Score, score, 1e-12, task.name)
			if !t.Failed() {
				how := "ids"
				if asText {
					how = "text"
				}
				t.Logf("%s, %d prompts of %d tokens, as %s, to %s: the same prompts and the same words; score %.4f and %.4f", task.name, limit,
					length, how, a.who, their.Score, score)
			}
		})
	}
}

// parityMaker makes prompts for the server's own tokenizer, which it returns too, or
// where they go as text for that of rulerTokenizer.
func parityMaker(t *testing.T, a asked, task ruler, o Options) (*rulerMaker, *source) {
	t.Helper()
	if !a.TextOnly {
		tok, err := tokenizerFor(t.Context(), a.Server, o)
		require.NoError(t, err)
		return task.makerFor(t.Context(), a.Server, tok, o), tok
	}
	file, err := tokenizer.Load("../tokenizer/testdata/added.json")
	require.NoError(t, err)
	maker := newRulerMaker(task, func(text string) (int, error) {
		ids, err := file.Encode(text)
		return len(ids), err
	})
	maker.cheap = true
	return maker, nil
}

// rulerTokenizer is a folder that transformers reads the tokenizer from that the
// golden file was made with.
func rulerTokenizer(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	b, err := os.ReadFile("../tokenizer/testdata/added.json")
	require.NoError(t, err)
	for name, text := range map[string]string{"tokenizer.json": string(b), "tokenizer_config.json": `{"tokenizer_class":"PreTrainedTokenizerFast"}`} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

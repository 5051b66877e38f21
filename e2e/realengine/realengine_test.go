// Package realengine runs the suite against servers that nobody here wrote:
// llama.cpp's own, the Python one over the same library, and vLLM, each with a
// tiny model of random weights. `make real-engine` and `make real-engine
// ENGINE=vllm` install them; without them it skips.
package realengine

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/e2e/testdata/external"
	"inferbench/harness/load"
	"inferbench/harness/server"
	"inferbench/harness/workload"
)

// serve starts one of llama.cpp's servers and returns its address; the test's
// end stops it.
func serve(t *testing.T, engine string) string {
	t.Helper()
	at, how := ".venv-llamacpp", "make real-engine"
	if engine == "llama-wheel" {
		at, how = ".venv-llamacpp-wheel", "make real-engine ENGINE=llama-wheel"
	}
	if _, err := os.Stat("../../" + at + "/tiny.gguf"); err != nil {
		t.Skip(engine + " is not installed: " + how)
	}
	port := external.Port(t)
	cmd := exec.Command("../../scripts/real_engine.sh", "serve", engine)
	cmd.Env = append(os.Environ(), fmt.Sprintf("PORT=%d", port))
	return external.Start(t, cmd, port, "/v1/models", time.Minute).URL
}

// article is scored in a few windows: llama-cpp-python takes a second for one.
// The detokeniser of wikitext leaves it as it is.
var article = "= Weights =\n" + strings.Repeat("The weights of this model are random and know nothing of the text or of any other\n", 14)

// sweep runs the suite and returns its exit code, output and results by file.
func sweep(t *testing.T, env ...string) (int, string, map[string]map[string]any) {
	t.Helper()
	dir := t.TempDir()
	for _, e := range env {
		if given, ok := strings.CutPrefix(e, "RESULTS_DIR="); ok {
			dir = given
		}
	}
	text := filepath.Join(dir, "article.txt")
	require.NoError(t, os.WriteFile(text, []byte(article), 0o600))
	cmd := exec.Command("go", "test", "-count", "1", "-timeout", "0", "-run", "TestServing", ".")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), append([]string{"ISL=32", "OSL=16", "CONC=4,8", "NUM_PROMPTS=16", "TP=1", "RESULTS_DIR=" + dir,
		"WIKITEXT=" + text, "ACC_MAX_LENGTH=514", "READY_TIMEOUT=2m"}, env...)...)
	out, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(out), readResults(t, dir)
}

// readResults reads the result files of all batches in dir, by name.
func readResults(t *testing.T, dir string) map[string]map[string]any {
	t.Helper()
	results := map[string]map[string]any{}
	files, err := filepath.Glob(filepath.Join(dir, "batch_*", "result_*.json"))
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		var r map[string]any
		require.NoError(t, json.Unmarshal(b, &r))
		results[filepath.Base(f)] = r
	}
	return results
}

// logLikelihood is the article's, by llama.cpp in a process of its own.
func logLikelihood(t *testing.T) float64 {
	t.Helper()
	text := filepath.Join(t.TempDir(), "article.txt")
	require.NoError(t, os.WriteFile(text, []byte(article), 0o600))
	cmd := exec.Command(".venv-llamacpp/bin/python", "scripts/real_engine_loglikelihood.py", ".venv-llamacpp/tiny.gguf", text, "514")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	require.NoError(t, err)
	sum, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
	require.NoError(t, err)
	return sum
}

// Accuracy and speed, CONC 4 and 8, on a server that takes prompts as text
// alone, sends no usage, and puts more chunks than tokens into its streams.
func TestLlamaCppPython(t *testing.T) {
	exit, out, results := sweep(t, "BASE_URL="+serve(t, "llama-cpp-python"), "DATASET=text")
	require.Zero(t, exit, out)
	require.Len(t, results, 2)
	want := logLikelihood(t)
	for name, r := range results {
		assert.EqualValues(t, 16, r["successful_requests"], name)
		assert.EqualValues(t, 16*16, r["total_generated_tokens"], name)
		acc := r["accuracy"].(map[string]any)
		bytes := acc["text"].(map[string]any)["bytes"].(float64)
		assert.InEpsilon(t, -want/bytes/math.Ln2, acc["bits_per_byte"], 1e-5, "as llama.cpp itself scores it, without a server")
		assert.Equal(t, "llama-cpp-python", r["benchmark_args"].(map[string]any)["backend"])
	}
}

// A server without prompt log-probabilities fails the accuracy gate by name,
// and at once.
func TestLlamaServerCannotScore(t *testing.T) {
	begin := time.Now()
	exit, out, results := sweep(t, "BASE_URL="+serve(t, "llama-server"))
	assert.NotZero(t, exit)
	assert.Contains(t, out, "the server cannot score a prompt")
	assert.Contains(t, out, "Only no echo is supported")
	assert.Less(t, time.Since(begin), time.Minute, "a refusal is not asked again")
	for name, r := range results {
		assert.NotContains(t, r, "successful_requests", name)
		assert.Equal(t, "FAILED", r["accuracy_validation"].(map[string]any)["status"], name)
	}
}

// With a task that asks for answers, not for log-probabilities, the gate can be
// measured there, and a whole sweep passes: gsm8k, of which the model knows
// nothing, so that there is no baseline to fail.
func TestLlamaServer(t *testing.T) {
	questions, err := filepath.Abs("../../harness/sums")
	require.NoError(t, err)
	exit, out, results := sweep(t, "BASE_URL="+serve(t, "llama-server"), "ACC_TASK=gsm8k", "ACC_GEN_TOKENS=32", "ACC_MAX_LENGTH=4096",
		"GSM8K="+filepath.Join(questions, "test.jsonl"), "GSM8K_TRAIN="+filepath.Join(questions, "train.jsonl"))
	require.Zero(t, exit, out)
	require.Len(t, results, 2)
	for name, r := range results {
		assert.EqualValues(t, 16, r["successful_requests"], name)
		assert.EqualValues(t, 16*16, r["total_generated_tokens"], name)
		assert.EqualValues(t, 16*32, r["total_input_tokens"], "ids are taken as they are")
		assert.Equal(t, "llama.cpp", r["benchmark_args"].(map[string]any)["backend"])
		assert.Equal(t, "NOT_RUN", r["accuracy_validation"].(map[string]any)["status"])
	}
}

// llama.cpp's own server is timed all the same: prompts as ids, exact usage,
// half characters held back.
func TestLlamaServerIsTimed(t *testing.T) {
	tg := server.New(serve(t, "llama-server"), "", "", nil)
	require.NoError(t, tg.Wait(t.Context(), server.WaitOptions{Timeout: time.Minute, Every: 100 * time.Millisecond}))
	assert.Same(t, server.LlamaCpp, tg.Dialect)
	assert.Equal(t, 4096, tg.MaxLen, "of a slot")
	assert.Equal(t, 386, tg.Vocab)
	for _, conc := range []int{4, 8} {
		rec, err := load.Run(t.Context(), tg, workload.Random{N: 32, ISL: 64, OSL: 32, RangeRatio: 0.5, Vocab: tg.Vocab, Seed: 1},
			load.Options{Conc: conc, WarmUp: conc, RequestTimeout: time.Minute})
		require.NoError(t, err)
		s := rec.Summary(1)
		assert.Equal(t, 32, s.Successful, "%v", s.Errors)
		for i, x := range rec.Timings {
			want, err := workload.Random{N: 32, ISL: 64, OSL: 32, RangeRatio: 0.5, Vocab: tg.Vocab, Seed: 1}.Request(i)
			require.NoError(t, err)
			assert.Equal(t, want.OutputLen, x.OutputTokens)
			assert.Equal(t, len(want.Tokens), x.InputTokens)
			assert.False(t, x.NoUsage)
		}
	}
}

// llama.cpp's server from a wheel: what it cannot do is said at once, and with a
// task that asks for answers a whole sweep passes.
func TestLlamaWheel(t *testing.T) {
	url := serve(t, "llama-wheel")
	begin := time.Now()
	exit, out, _ := sweep(t, "BASE_URL="+url)
	assert.NotZero(t, exit)
	assert.Contains(t, out, "the server cannot score a prompt")
	assert.Less(t, time.Since(begin), time.Minute, "a refusal is not asked again")

	questions, err := filepath.Abs("../../harness/sums")
	require.NoError(t, err)
	exit, out, results := sweep(t, "BASE_URL="+url, "ACC_TASK=gsm8k", "ACC_GEN_TOKENS=32", "ACC_MAX_LENGTH=4096",
		"GSM8K="+filepath.Join(questions, "test.jsonl"), "GSM8K_TRAIN="+filepath.Join(questions, "train.jsonl"))
	require.Zero(t, exit, out)
	require.Len(t, results, 2)
	for name, r := range results {
		assert.EqualValues(t, 16*16, r["total_generated_tokens"], name)
		assert.EqualValues(t, 16*32, r["total_input_tokens"], name)
		assert.Equal(t, "llama.cpp", r["benchmark_args"].(map[string]any)["backend"])
	}
}

// transformers serve lists no model, takes no ids, has no tokenizer and refuses
// keys that OpenAI does not have: each is said in a line with what to set, at
// once, and with all of it set its speed is measured.
func TestTransformersServe(t *testing.T) {
	url := transformers(t)
	tokenizer, err := filepath.Abs("../../.venv-vllm/tiny/tokenizer.json")
	require.NoError(t, err)
	set := []string{"BASE_URL=" + url, "ACC_TASK=none", "CONC=1", "NUM_PROMPTS=4"}
	for _, step := range []struct{ says, add string }{
		{"set MODEL to the one that it serves", "MODEL=.venv-vllm/tiny"},
		{"TOKENIZER", "TOKENIZER=" + tokenizer},
		{"EXTRA_BODY", `EXTRA_BODY={"ignore_eos":null,"stream_options":null}`},
	} {
		begin := time.Now()
		exit, out, _ := sweep(t, set...)
		assert.NotZero(t, exit)
		assert.Contains(t, out, step.says)
		assert.Less(t, time.Since(begin), time.Minute)
		set = append(set, step.add)
	}
	exit, out, results := sweep(t, set...)
	require.Zero(t, exit, out)
	require.Len(t, results, 1)
	for name, r := range results {
		assert.EqualValues(t, 4, r["successful_requests"], name)
		assert.EqualValues(t, 4*16, r["total_generated_tokens"], name)
	}
}

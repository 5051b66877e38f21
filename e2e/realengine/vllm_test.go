package realengine

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/e2e/testdata/external"
)

// vllm starts the real vLLM with more of its flags; env is added to its
// environment. The test's end stops it.
func vllm(t *testing.T, env []string, flags ...string) *external.Process {
	t.Helper()
	return vllmOn(t, external.Port(t), env, flags...)
}

func vllmOn(t *testing.T, port int, env []string, flags ...string) *external.Process {
	t.Helper()
	if _, err := os.Stat("../../.venv-vllm/tiny/config.json"); err != nil {
		t.Skip("vLLM is not installed: make real-engine ENGINE=vllm (some 9 GB)")
	}
	cmd := exec.Command("../../scripts/real_vllm.sh", append([]string{"serve"}, flags...)...)
	cmd.Env = append(append(os.Environ(), fmt.Sprintf("PORT=%d", port)), env...)
	return external.Start(t, cmd, port, "/health", 5*time.Minute)
}

func args(r map[string]any) map[string]any { return r["benchmark_args"].(map[string]any) }

// requireAll asserts that every cell passed, with what was asked for.
func requireAll(t *testing.T, out string, results map[string]map[string]any, cells, prompts, tokens int) {
	t.Helper()
	require.Len(t, results, cells, out)
	for name, r := range results {
		require.Equal(t, "PASSED", r["status"], "%s: %v\n%s", name, r["reason"], out)
		assert.EqualValues(t, prompts, r["successful_requests"], name)
		assert.EqualValues(t, prompts*tokens, r["total_generated_tokens"], name)
		assert.Equal(t, "usage", r["token_counts_from"], name)
		assert.Equal(t, "vllm", args(r)["backend"], name)
	}
}

// One server answers the questions that need no flag of its own.
func TestVLLM(t *testing.T) {
	s := vllm(t, nil)

	t.Run("ids", func(t *testing.T) {
		exit, out, results := sweep(t, "BASE_URL="+s.URL, "ISL=64", "CONC=2,4")
		require.Zero(t, exit, out)
		requireAll(t, out, results, 2, 16, 16)
		for name, r := range results {
			assert.EqualValues(t, 16*64, r["total_input_tokens"], name)
			assert.Contains(t, args(r)["backend_version"], "0.32.0", name)
			acc := r["accuracy"].(map[string]any)
			assert.InDelta(t, 3.2, acc["bits_per_byte"], 2.5, "random weights over a vocabulary of 1,000")
			assert.NotEmpty(t, r["server_metrics"], "its /metrics were read")
			audit := r["decode_audit"].(map[string]any)
			assert.Equal(t, 1.0, audit["argmax_share"], "greedy decoding in float32 on one core repeats itself")
		}
	})

	t.Run("text", func(t *testing.T) {
		exit, out, results := sweep(t, "BASE_URL="+s.URL, "ISL=64", "CONC=4", "DATASET=text")
		require.Zero(t, exit, out)
		requireAll(t, out, results, 1, 16, 16)
		for name, r := range results {
			assert.EqualValues(t, 16*64, r["total_input_tokens"], name)
		}
	})

	t.Run("chat", func(t *testing.T) {
		exit, out, results := sweep(t, "BASE_URL="+s.URL, "ISL=64", "CONC=4", "DATASET=text", "ENDPOINT=chat")
		require.Zero(t, exit, out)
		requireAll(t, out, results, 1, 16, 16)
	})

	t.Run("random ids through the chat template", func(t *testing.T) {
		exit, out, results := sweep(t, "BASE_URL="+s.URL, "ISL=96", "CONC=2", "NUM_PROMPTS=8", "ENDPOINT=chat")
		require.Zero(t, exit, out)
		requireAll(t, out, results, 1, 8, 16)
		for name, r := range results {
			assert.EqualValues(t, 8*96, r["server_input_tokens"], "%s: with the template's tokens", name)
			assert.EqualValues(t, 0, r["input_token_offset"], name)
		}
	})

	t.Run("prefix cache", func(t *testing.T) {
		exit, out, results := sweep(t, "BASE_URL="+s.URL, "ISL=512", "CONC=2", "NUM_PROMPTS=8", "SHARED_PREFIX=0.5")
		require.Zero(t, exit, out)
		requireAll(t, out, results, 1, 8, 16)
		for name, r := range results {
			assert.Greater(t, r["cache_hit_rate"], 0.2, "%s: a block is 128 tokens here, and half of each prompt is shared", name)
		}
	})
}

// A key is wanted everywhere, and never shown.
func TestVLLMWithAKey(t *testing.T) {
	const key = "sk-realengine-0123456789"
	s := vllm(t, []string{"API_KEY=" + key})
	exit, out, results := sweep(t, "BASE_URL="+s.URL, "ISL=32", "CONC=2", "NUM_PROMPTS=4", "API_KEY="+key)
	require.Zero(t, exit, out)
	requireAll(t, out, results, 1, 4, 16)
	assert.NotContains(t, out, key)

	begin := time.Now()
	exit, out, _ = sweep(t, "BASE_URL="+s.URL, "ISL=32", "CONC=2", "NUM_PROMPTS=4", "API_KEY=")
	assert.NotZero(t, exit)
	assert.Equal(t, 1, strings.Count(out, "HTTP 401"), out)
	assert.Contains(t, out, "API_KEY")
	assert.Less(t, time.Since(begin), 90*time.Second, "a refused key is not waited for")
}

// A context that is too short is told before anything runs.
func TestVLLMContextTooShort(t *testing.T) {
	s := vllm(t, []string{"MAX_MODEL_LEN=256"})
	exit, out, results := sweep(t, "BASE_URL="+s.URL, "ISL=512", "CONC=2", "ACC_MAX_LENGTH=128")
	assert.NotZero(t, exit)
	assert.Contains(t, out, "takes 256 tokens in all")
	assert.Empty(t, results)
}

// Several tokens a chunk: counts stay exact, and the result says how many came
// together.
func TestVLLMStreamInterval(t *testing.T) {
	s := vllm(t, nil, "--stream-interval", "4")
	exit, out, results := sweep(t, "BASE_URL="+s.URL, "ISL=32", "OSL=32", "CONC=2", "NUM_PROMPTS=8")
	require.Zero(t, exit, out)
	requireAll(t, out, results, 1, 8, 32)
	for name, r := range results {
		assert.InDelta(t, 3.5, r["tokens_per_chunk"], 0.6, name)
	}
}

// Speculation by n-grams: greedy decoding of a small model repeats itself, so
// that guesses are right.
func TestVLLMSpeculates(t *testing.T) {
	s := vllm(t, nil, "--speculative-config", `{"method":"ngram","num_speculative_tokens":3,"prompt_lookup_max":4,"prompt_lookup_min":2}`)
	exit, out, results := sweep(t, "BASE_URL="+s.URL, "ISL=32", "OSL=64", "CONC=2", "NUM_PROMPTS=8")
	require.Zero(t, exit, out)
	requireAll(t, out, results, 1, 8, 64)
	for name, r := range results {
		assert.Greater(t, r["tokens_per_chunk"], 1.0, name)
		spec, _ := r["spec_decode"].(map[string]any)
		assert.Greater(t, spec["acceptance_length"], 1.0, name)
	}
}

// A server that is killed in mid-cell fails the cell; after a new start resume
// finishes the batch.
func TestVLLMKilledAndResumed(t *testing.T) {
	port := external.Port(t)
	s := vllmOn(t, port, nil)
	dir := t.TempDir()
	env := []string{"BASE_URL=" + s.URL, "ISL=64", "OSL=256", "CONC=2", "NUM_PROMPTS=64", "RESULTS_DIR=" + dir}
	go func() { // once requests have been answered
		for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
			if generated(s.URL) > 6000 { // the canaries and the warm-up are some 3,000 of them
				break
			}
		}
		s.Kill()
	}()
	exit, out, results := sweep(t, env...)
	require.NotZero(t, exit, out)
	require.Len(t, results, 1, out)
	for _, r := range results {
		require.Equal(t, "FAILED", r["status"])
	}
	batches, err := filepath.Glob(filepath.Join(dir, "batch_*"))
	require.NoError(t, err)
	require.Len(t, batches, 1)

	vllmOn(t, port, nil)
	cmd := exec.Command("go", "test", "-count", "1", "-timeout", "0", "-run", "TestServing", ".")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "RESUME="+batches[0])
	again, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\nafter\n%s", again, out)
	requireAll(t, string(again), readResults(t, dir), 1, 64, 256)
}

// generated is how many tokens the server has written since it started.
func generated(url string) (n float64) {
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0
	}
	for _, line := range strings.Split(string(page), "\n") {
		if strings.HasPrefix(line, "vllm:generation_tokens_total{") {
			fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &n)
		}
	}
	return n
}

// A server that was started to tell nothing of itself is told so, and its profiler
// writes a trace of requests that are in no figure.
func TestVLLMSilentAndProfiled(t *testing.T) {
	trace := t.TempDir()
	s := vllm(t, []string{"VLLM_SERVER_DEV_MODE=1"}, "--disable-log-stats",
		"--profiler-config", `{"profiler":"torch","torch_profiler_dir":"`+trace+`"}`)
	exit, out, results := sweep(t, "BASE_URL="+s.URL, "ISL=32", "CONC=2", "NUM_PROMPTS=8", "PROFILE=2", "CACHE_RESET=on")
	require.Zero(t, exit, out)
	requireAll(t, out, results, 1, 8, 16)
	for name, r := range results {
		notes := fmt.Sprint(r["notes"])
		assert.Contains(t, notes, "start it without --disable-log-stats", name)
		assert.Contains(t, notes, "its trace is in "+trace, name)
		assert.Equal(t, "done", r["cache_reset"], name)
	}
	found, err := filepath.Glob(filepath.Join(trace, "*.pt.trace.json.gz"))
	require.NoError(t, err)
	assert.NotEmpty(t, found)
}

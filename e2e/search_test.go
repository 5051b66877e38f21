package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/suite"
)

// slower is an engine whose step takes longer the more requests share it.
const slower = `{"name": "slower", "about": "1 ms a step and 0.5 more a request", "source": "Chosen.", "max_model_len": 4096,
	"max_running_requests": 64, "max_tokens_per_step": 8192, "kv_cache_tokens": 1048576, "kv_block_tokens": 16, "prefix_caching": true,
	"decode_step_ms_by_batch": [[1, 1.5], [64, 33]], "decode_us_per_1k_context_tokens": 0, "prefill_tokens_per_s": 1000000, "prefill_overhead_ms": 0}`

// search runs the command in dir.
func search(t *testing.T, dir string, args ...string) (int, string) {
	t.Helper()
	cmd := exec.Command(command, append([]string{"search"}, args...)...)
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(out)
}

// A search ends in one sentence, its probes are cells of a batch, and one that was
// cut off goes on with what it knows.
func TestSearch(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "slower.json"), []byte(slower), 0o600))
	exit, out := search(t, dir, "-slo", "tpot:p50<6", "-isl", "16", "-osl", "8", "-engine-profile", "slower.json", "-acc-at", "once")
	require.Zero(t, exit, out)
	assert.Regexp(t, `(?m)^CONC \d+ keeps all limits at 95 % confidence; \d+ (does not: tpot:p50<6 was|is unresolved: tpot:p50<6 is) `, out)
	assert.Regexp(t, `(?m)^ +CONC +requests +tok/s/GPU +tpot:p50<6 +limits`, out)

	batches, err := filepath.Glob(filepath.Join(dir, "batch_*"))
	require.NoError(t, err)
	require.Len(t, batches, 1)
	read := func() (s suite.Searched) {
		b, err := os.ReadFile(filepath.Join(batches[0], suite.SearchFile))
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &s))
		return s
	}
	all := read()
	assert.True(t, all.Found)
	require.Greater(t, len(all.Probes), 2)
	f, err := batch.Open(batches[0])
	require.NoError(t, err)
	assert.Len(t, f.Cells, len(all.Probes), "every probe is a cell")
	for _, c := range f.Cells {
		assert.Equal(t, batch.Passed, c.Status, "a limit that is missed is an answer, not a failure")
		require.Len(t, c.Result.SLO, 1)
	}

	// As if it had been killed after two probes.
	half := all
	half.Probes, half.Answer, half.Found = all.Probes[:2], "", false
	b, err := json.Marshal(half)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(batches[0], suite.SearchFile), b, 0o600))
	exit, out = search(t, dir, "-resume", filepath.Base(batches[0]))
	require.Zero(t, exit, out)
	assert.Equal(t, all.Probes, read().Probes, "nothing is measured twice")
	assert.Equal(t, all.Answer, read().Answer)

	exit, out = search(t, dir, "-resume", filepath.Base(batches[0]), "-slo", "tpot:p50<7")
	assert.Equal(t, 2, exit, "a search goes on for what it began with")
	assert.Contains(t, out, `SLO="tpot:p50<7"`)
}

// SLO is a gate of an ordinary sweep too.
func TestSLOFailsACell(t *testing.T) {
	exit, dir, out := finish(t, nil, append(small, "-slo", "ttft:p99<0.000001 e2el:mean<60s")...)
	require.Equal(t, 1, exit, out)
	r := result(t, dir, "result_isl16_osl8_conc1.json")
	assert.Equal(t, "FAILED", r["status"])
	assert.Regexp(t, `^SLO missed: ttft:p99<1e-06 was [\d.]+ ms$`, r["reason"])
	slo := r["slo"].([]any)
	require.Len(t, slo, 2)
	assert.Equal(t, "ttft:p99<1e-06", slo[0].(map[string]any)["slo"])

	// A text that is damaged is told all the same, and first.
	exit, dir, out = finish(t, nil, append(small, "-slo", "ttft:p99<0.000001", "-engine-decode-noise", "1")...)
	require.Equal(t, 1, exit, out)
	r = result(t, dir, "result_isl16_osl8_conc1.json")
	assert.Contains(t, r["reason"], "decode audit: ")
	assert.Equal(t, "missed", r["slo"].([]any)[0].(map[string]any)["verdict"])

	exit, _, out = finish(t, nil, append(small, "-slo", "ttft:p98<5")...)
	assert.Equal(t, 2, exit)
	assert.Contains(t, out, `SLO="ttft:p98<5"`)
	assert.Contains(t, out, "say of which statistic")
}

// A request rate can be what varies; each is a cell of the batch by its rate.
func TestSearchForARate(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "slower.json"), []byte(slower), 0o600))
	exit, out := search(t, dir, "-slo", "e2el:p50<30", "-request-rate", "200", "-isl", "16", "-osl", "8", "-engine-profile", "slower.json",
		"-acc-task", "none", "-num-prompts", "400")
	assert.Contains(t, []int{0, 1}, exit, out)
	assert.Regexp(t, `(?m)^REQUEST_RATE [\d.]+ keeps all limits|^No load|unresolved`, out)
	assert.Regexp(t, `(?m)^ +REQUEST_RATE +requests +tok/s/GPU +e2el:p50<30 +limits`, out)
	batches, err := filepath.Glob(filepath.Join(dir, "batch_*"))
	require.NoError(t, err)
	require.Len(t, batches, 1)
	f, err := batch.Open(batches[0])
	require.NoError(t, err)
	require.Greater(t, len(f.Cells), 1)
	for _, c := range f.Cells {
		require.NotNil(t, c.Result, "%v", c.Cell)
		assert.Positive(t, c.Rate)
		assert.Equal(t, c.Rate, float64(c.Result.Args.RequestRate))
		kept, err := f.Requests(c.Cell)
		require.NoError(t, err)
		assert.NotEmpty(t, kept.Timings)
	}
	probes := len(f.Cells)
	exit, out = search(t, dir, "-resume", filepath.Base(batches[0]))
	assert.Contains(t, []int{0, 1}, exit, out)
	f, err = batch.Open(batches[0])
	require.NoError(t, err)
	assert.Len(t, f.Cells, probes, "nothing is measured twice")
}

func TestSearchThatCannotBe(t *testing.T) {
	for want, args := range map[string][]string{
		"SLO is empty":          {"-isl", "16", "-osl", "8"},
		"give ISL and OSL":      {"-slo", "ttft:p99<5"},
		"CONC names the load":   {"-slo", "ttft:p99<5", "-isl", "16", "-osl", "8", "-conc", "1,2"},
		"the levels of GOODPUT": {"-slo", "goodput>95%", "-isl", "16", "-osl", "8"},
		"leave PRECISION out":   {"-slo", "ttft:p99<5", "-isl", "16", "-osl", "8", "-precision", "2%"},
		"no plan.json":          {"-resume", "nowhere", "-slo", "ttft:p99<5", "-isl", "16", "-osl", "8"},
	} {
		exit, out := search(t, t.TempDir(), args...)
		assert.Equal(t, 2, exit, "%v", args)
		assert.Contains(t, out, want)
	}
}

// PRECISION ends a cell early, says what was reached, and marks it.
func TestPrecisionEndsACell(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "slower.json"), []byte(slower), 0o600))
	exit, dir, out := finish(t, nil, "-isl", "16", "-osl", "8", "-conc", "2", "-precision", "50%", "-num-prompts", "2000", "-acc-task", "none",
		"-engine-profile", filepath.Join(dir, "slower.json"))
	require.Zero(t, exit, out)
	r := result(t, dir, "result_isl16_osl8_conc2.json")
	assert.Equal(t, "PASSED", r["status"])
	assert.Contains(t, r["marks"], "precision")
	p := r["precision"].(map[string]any)
	assert.Equal(t, 0.5, p["asked"])
	assert.LessOrEqual(t, p["reached"], 0.5)
	assert.Less(t, p["stopped_after"], 2000.0)
	n := r["successful_requests"].(float64)
	assert.Equal(t, n, r["benchmark_args"].(map[string]any)["num_prompts"])
	assert.Less(t, n, p["stopped_after"], "its first requests do not count")
	assert.InEpsilon(t, r["total_generated_tokens"].(float64)/r["benchmark_duration"].(float64), r["output_throughput"], 1e-9)
	assert.Contains(t, out, "PRECISION=50% ended it after ")
	whole := r["steady_state"].(map[string]any)
	assert.Less(t, n, whole["requests"], "the steady state is that of the whole run")

	exit, _, out = finish(t, nil, append(small, "-precision", "1%", "-acc-task", "none")...)
	require.Zero(t, exit, out)
	assert.Contains(t, out, "PRECISION=1% was not reached: 4 requests are too few to tell")
	for want, args := range map[string][]string{
		"want a share such as 2%": {"-precision", "2"},
		"leave REQUEST_RATE":      {"-precision", "2%", "-request-rate", "5"},
	} {
		exit, _, out = finish(t, nil, append(small, args...)...)
		assert.Equal(t, 2, exit)
		assert.Contains(t, out, want)
	}
}

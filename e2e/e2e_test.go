// Package e2e drives the suite as a user does: it builds the root package's
// test binary and runs it, on the embedded engine, with sweeps small enough
// for a test. Nothing is faked.
package e2e

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
)

var (
	binary  string // the root package's test binary
	command string // the command inferbench
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "inferbench-e2e")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary, command = filepath.Join(dir, "suite.test"), filepath.Join(dir, "inferbench")
	for _, args := range [][]string{{"test", "-c", "-o", binary, "inferbench"}, {"build", "-o", command, "inferbench/cmd/inferbench"}} {
		build := exec.Command("go", args...)
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			panic(err)
		}
	}
	forgetSettings()
	return m.Run()
}

// forgetSettings takes the settings out of the environment: what a user has
// exported is none of the tests' business.
func forgetSettings() {
	example, err := os.ReadFile("../.env.example")
	if err != nil {
		panic(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^([A-Z0-9_]+)=`).FindAllSubmatch(example, -1) {
		os.Unsetenv(string(m[1]))
	}
}

// small is a sweep of two cells that takes about a second.
var small = []string{"-isl", "16", "-osl", "8", "-conc", "1,2", "-num-prompts", "4"}

// start begins the suite in an empty folder.
func start(t *testing.T, env []string, args ...string) (cmd *exec.Cmd, dir string, out *bytes.Buffer) {
	t.Helper()
	dir = t.TempDir()
	cmd = exec.Command(binary, append([]string{"-test.timeout=0"}, args...)...)
	cmd.Dir, cmd.Env = dir, env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no controlling terminal
	out = new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	require.NoError(t, cmd.Start())
	watchdog := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	t.Cleanup(func() { watchdog.Stop(); cmd.Process.Kill() })
	return cmd, dir, out
}

// finish runs the suite to its end.
func finish(t *testing.T, env []string, args ...string) (exit int, dir, out string) {
	t.Helper()
	cmd, dir, buf := start(t, env, args...)
	err := cmd.Wait()
	if _, ok := err.(*exec.ExitError); err != nil && !ok {
		require.NoError(t, err)
	}
	return cmd.ProcessState.ExitCode(), dir, buf.String()
}

// batchFile reads a file of the one batch in dir.
func batchFile(t *testing.T, dir, name string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "batch_*", name))
	require.NoError(t, err)
	require.Len(t, paths, 1, "%s in %s", name, dir)
	b, err := os.ReadFile(paths[0])
	require.NoError(t, err)
	return string(b)
}

// result reads a cell's file: of one without figures that is its verdict.
func result(t *testing.T, dir, name string) map[string]any {
	t.Helper()
	if found, _ := filepath.Glob(filepath.Join(dir, "batch_*", name)); len(found) == 0 {
		name = "verdict_" + strings.TrimPrefix(name, "result_")
	}
	var r map[string]any
	require.NoError(t, json.Unmarshal([]byte(batchFile(t, dir, name)), &r))
	return r
}

func TestSmallSweep(t *testing.T) {
	exit, dir, out := finish(t, nil, append(small, "-test.v")...)
	require.Zero(t, exit, out)
	summary := batchFile(t, dir, "summary.txt")
	assert.Regexp(t, `\[1/2\] ISL=16 OSL=8 CONC=1: PASSED \(\d+s\)\n\[2/2\] ISL=16 OSL=8 CONC=2: PASSED \(\d+s\)\n`, summary)
	assert.Contains(t, summary, "Mode: perf\n")
	assert.Contains(t, summary, "Total tests: 2\nPassed: 2\nFailed: 0\n")
	assert.Contains(t, out, "They prove the suite, not any hardware.")
	assert.Contains(t, out, "is a pair of your own")
	name := "BenchmarkServing/isl=16/osl=8/conc=2"
	if n := runtime.GOMAXPROCS(0); n > 1 {
		name += fmt.Sprintf("-%d", n) // as go test -bench has it, for benchstat
	}
	assert.Regexp(t, `(?m)^`+name+`\s+1\s+\d+ ns/op`, out)

	r := result(t, dir, "result_isl16_osl8_conc2.json")
	for _, key := range strings.Fields(`successful_requests benchmark_duration total_input_tokens total_generated_tokens
		request_throughput output_throughput total_token_throughput tput_per_gpu interactivity benchmark_args
		mean_ttft_ms median_ttft_ms std_ttft_ms p99_ttft_ms mean_tpot_ms median_tpot_ms std_tpot_ms p99_tpot_ms
		mean_itl_ms median_itl_ms std_itl_ms p99_itl_ms mean_e2el_ms median_e2el_ms std_e2el_ms p99_e2el_ms
		b200_baseline_nv1126 tput_per_gpu_ratio_vs_b200_1126 median_e2e_ratio_vs_b200_1126 accuracy accuracy_validation`) {
		assert.Contains(t, r, key)
	}
	assert.EqualValues(t, 4, r["successful_requests"])
	assert.EqualValues(t, 4*16, r["total_input_tokens"])
	assert.EqualValues(t, 4*8, r["total_generated_tokens"])
	assert.Equal(t, "PASSED", r["accuracy_validation"].(map[string]any)["status"])
	assert.Nil(t, r["tput_per_gpu_ratio_vs_b200_1126"], "a pair of one's own has no baseline")
	assert.InDelta(t, r["total_token_throughput"].(float64)/8, r["tput_per_gpu"], 1e-6)
	args := r["benchmark_args"].(map[string]any)
	for key, want := range map[string]any{"random_input_len": 16.0, "random_output_len": 8.0, "max_concurrency": 2.0, "num_prompts": 4.0,
		"random_range_ratio": 1.0, "request_rate": "inf", "backend": "embedded", "dataset_name": "random", "seed": 1.0} {
		assert.Equal(t, want, args[key], key)
	}
}

// go test keeps the results of tests in a cache; a measurement must be made.
func TestGoTestNeverAnswersFromItsCache(t *testing.T) {
	dir := t.TempDir()
	for n := 1; n <= 2; n++ {
		cmd := exec.Command("go", "test", "-run", "TestServing", ".")
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "ISL=16", "OSL=8", "CONC=1", "NUM_PROMPTS=1", "RESULTS_DIR="+dir)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		batches, err := filepath.Glob(filepath.Join(dir, "batch_*"))
		require.NoError(t, err)
		assert.Len(t, batches, n, string(out))
	}
}

func TestModeAccMeasuresNoSpeed(t *testing.T) {
	for _, args := range [][]string{{"-mode", "acc"}, {"-test.run", "TestAccuracy"}} {
		exit, dir, out := finish(t, nil, append(args, small...)...)
		require.Zero(t, exit, out)
		assert.Contains(t, batchFile(t, dir, "summary.txt"), "Mode: acc\n")
		r := result(t, dir, "result_isl16_osl8_conc1.json")
		assert.NotContains(t, r, "successful_requests")
		assert.Contains(t, r["accuracy"], "bits_per_byte")
		files, err := filepath.Glob(filepath.Join(dir, "batch_*", "result_*.json"))
		require.NoError(t, err)
		assert.Empty(t, files, "a loop over result files finds figures in each")
	}
}

// Without a baseline nothing judges the figures. summary.txt knows no word for
// that; everything else says it.
func TestAccuracyThatIsNotJudged(t *testing.T) {
	exit, dir, out := finish(t, nil, append(small, "-mode", "acc", "-acc-max-length", "1024", "-test.v")...)
	require.Zero(t, exit, out)
	assert.Contains(t, batchFile(t, dir, "summary.txt"), "CONC=1: PASSED")
	assert.Regexp(t, `(?m)^ +1 +\d\.\d{4} NOT_RUN .* PASSED \(.*accuracy-not-run\) *$`, out, "the table")
	assert.Regexp(t, `(?m)^accuracy NOT_RUN: no accuracy baseline for this model on .*: the figures are recorded, not judged$`, out, "below the table")
	assert.Contains(t, out, "accuracy_validation NOT_RUN\n", "an attribute, which gotestsum makes a property of")
	assert.Contains(t, batchFile(t, dir, "summary.md"), "Accuracy NOT_RUN")
	v := result(t, dir, "result_isl16_osl8_conc1.json")["accuracy_validation"].(map[string]any)
	assert.Equal(t, "NOT_RUN", v["status"])
	assert.Contains(t, v["reason"], "not judged")
}

// A run for speed alone says so wherever its figures stand.
func TestSpeedAlone(t *testing.T) {
	exit, dir, out := finish(t, nil, append(small, "-acc-task", "none", "-test.v")...)
	require.Zero(t, exit, out)
	assert.Regexp(t, `(?m)^ +1 +NOT_RUN +[\d.]+ .* PASSED`, out, "the table")
	assert.Contains(t, out, "accuracy-not-run)", "the mark in the table")
	assert.Contains(t, out, "accuracy NOT_RUN: accuracy was not asked for\n", "below the table")
	assert.Contains(t, out, "accuracy_validation NOT_RUN\n")
	assert.Contains(t, strings.ReplaceAll(batchFile(t, dir, "summary.md"), `\`, ""), "accuracy-not-run)")
	assert.Contains(t, batchFile(t, dir, "summary.md"), "* Accuracy NOT_RUN (CONC 1, 2); accuracy was not asked for")
	assert.Contains(t, batchFile(t, dir, "report.html"), "accuracy was not asked for")
	r := result(t, dir, "result_isl16_osl8_conc1.json")
	assert.Subset(t, r["marks"], []any{"accuracy_not_run", "embedded"})
	assert.Equal(t, map[string]any{"status": "NOT_RUN", "reason": "accuracy was not asked for", "scored_at": 1.0}, r["accuracy_validation"])
	assert.Positive(t, r["tput_per_gpu"])

	for _, args := range [][]string{{"-mode", "acc"}, {"-mode", "submit", "-team", "x"}} {
		exit, _, out = finish(t, nil, append(append(args, "-acc-task", "none"), small...)...)
		assert.Equal(t, 2, exit)
		assert.Contains(t, out, "ACC_TASK=none measures speed alone")
	}
}

// Each cell says which score it stands on; a score is taken once.
func TestWhereTheGateStands(t *testing.T) {
	exit, dir, out := finish(t, nil, "-isl", "16", "-osl", "8", "-conc", "1,2,3", "-num-prompts", "4", "-acc-at", "ends", "-test.v")
	require.Zero(t, exit, out)
	assert.Regexp(t, `(?m)^ +2 +2\.\d{4} `, out, "the table")
	assert.Contains(t, out, "(at CONC 3)", "in the row, or under its figure where the table is too wide")
	assert.Contains(t, batchFile(t, dir, "summary.md"), "Accuracy PASSED (CONC 2, scored at CONC 3)")
	for conc, at := range map[int]int{1: 1, 2: 3, 3: 3} {
		v := result(t, dir, fmt.Sprintf("result_isl16_osl8_conc%d.json", conc))["accuracy_validation"].(map[string]any)
		assert.EqualValues(t, at, v["scored_at"], "CONC %d", conc)
		assert.Equal(t, "PASSED", v["status"])
	}
	took := func(conc int) any {
		return result(t, dir, fmt.Sprintf("result_isl16_osl8_conc%d.json", conc))["accuracy"].(map[string]any)["duration_s"]
	}
	assert.Equal(t, took(2), took(3), "one score, two cells")
	assert.NotEqual(t, took(1), took(3))
}

// The chat gate, on an engine that knows the answers and on a damaged one.
func TestTheGateByChat(t *testing.T) {
	exit, dir, out := finish(t, nil, append(small, "-acc-task", "gsm8k-chat", "-test.v")...)
	require.Zero(t, exit, out)
	r := result(t, dir, "result_isl16_osl8_conc2.json")
	assert.Equal(t, 1.0, r["accuracy"].(map[string]any)["exact_match_strict"])
	v := r["accuracy_validation"].(map[string]any)
	assert.Equal(t, "PASSED", v["status"])
	assert.Equal(t, "inferbench-ngram-gsm8k-chat", v["baseline"])
	assert.Contains(t, batchFile(t, dir, "summary.md"), "exact_match_strict 1.0000 (limits 1.0000 to 1.0000)")

	exit, dir, out = finish(t, nil, append(small, "-acc-task", "gsm8k-chat", "-engine-noise", "1")...)
	assert.Equal(t, 1, exit, out)
	assert.NotContains(t, result(t, dir, "result_isl16_osl8_conc1.json"), "tput_per_gpu")
}

// What accuracy will need is checked before the server is waited for.
func TestWithoutNetworkNothingIsWaitedFor(t *testing.T) {
	for _, args := range [][]string{{}, {"-acc-task", "gsm8k"}} {
		begin := time.Now()
		exit, dir, out := finish(t, []string{"HF_HUB_OFFLINE=1", "CACHE_DIR=" + t.TempDir()},
			append(append(args, "-base-url", "http://127.0.0.1:1", "-ready-timeout", "1m"), small...)...)
		assert.Equal(t, 2, exit)
		assert.Less(t, time.Since(begin), 30*time.Second)
		assert.Contains(t, out, "HF_HUB_OFFLINE forbids it: run make fetch CACHE_DIR=DIR on a machine that has network")
		assert.Equal(t, 1, strings.Count(out, "\n"), "one line: %s", out)
		batches, _ := filepath.Glob(filepath.Join(dir, "batch_*"))
		assert.Empty(t, batches)
	}
	exit, _, out := finish(t, nil, append([]string{"-acc-baseline", "deepseek-r1-0528-mxfp4-gsm8k"}, small...)...)
	assert.Equal(t, 2, exit)
	assert.Contains(t, out, "ACC_BASELINE=deepseek-r1-0528-mxfp4-gsm8k is of the task gsm8k, but ACC_TASK is wikitext")
}

// Text under synthetic acceptance is not the model's: it is not judged, and the
// cell is marked.
func TestSyntheticAcceptance(t *testing.T) {
	exit, dir, out := finish(t, nil, append(small, "-engine-decode-noise", "1", "-synthetic-acceptance")...)
	require.Zero(t, exit, out)
	r := result(t, dir, "result_isl16_osl8_conc2.json")
	assert.Contains(t, r["marks"], "synthetic_acceptance")
	audit := r["decode_audit"].(map[string]any)
	assert.Equal(t, "NOT_RUN", audit["status"])
	assert.Equal(t, "synthetic acceptance: text not judged", audit["reason"])
	canaries := r["canaries"].(map[string]any)
	assert.Equal(t, "NOT_RUN", canaries["status"])
	assert.Equal(t, "synthetic acceptance: text not judged", canaries["reason"])
	assert.Equal(t, "PASSED", r["accuracy_validation"].(map[string]any)["status"], "wikitext only reads")
	assert.Contains(t, out, "synthetic-acceptance")

	exit, dir, out = finish(t, nil, append(small, "-acc-task", "gsm8k-chat", "-synthetic-acceptance")...)
	require.Zero(t, exit, out)
	assert.Contains(t, out, "accuracy NOT_RUN: synthetic acceptance: text not judged")
	assert.Contains(t, result(t, dir, "result_isl16_osl8_conc1.json")["marks"], "accuracy_not_run")
}

func TestWrongAccuracySkipsTheBenchmark(t *testing.T) {
	base, err := os.ReadFile("../baselines/accuracy/inferbench-ngram.json")
	require.NoError(t, err)
	var b map[string]any
	require.NoError(t, json.Unmarshal(base, &b))
	b["byte_perplexity"] = b["byte_perplexity"].(float64) * 1.05
	b["bits_per_byte"] = b["bits_per_byte"].(float64) * 1.05
	// Keep the two consistent, as the baseline's own check demands.
	b["byte_perplexity"] = pow2(b["bits_per_byte"].(float64))
	wrong, err := json.Marshal(b)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "wrong.json")
	require.NoError(t, os.WriteFile(file, wrong, 0o600))

	exit, dir, out := finish(t, nil, append(small, "-acc-baseline", file)...)
	assert.Equal(t, 1, exit, out)
	assert.Contains(t, batchFile(t, dir, "summary.txt"), "Passed: 0\nFailed: 2\n")
	r := result(t, dir, "result_isl16_osl8_conc1.json")
	assert.Equal(t, "FAILED", r["status"])
	assert.Equal(t, "FAILED", r["accuracy_validation"].(map[string]any)["status"])
	assert.Contains(t, r["reason"], "below the baseline")
	assert.NotContains(t, r, "successful_requests", "no speed without accuracy")
	assert.NotContains(t, out, "--- FAIL: TestServing", "TestAccuracy has said it")

	_, _, out = finish(t, nil, append(small, "-acc-baseline", file, "-test.run", "TestServing")...)
	assert.Contains(t, out, "--- FAIL: TestServing/isl=16/osl=8/conc=2", "where TestAccuracy was not asked for, it is told here")
}

// Reading rightly and writing wrongly passes wikitext, and is timed; the audit
// after the pass fails the cell, whatever task its accuracy was judged by.
func TestWrongDecodingFailsTheCell(t *testing.T) {
	for task, validation := range map[string]string{"wikitext": "PASSED", "gsm8k": "NOT_RUN"} {
		exit, dir, out := finish(t, nil, append(small, "-engine-decode-noise", "1", "-acc-task", task)...)
		assert.Equal(t, 1, exit, out)
		assert.Contains(t, batchFile(t, dir, "summary.txt"), "Passed: 0\nFailed: 2\n")
		r := result(t, dir, "result_isl16_osl8_conc1.json")
		assert.Equal(t, validation, r["accuracy_validation"].(map[string]any)["status"])
		assert.EqualValues(t, 4, r["successful_requests"], "the audit changes no figure")
		audit := r["decode_audit"].(map[string]any)
		assert.Equal(t, "FAILED", audit["status"])
		assert.Contains(t, audit, "first_divergence")
		assert.Less(t, audit["argmax_share"], 0.99)
		assert.Equal(t, "decode audit: "+audit["reason"].(string), r["reason"])
	}
}

// What goes wrong under the measured load alone is seen by the canaries in it:
// wikitext passes, and so does the audit of the decode path after the pass.
func TestCanariesCatchDamageUnderLoad(t *testing.T) {
	cell := []string{"-isl", "64", "-osl", "150", "-conc", "4", "-num-prompts", "60"}
	for _, fault := range []string{"", "noise-under-load", "cache-under-load"} {
		exit, dir, out := finish(t, nil, append(cell, "-engine-faults", fault)...)
		r := result(t, dir, "result_isl64_osl150_conc4.json")
		assert.Equal(t, "PASSED", r["accuracy_validation"].(map[string]any)["status"])
		assert.Equal(t, "PASSED", r["decode_audit"].(map[string]any)["status"])
		assert.EqualValues(t, 60*64, r["total_input_tokens"])
		assert.EqualValues(t, 60*150, r["total_generated_tokens"])
		c := r["canaries"].(map[string]any)
		assert.EqualValues(t, 8, c["asked"])
		assert.EqualValues(t, 1, c["baseline_exact_share"])
		if fault == "" {
			assert.Zero(t, exit, out)
			assert.Equal(t, "PASSED", c["status"])
			assert.EqualValues(t, 1, c["exact_share"])
			assert.Nil(t, c["first_difference"])
			continue
		}
		assert.Equal(t, 1, exit, out)
		assert.Equal(t, "FAILED", c["status"], fault)
		assert.Less(t, c["exact_share"], 0.5)
		assert.Equal(t, "canaries: "+c["reason"].(string), r["reason"])
		assert.Contains(t, batchFile(t, dir, "summary.txt"), "Failed: 1\n")
		assert.Contains(t, c["first_difference"], "position")
	}
}

func TestOneCellByPattern(t *testing.T) {
	exit, dir, out := finish(t, nil, append(small, "-test.run", "^$", "-test.bench", "Serving/isl=16/osl=8/conc=2$")...)
	require.Zero(t, exit, out)
	assert.Contains(t, batchFile(t, dir, "summary.txt"), "[1/1] ISL=16 OSL=8 CONC=2: PASSED")
	assert.Contains(t, out, "Unit tok/s/gpu better=higher\n")
	assert.Equal(t, "PASSED", result(t, dir, "result_isl16_osl8_conc2.json")["accuracy_validation"].(map[string]any)["status"],
		"-bench alone still gates on accuracy")
}

// go test hands on the dot of `go test -isl 16 .`, as the README writes it.
func TestPackageAfterTheFlags(t *testing.T) {
	exit, dir, out := finish(t, nil, append(small, "-mode", "acc", ".")...)
	require.Zero(t, exit, out)
	assert.Contains(t, batchFile(t, dir, "summary.txt"), "Passed: 2\n")
}

func TestResultFilename(t *testing.T) {
	exit, dir, out := finish(t, []string{"ISL=16", "OSL=8", "CONC=2", "NUM_PROMPTS=2", "RESULT_FILENAME=mine"})
	require.Zero(t, exit, out)
	assert.Equal(t, "PASSED", result(t, dir, "mine.json")["status"])
}

func TestFewerPromptsThanConcAreSaidSo(t *testing.T) {
	const says = "only 2 requests were sent, so there were never CONC in flight: raise NUM_PROMPTS or DURATION"
	exit, dir, out := finish(t, nil, "-isl", "16", "-osl", "8", "-conc", "4", "-num-prompts", "2")
	require.Zero(t, exit, out)
	assert.Contains(t, result(t, dir, "result_isl16_osl8_conc4.json")["notes"], says)
	assert.Contains(t, out, "\nCONC 4: "+says+"\n")
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"setting":   {[]string{"-isl", "abc"}, `ISL="abc" (from flag -isl)`},
		"no flag":   {append([]string{"osl=8"}, small...), `"osl=8" is no flag`},
		"order":     {append([]string{".", "-seed", "8"}, small...), `"." is no flag, and nothing after it`},
		"no cell":   {append([]string{"-test.run", "TestServing/isl=16/osl=8/conc=5$"}, small...), "cells that the settings name: isl=16/osl=8/conc=1, isl=16/osl=8/conc=2"},
		"no test":   {append([]string{"-test.run", "TestServng"}, small...), "leave none of TestAccuracy, TestServing and BenchmarkServing"},
		"no speed":  {append([]string{"-test.run", "TestServing", "-mode", "acc"}, small...), "mode acc measures no speed"},
		"typo":      {append([]string{"-ilsl", "8"}, small...), "flag provided but not defined: -ilsl\ninferbench: `make settings` lists"},
		"team":      {[]string{"-mode", "submit"}, "TEAM is empty"},
		"baseline":  {append([]string{"-hw-baseline", "h9000"}, small...), "HW_BASELINE"},
		"accuracy":  {append([]string{"-acc-baseline", "none-such"}, small...), "ACC_BASELINE"},
		"no server": {append([]string{"-port", "1", "-ready-timeout", "1s", "-acc-task", "none"}, small...), "READY_TIMEOUT"},
		"model":     {append([]string{"-model", "gpt-9"}, small...), "it lists: inferbench-ngram"},
		"time":      {[]string{"-test.timeout", "2s", "-isl", "64", "-osl", "2000", "-conc", "1", "-num-prompts", "100000"}, "add -timeout 0"},
	} {
		t.Run(name, func(t *testing.T) {
			exit, dir, out := finish(t, nil, c.args...)
			assert.Equal(t, 2, exit, out)
			assert.Contains(t, out, c.want)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left, "a refused run leaves nothing")
		})
	}
}

// untilServing waits for the first finished cell of a run that has more.
func untilCell(t *testing.T, dir, name string) {
	t.Helper()
	require.Eventually(t, func() bool {
		paths, _ := filepath.Glob(filepath.Join(dir, "batch_*", name))
		return len(paths) == 1
	}, time.Minute, 10*time.Millisecond)
}

// long is a sweep whose second cell does not end by itself within a test.
var long = []string{"-isl", "16", "-osl", "2000", "-conc", "1,2", "-num-prompts", "3", "-test.run", "TestServing"}

func TestInterrupt(t *testing.T) {
	cmd, dir, out := start(t, []string{"NUM_PROMPTS=3"}, "-isl", "16", "-osl", "100", "-conc", "1,2,3", "-num-prompts", "2000")
	require.Eventually(t, func() bool { return strings.Contains(readSummary(dir), "Mode: perf") }, time.Minute, 10*time.Millisecond)
	time.Sleep(500 * time.Millisecond)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	cmd.Wait()
	assert.NotZero(t, cmd.ProcessState.ExitCode(), out.String())
	assert.Contains(t, readSummary(dir), "CONC=3: INCOMPLETE\n")
	assert.Contains(t, readSummary(dir), "\nInterrupted\n")
	assert.Contains(t, out.String(), "interrupted")
}

func TestKill(t *testing.T) {
	cmd, dir, out := start(t, nil, long...)
	untilCell(t, dir, "result_isl16_osl2000_conc1.json")
	require.NoError(t, cmd.Process.Kill())
	cmd.Wait()
	assert.Contains(t, readSummary(dir), "Mode: perf", out.String())
	assert.Equal(t, "PASSED", result(t, dir, "result_isl16_osl2000_conc1.json")["status"])
	files, err := filepath.Glob(filepath.Join(dir, "batch_*", "*"))
	require.NoError(t, err)
	for _, f := range files {
		if filepath.Ext(f) == ".json" {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			assert.True(t, json.Valid(b), f)
		}
	}
}

func readSummary(dir string) string {
	paths, _ := filepath.Glob(filepath.Join(dir, "batch_*", "summary.txt"))
	if len(paths) != 1 {
		return ""
	}
	b, _ := os.ReadFile(paths[0])
	return string(b)
}

func pow2(x float64) float64 { return math.Exp2(x) }

// CI reads the JUnit file that gotestsum makes: every accuracy cell and every
// performance cell is a test case with its figures as properties.
func TestJUnit(t *testing.T) {
	dir := t.TempDir()
	report := filepath.Join(dir, "junit.xml")
	cmd := exec.Command("go", "tool", "gotestsum", "--junitfile", report, "--raw-command", "--",
		"go", "tool", "test2json", "-p", "inferbench", binary, "-test.v=test2json", "-test.timeout=0")
	cmd.Env = append(os.Environ(), "ISL=16", "OSL=8", "CONC=1,2", "NUM_PROMPTS=4", "GOODPUT=ttft:500", "RESULTS_DIR="+dir)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	b, err := os.ReadFile(report)
	require.NoError(t, err)
	type testcase struct {
		Name       string  `xml:"name,attr"`
		Time       float64 `xml:"time,attr"`
		Properties []struct {
			Name  string `xml:"name,attr"`
			Value string `xml:"value,attr"`
		} `xml:"properties>property"`
	}
	var suites struct {
		Suites []struct {
			Cases []testcase `xml:"testcase"`
		} `xml:"testsuite"`
	}
	require.NoError(t, xml.Unmarshal(b, &suites))
	properties := map[string]map[string]string{}
	for _, s := range suites.Suites {
		for _, c := range s.Cases {
			properties[c.Name] = map[string]string{}
			for _, p := range c.Properties {
				properties[c.Name][p.Name] = p.Value
			}
		}
	}
	for _, cell := range []string{"isl=16/osl=8/conc=1", "isl=16/osl=8/conc=2"} {
		require.Contains(t, properties, "TestAccuracy/"+cell, string(b))
		assert.Contains(t, properties["TestAccuracy/"+cell], "bits_per_byte")
		require.Contains(t, properties, "TestServing/"+cell)
		var r batch.Result
		conc := cell[strings.LastIndex(cell, "=")+1:]
		require.NoError(t, json.Unmarshal([]byte(batchFile(t, dir, "result_isl16_osl8_conc"+conc+".json")), &r))
		for _, f := range figures.Table {
			if v := f.Of(&r); v != nil && f.Bench != "" {
				assert.Equal(t, fmt.Sprint(*v), properties["TestServing/"+cell][f.Bench], "JUnit's property of %s", f.Key)
			}
		}
		assert.Contains(t, properties["TestServing/"+cell], "good-req/s")
	}
}

// whole lets a proxy read requests to their end before it passes them on: net/http's
// cuts a stream short where the answer begins before that.
func whole(proxy http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r)
	})
}

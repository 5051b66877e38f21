package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// finishIn runs the suite in a folder that has a batch.
func finishIn(t *testing.T, dir string, env []string, args ...string) (exit int, out string) {
	t.Helper()
	cmd := exec.Command(binary, append([]string{"-test.timeout=0"}, args...)...)
	cmd.Dir, cmd.Env = dir, env
	b, _ := cmd.CombinedOutput()
	return cmd.ProcessState.ExitCode(), string(b)
}

func theBatch(t *testing.T, dir string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "batch_*"))
	require.NoError(t, err)
	require.Len(t, paths, 1, "one batch, resumed or not")
	return filepath.Base(paths[0])
}

// A sweep that is killed at any moment goes on where it was.
func TestResumeAfterAKill(t *testing.T) {
	cmd, dir, out := start(t, nil, "-isl", "16", "-osl", "8", "-conc", "1,2,3,4", "-num-prompts", "1000", "-seed", "7")
	one := filepath.Join(dir, "batch_*", "result_isl16_osl8_conc1.json")
	require.Eventually(t, func() bool { found, _ := filepath.Glob(one); return len(found) == 1 }, time.Minute, time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	b := theBatch(t, dir)
	first := batchFile(t, dir, "result_isl16_osl8_conc1.json")
	require.NotContains(t, batchFile(t, dir, "summary.txt"), "Total tests", out.String())

	exit, text := finishIn(t, dir, nil, "-resume", b, "-seed", "8")
	assert.Equal(t, 2, exit)
	assert.Contains(t, text, `SEED="8" (from flag -seed): the batch to resume was run with SEED=7`)

	exit, text = finishIn(t, dir, nil, "-resume", b)
	require.Zero(t, exit, text)
	theBatch(t, dir)
	assert.Equal(t, first, batchFile(t, dir, "result_isl16_osl8_conc1.json"), "what had finished is not run again")
	assert.Contains(t, batchFile(t, dir, "summary.txt"), "Total tests: 4\nPassed: 4\nFailed: 0\n")
	for _, name := range []string{"conc2", "conc3", "conc4"} {
		r := result(t, dir, "result_isl16_osl8_"+name+".json")
		assert.EqualValues(t, 1000, r["successful_requests"])
		assert.EqualValues(t, 7, r["benchmark_args"].(map[string]any)["seed"])
	}

	exit, text = finishIn(t, dir, nil, "-resume", b)
	assert.Zero(t, exit)
	assert.Contains(t, text, "every cell has PASSED")
	exit, text = finishIn(t, dir, nil, "-resume", b, "-conc", "2")
	assert.Equal(t, 2, exit)
	assert.Contains(t, text, "CONC=2 of "+b+" has PASSED: begin a new batch")
}

// A failed cell runs again alone, into the same folder.
func TestRunAFailedCellAgain(t *testing.T) {
	exit, dir, out := finish(t, nil, append(small, "-request-timeout", "1us")...)
	require.Equal(t, 1, exit, out)
	require.Contains(t, batchFile(t, dir, "summary.txt"), "Passed: 0\nFailed: 2\n")
	b := theBatch(t, dir)

	exit, out = finishIn(t, dir, nil, "-resume", b)
	assert.Equal(t, 2, exit)
	assert.Contains(t, out, b+": every cell is finished: to run what FAILED again: make resume BATCH="+b+" CONC=1,2\n")

	exit, out = finishIn(t, dir, nil, "-resume", b, "-conc", "2", "-request-timeout", "1m", "-test.run", "TestAccuracy")
	assert.Equal(t, 2, exit)
	assert.Contains(t, out, b+" is a batch of mode perf, but this run would be of mode acc", "a cell does not pass without its speed")
	assert.Contains(t, batchFile(t, dir, "summary.txt"), "Passed: 0\nFailed: 2\n")

	exit, out = finishIn(t, dir, nil, "-resume", b, "-conc", "2", "-request-timeout", "1m")
	require.Equal(t, 1, exit, "the exit code is on the whole batch, as its summary is: "+out)
	assert.Contains(t, out, "Batch: "+b+"/: 1 of its 2 cells have passed\n")
	assert.Contains(t, out, "inferbench: "+b+": of 2 cells 1 failed and 0 did not finish; from before this run: CONC=1 FAILED\n")
	assert.Regexp(t, `\[1/2\] ISL=16 OSL=8 CONC=1: FAILED \(\d+s\)\n\[2/2\] ISL=16 OSL=8 CONC=2: PASSED`, batchFile(t, dir, "summary.txt"))
	assert.Equal(t, "PASSED", result(t, dir, "result_isl16_osl8_conc2.json")["status"])

	exit, out = finishIn(t, dir, nil, "-resume", b, "-conc", "1", "-request-timeout", "1m")
	require.Zero(t, exit, out)
	assert.Contains(t, out, "Batch: "+b+"/: 2 of its 2 cells have passed\n")
}

// Another server is not the one that the batch was run on.
func TestResumeOnAnotherServer(t *testing.T) {
	exit, dir, out := finish(t, nil, append(small, "-request-timeout", "1us")...)
	require.Equal(t, 1, exit, out)
	b := theBatch(t, dir)
	plan := filepath.Join(dir, b, "plan.json")
	text, err := os.ReadFile(plan)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(plan, []byte(string(text[:len(text)-2])+`,"server":{"model":"m","backend":"vllm","backend_version":"1"}}`), 0o644))
	exit, out = finishIn(t, dir, nil, "-resume", b, "-conc", "1")
	assert.Equal(t, 2, exit)
	assert.Contains(t, out, b+" was run on m (vllm 1), but http://127.0.0.1:")
}

// A file that a setting names is read anew, and must be the one it was.
func TestResumeWithAnotherBaseline(t *testing.T) {
	text, err := os.ReadFile("../baselines/hardware/b200-nv1126.json")
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "mine.json")
	require.NoError(t, os.WriteFile(file, text, 0o644))
	exit, dir, out := finish(t, nil, append(small, "-request-timeout", "1us", "-hw-baseline", file)...)
	require.Equal(t, 1, exit, out)
	b := theBatch(t, dir)
	changed := strings.Replace(string(text), `"median_e2e_ms": 8448`, `"median_e2e_ms": 8449`, 1)
	require.NotEqual(t, string(text), changed)
	require.NoError(t, os.WriteFile(file, []byte(changed), 0o644))
	exit, out = finishIn(t, dir, nil, "-resume", b, "-conc", "1", "-request-timeout", "1m")
	assert.Equal(t, 2, exit)
	assert.Contains(t, out, b+": what HW_BASELINE names has changed since the batch began")
	require.NoError(t, os.WriteFile(file, text, 0o644))
	_, out = finishIn(t, dir, nil, "-resume", b, "-conc", "1", "-request-timeout", "1m")
	assert.Contains(t, out, "1 of its 2 cells have passed")
}

// Without a batch there is nothing to go on with: it is no new sweep.
func TestResumeOfNothing(t *testing.T) {
	cmd := exec.Command("make", "resume")
	cmd.Dir = ".."
	out, err := cmd.CombinedOutput()
	assert.Error(t, err)
	assert.Contains(t, string(out), "make resume: want a batch folder, as in make resume BATCH=batch_…\n")
	assert.NotContains(t, string(out), "go: ", "nothing was run")
}

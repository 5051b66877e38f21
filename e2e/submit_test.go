package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A batch that was measured to look at can be submitted later, as it is.
func TestSubmitABatchOfBefore(t *testing.T) {
	dir := t.TempDir()
	exit, text := finishIn(t, dir, nil, "-test.run", "TestServing", "-mode", "perf", "-isl", "64", "-osl", "16", "-conc", "1,2", "-num-prompts", "20", "-results-dir", dir)
	require.Zero(t, exit, text)
	b := theBatch(t, dir)

	submit := func(team string, args ...string) (int, string) {
		cmd := exec.Command(command, append([]string{"board", "submit"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "TEAM="+team, "LEADERBOARD_LISTEN=127.0.0.1:0", "LEADERBOARD_DB="+filepath.Join(dir, "board.db"))
		out, _ := cmd.CombinedOutput()
		return cmd.ProcessState.ExitCode(), string(out)
	}
	exit, text = submit("", b)
	assert.NotZero(t, exit)
	assert.Contains(t, text, "TEAM is empty")
	exit, text = submit("x", "batch_none")
	assert.NotZero(t, exit)
	assert.Contains(t, text, "batch_none: there is no such folder")

	exit, text = submit("x", b)
	assert.Zero(t, exit, text)
	for _, cell := range []string{"isl=64/osl=16/conc=1: confirmed", "isl=64/osl=16/conc=2: confirmed"} {
		assert.Contains(t, text, cell)
	}
	exit, text = submit("x", b)
	assert.Zero(t, exit, text)
	assert.Contains(t, text, "confirmed before, not sent again")

	exit, text = finishIn(t, dir, nil, "-test.run", "TestAccuracy", "-mode", "acc", "-isl", "32", "-osl", "16", "-conc", "1", "-results-dir", dir)
	require.Zero(t, exit, text)
	accuracyOnly, err := filepath.Glob(filepath.Join(dir, "batch_isl32*"))
	require.NoError(t, err)
	exit, text = submit("x", accuracyOnly...)
	assert.NotZero(t, exit)
	assert.Contains(t, text, "there is nothing to submit")
}

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// submitted is what a submission's file says of the one batch in dir; "" where
// there is none.
func submitted(dir, cell string) string {
	paths, _ := filepath.Glob(filepath.Join(dir, "batch_*", "submission_"+cell+".json"))
	if len(paths) != 1 {
		return ""
	}
	b, _ := os.ReadFile(paths[0])
	var s struct{ Status string }
	_ = json.Unmarshal(b, &s)
	return s.Status
}

// boardIn is the environment of a sweep that submits to a board of its own in
// dir, or to none that answers.
func boardIn(dir, url string) []string {
	return append(os.Environ(), "MODE=submit", "TEAM=x", "LEADERBOARD_LISTEN=127.0.0.1:0", "LEADERBOARD_DB="+filepath.Join(dir, "board.db"), "LEADERBOARD_URL="+url)
}

// A cell is submitted when it has passed, while the next one runs, and the table
// says what became of it.
func TestACellIsSubmittedWhenItHasPassed(t *testing.T) {
	exit, dir, out := finish(t, boardIn(t.TempDir(), ""), "-isl", "64", "-osl", "64", "-conc", "1,2", "-num-prompts", "40")
	require.Zero(t, exit, out)
	assert.Equal(t, "confirmed", submitted(dir, "isl64_osl64_conc1"))
	assert.Regexp(t, `(?m)accuracy .*result +leaderboard *$`, out)
	assert.Regexp(t, `(?m)^ +2 .* confirmed *$`, out)
}

// What passed before a sweep ends, however it ends, is kept and told, and make
// resubmit sends it.
func TestWhatPassedIsNotLost(t *testing.T) {
	for name, end := range map[string]os.Signal{"kill -9": os.Kill, "Ctrl+C": os.Interrupt, "hangup": syscall.SIGHUP} {
		t.Run(name, func(t *testing.T) {
			dead := "http://127.0.0.1:9" // the board answers nothing
			cmd, dir, out := start(t, boardIn(t.TempDir(), dead), "-isl", "64", "-osl", "2000", "-conc", "1,2", "-num-prompts", "10", "-test.run", "TestServing")
			require.Eventually(t, func() bool { return submitted(dir, "isl64_osl2000_conc1") == "pending" }, time.Minute, 10*time.Millisecond)
			require.NoError(t, cmd.Process.Signal(end))
			_ = cmd.Wait()
			assert.Equal(t, "pending", submitted(dir, "isl64_osl2000_conc1"))
			if end != os.Kill {
				assert.Regexp(t, `(?m)^ +1 .* pending *$`, out.String())
				assert.Regexp(t, `make resubmit sends them`, out.String())
			}
			resubmit := exec.Command(command, "board", "resubmit")
			resubmit.Dir, resubmit.Env = dir, boardIn(dir, "")
			text, err := resubmit.CombinedOutput()
			require.NoError(t, err, string(text))
			assert.Equal(t, "confirmed", submitted(dir, "isl64_osl2000_conc1"), string(text))
		})
	}
}

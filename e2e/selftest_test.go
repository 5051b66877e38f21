package e2e

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a Go programmer types first runs a small sweep of the whole way on the
// embedded engine, whatever server the guide had them export, and leaves nothing.
func TestABareGoTestIsASmallSweep(t *testing.T) {
	env := append(os.Environ(), "MODEL=deepseek", "PORT=1", "TP=3", "BASE_URL=http://127.0.0.1:1", "RESULTS_DIR=results", "TEAM=x")
	for name, args := range map[string][]string{
		"go test": nil, "-short": {"-test.short"}, "-v": {"-test.v"}, "-bench .": {"-test.bench", "."},
		"-run ^$ -bench .": {"-test.run", "^$", "-test.bench", "."},
	} {
		t.Run(name, func(t *testing.T) {
			exit, dir, out := finish(t, append(env, "TMPDIR="+t.TempDir()), args...)
			require.Zero(t, exit, out)
			assert.Contains(t, out, "inferbench-ngram on embedded")
			assert.Regexp(t, `\nThis was a small sweep to test the suite.* make bench .*go test -timeout 0 .*\n$`, out)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// Whoever names the tests asks for a real sweep.
func TestNamingTheTestsAsksForASweep(t *testing.T) {
	for _, args := range [][]string{{"-test.run", "TestServing"}, {"-test.run", "^$", "-test.bench", "Serving"}, {"-isl", "1024"}} {
		exit, _, out := finish(t, append(os.Environ(), "PORT=1", "READY_TIMEOUT=1s", "ACC_TASK=none"), args...)
		assert.Equal(t, 2, exit, "it waits for the server that PORT names: %s", out)
		assert.Contains(t, out, "http://127.0.0.1:1")
	}
}

// go test holds back what a package prints and drops it when it passes: the
// table goes to the terminal itself.
func TestTableOnTheTerminalWhereGoTestHoldsItBack(t *testing.T) {
	dir := t.TempDir()
	shown := onTerminal(t, dir, binary, append(small, "-progress", "lines")...)
	assert.Contains(t, shown, "ISL 16, OSL 8, mode perf")
	assert.Regexp(t, `Batch: batch_isl16_osl8_\d+_\d+/`, shown)
	batches, err := filepath.Glob(filepath.Join(dir, "batch_*"))
	require.NoError(t, err)
	assert.Len(t, batches, 1)
}

// onTerminal runs a command whose controlling terminal is one and whose standard
// output is not, and returns what the terminal showed.
func onTerminal(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	ours, theirs, err := pty.Open()
	require.NoError(t, err)
	defer ours.Close()
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Stdin = dir, theirs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	var held bytes.Buffer
	cmd.Stdout, cmd.Stderr = &held, &held
	shown := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(ours) // ends with an error when the terminal is closed
		shown <- strings.ReplaceAll(string(text), "\r\n", "\n")
	}()
	err = cmd.Run()
	theirs.Close()
	require.NoError(t, err, held.String())
	return <-shown
}

// A name that is nearly a setting's is told on the terminal, where go test would
// drop what a run that passes says.
func TestANearMissIsToldOnTheTerminal(t *testing.T) {
	t.Setenv("MAX_CONCURRENCY", "4")
	shown := onTerminal(t, t.TempDir(), binary, "-test.run", "TestServing/isl=16/osl=4/conc=4$", "-isl", "16", "-osl", "4", "-num-prompts", "4", "-progress", "none")
	assert.Contains(t, shown, "inferbench: MAX_CONCURRENCY (in the environment) is no setting and is not read: did you mean CONC?")
}

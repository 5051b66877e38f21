package e2e

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/engine"
	"inferbench/harness/suite"
)

// serving is an engine in a process of its own, as two servers are.
func serving(t *testing.T, addr string) *engine.Engine {
	t.Helper()
	e, err := engine.Start(engine.Config{Addr: addr})
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	return e
}

// ab is the command in dir.
func ab(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(command, append([]string{"ab", "-isl", "16", "-osl", "8", "-conc", "2", "-acc-task", "none"}, args...)...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// compared reads what a comparison left in dir.
func compared(t *testing.T, dir string) (file suite.AB) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "batch_*", suite.ABFile))
	require.NoError(t, err)
	require.Len(t, paths, 2, "both batches have it")
	b, err := os.ReadFile(paths[0])
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &file))
	return file
}

func TestTwoServersInTurn(t *testing.T) {
	a, b := serving(t, ""), serving(t, "")
	dir := t.TempDir()
	text, _ := ab(dir, "-pairs", "3", "-num-prompts", "20", a.URL(), b.URL()).CombinedOutput()
	out := string(text)
	assert.Contains(t, out, "pair 3 of 3: ", out)
	assert.Regexp(t, `(?m)^isl=16/osl=8/conc=2`, out)
	file := compared(t, dir)
	assert.Len(t, file.Blocks, 3)
	require.Len(t, file.Comparison, 1)
	assert.NotEmpty(t, file.Comparison[0].Figures)
	for i, side := range []suite.ABSide{file.A, file.B} {
		assert.Equal(t, []string{a.URL(), b.URL()}[i], side.URL)
		f, err := batch.Open(filepath.Join(dir, side.Batch))
		require.NoError(t, err)
		require.Len(t, f.Cells, 1)
		r := f.Cells[0].Result
		require.NotNil(t, r, out)
		assert.Equal(t, batch.Passed, r.Status)
		assert.Equal(t, 21, r.Performance.Successful, "7 a block")
		assert.Equal(t, side.URL, r.Args.BaseURL)
		kept, err := f.Requests(f.Cells[0].Cell)
		require.NoError(t, err)
		assert.Len(t, kept.Timings, 21)
		assert.FileExists(t, filepath.Join(dir, side.Batch, "report.html"))
	}
}

// A server that dies ends the comparison in one line, which says how to go on; gone
// on with, it measures no pair twice.
func TestAServerThatDiesInTurn(t *testing.T) {
	a, b := serving(t, ""), serving(t, "")
	dir, address := t.TempDir(), strings.TrimPrefix(b.URL(), "http://")
	cmd := ab(dir, "-pairs", "4", "-num-prompts", "400", a.URL(), b.URL())
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	said := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "pair 1 of 4") {
			b.Close()
		}
	}
	require.Error(t, cmd.Wait())
	assert.Equal(t, 1, cmd.ProcessState.ExitCode(), said)
	assert.Contains(t, said, "inferbench: B ("+b.URL()+"): isl=16/osl=8/conc=2 after ")
	file := compared(t, dir)
	assert.Contains(t, said, "make ab RESUME="+file.A.Batch)
	require.NotEmpty(t, file.Blocks)
	require.Less(t, len(file.Blocks), 4)

	serving(t, address)
	text, err := exec.Command(command, "ab", "-resume", filepath.Join(dir, file.B.Batch)).CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil {
		require.True(t, exited)
	}
	require.Contains(t, string(text), "pair 4 of 4", string(text))
	again := compared(t, dir)
	assert.Len(t, again.Blocks, 4)
	assert.Equal(t, file.Blocks, again.Blocks[:len(file.Blocks)])
	for _, side := range []suite.ABSide{again.A, again.B} {
		f, err := batch.Open(filepath.Join(dir, filepath.Base(side.Batch)))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, f.Cells[0].Result.Performance.Successful, 400, "with the requests of before")
	}
}

func TestServersInTurnThatCannotBe(t *testing.T) {
	a := serving(t, "")
	for want, args := range map[string][]string{
		"want the addresses of two servers": {a.URL()},
		"want an address such as":           {"localhost", a.URL()},
		"leave PRECISION":                   {"-precision", "2%", a.URL(), a.URL()},
		"want a whole number, 3 or more":    {"-pairs", "2", a.URL(), a.URL()},
		"it has no ab.json":                 {"-resume", "."},
	} {
		cmd := ab(t.TempDir(), args...)
		text, _ := cmd.CombinedOutput()
		assert.Equal(t, 2, cmd.ProcessState.ExitCode(), "%v: %s", args, text)
		assert.Contains(t, string(text), want)
	}
	text, _ := ab(t.TempDir(), "-pairs", "3", "-num-prompts", "6", a.URL(), a.URL()).CombinedOutput()
	assert.Contains(t, string(text), "A and B are both "+a.URL()+": whatever differs is chance")
}

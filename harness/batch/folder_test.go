package batch_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
)

func TestOpenReadsWhatWasWritten(t *testing.T) {
	b := create(t)
	require.NoError(t, b.Record(cells[0], batch.Passed, 3*time.Second))
	require.NoError(t, b.Record(cells[1], batch.Failed, 2*time.Second))
	args := batch.Args{Model: "m", RandomInputLen: 1024, RandomOutputLen: 1024, MaxConcurrency: 4, NumPrompts: 200}
	require.NoError(t, b.WriteResult("named.json", cells[0], batch.Result{Status: batch.Passed, Args: args}))
	require.NoError(t, b.WriteFile("pending_submission.json", []byte("{}")))

	f, err := batch.Open(b.Dir)
	require.NoError(t, err)
	assert.False(t, f.Summary.Ended)
	assert.Equal(t, "submit", f.Summary.Mode)
	assert.Equal(t, "2025-11-25 15:00:00", f.Summary.Time.Format(time.DateTime))
	require.Len(t, f.Cells, 2)
	assert.Equal(t, cells[0], f.Cells[0].Cell, "the prompts come from the result")
	assert.Equal(t, batch.Passed, f.Cells[0].Status)
	assert.Equal(t, 3*time.Second, f.Cells[0].Took)
	assert.Equal(t, "m", f.Cells[0].Result.Args.Model)
	assert.Equal(t, batch.Failed, f.Cells[1].Status)
	assert.Nil(t, f.Cells[1].Result)

	require.NoError(t, b.Close())
	f, err = batch.Open(b.Dir)
	require.NoError(t, err)
	assert.True(t, f.Summary.Ended)
	assert.Len(t, f.Cells, 5)
	assert.Equal(t, batch.Incomplete, f.Cells[4].Status)
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	for want, content := range map[string]string{
		`line 1: "hello"`:             "hello\n",
		"line 2: the file is cut off": "Multi-Concurrency Test Results\n",
		`line 2: "ISL: x"`:            "Multi-Concurrency Test Results\nISL: x\n",
		"line 4":                      "Multi-Concurrency Test Results\nISL: 1, OSL: 2\nMode: perf\nTime: yesterday\n",
		"line 3":                      "Multi-Concurrency Test Results\nISL: 1, OSL: 2\n[1/5] ISL=1 OSL=2 CONC=3: FINE\n",
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "summary.txt"), []byte(content), 0o644))
		_, err := batch.Open(dir)
		assert.ErrorContains(t, err, want)
	}
	_, err := batch.Open(t.TempDir())
	assert.ErrorContains(t, err, "not a batch folder: it has no summary.txt")
}

// A path is a path, whatever its letters mean to a shell.
func TestOpenAll(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "run [1], again")
	var dirs []string
	for range 2 {
		b, err := batch.Create(parent, batch.Header{Combination: combo, Time: moment, Cells: cells})
		require.NoError(t, err)
		require.NoError(t, b.WriteResult("", cells[0], batch.Result{Status: batch.Passed, Args: batch.Args{RandomInputLen: 1024, RandomOutputLen: 1024, MaxConcurrency: 4}}))
		dirs = append(dirs, b.Dir)
	}
	fs, err := batch.OpenAll(dirs[0])
	require.NoError(t, err)
	require.Len(t, fs, 1)
	require.Len(t, fs[0].Cells, 1, "its result is found")

	t.Chdir(parent)
	one, two := filepath.Base(dirs[0]), filepath.Base(dirs[1])
	fs, err = batch.OpenAll(one + ", " + two)
	require.NoError(t, err)
	assert.Len(t, fs, 2)
	_, err = batch.OpenAll(one + "," + two + ",./" + one)
	assert.ErrorContains(t, err, one+" and ./"+one+" are one folder: a batch counts once")
	_, err = batch.OpenAll(one + ",none")
	assert.ErrorContains(t, err, "none: there is no such folder")
}

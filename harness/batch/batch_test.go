package batch_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/hint"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
)

var (
	combo  = matrix.Combination{ISL: 1024, OSL: 1024}
	cells  = matrix.Selection{}.Cells(combo)
	moment = time.Date(2025, 11, 25, 15, 0, 0, 0, time.UTC)
)

func create(t *testing.T) *batch.Batch {
	t.Helper()
	b, err := batch.Create(t.TempDir(), batch.Header{Combination: combo, Mode: "submit", Time: moment, Cells: cells})
	require.NoError(t, err)
	return b
}

func read(t *testing.T, b *batch.Batch) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(b.Dir, "summary.txt"))
	require.NoError(t, err)
	return string(text)
}

// The bounty's users read this file with their own scripts: it is held to the
// letter.
func TestSummaryToTheLetter(t *testing.T) {
	b := create(t)
	assert.Equal(t, "batch_isl1024_osl1024_20251125_150000", filepath.Base(b.Dir))
	for i, c := range cells {
		status := batch.Passed
		if i == 1 {
			status = batch.Failed
		}
		require.NoError(t, b.Record(c, status, 180*time.Second))
	}
	require.NoError(t, b.Close())
	assert.Equal(t, `Multi-Concurrency Test Results
ISL: 1024, OSL: 1024
Mode: submit
Time: Tue Nov 25 15:00:00 2025
============================================

[1/5] ISL=1024 OSL=1024 CONC=4: PASSED (180s)
[2/5] ISL=1024 OSL=1024 CONC=8: FAILED (180s)
[3/5] ISL=1024 OSL=1024 CONC=16: PASSED (180s)
[4/5] ISL=1024 OSL=1024 CONC=32: PASSED (180s)
[5/5] ISL=1024 OSL=1024 CONC=64: PASSED (180s)

============================================
Multi-Concurrency Test Complete!
============================================
Total tests: 5
Passed: 4
Failed: 1

Results saved in: `+b.Dir+`/
============================================
`, read(t, b))
}

func TestSummaryOfAnInterruptedSweep(t *testing.T) {
	b := create(t)
	require.NoError(t, b.Record(cells[0], batch.Passed, time.Second))
	assert.True(t, strings.HasSuffix(read(t, b), "CONC=4: PASSED (1s)\n"), "before the end, only what has happened")
	require.NoError(t, b.Record(cells[1], batch.Incomplete, time.Second))
	require.NoError(t, b.Close())
	text := read(t, b)
	assert.Contains(t, text, "[2/5] ISL=1024 OSL=1024 CONC=8: INCOMPLETE\n")
	assert.Contains(t, text, "[5/5] ISL=1024 OSL=1024 CONC=64: INCOMPLETE\n")
	assert.Contains(t, text, "\nInterrupted\n")
	assert.Contains(t, text, "Passed: 1\nFailed: 0\nIncomplete: 4\n")
}

func TestAFailedRunOfACellIsNotForgotten(t *testing.T) {
	b := create(t)
	require.NoError(t, b.Record(cells[0], batch.Failed, time.Second))
	require.NoError(t, b.Record(cells[0], batch.Passed, time.Second))
	assert.Contains(t, read(t, b), "CONC=4: FAILED (2s)")
}

func TestTwoBatchesInOneSecond(t *testing.T) {
	root := t.TempDir()
	h := batch.Header{Combination: combo, Time: moment, Cells: cells}
	one, err := batch.Create(root, h)
	require.NoError(t, err)
	two, err := batch.Create(root, h)
	require.NoError(t, err)
	assert.Equal(t, one.Dir+"_2", two.Dir)
}

func TestResultIsWholeOrAbsent(t *testing.T) {
	b := create(t)
	measured := batch.Result{Performance: &stats.Summary{}}
	names := func() (out []string) {
		files, err := os.ReadDir(b.Dir)
		require.NoError(t, err)
		for _, f := range files {
			out = append(out, f.Name())
		}
		return out
	}
	require.NoError(t, b.WriteResult("", cells[0], measured))
	assert.Equal(t, []string{"result_isl1024_osl1024_conc4.json", "summary.txt"}, names())
	// A cell without figures has its verdict in a file of another name, and none
	// of an earlier pass's figures beside it.
	require.NoError(t, b.WriteResult("", cells[0], batch.Result{Status: batch.Failed}))
	assert.Equal(t, []string{"summary.txt", "verdict_isl1024_osl1024_conc4.json"}, names())
	require.NoError(t, b.WriteResult("", cells[0], measured))
	assert.Equal(t, []string{"result_isl1024_osl1024_conc4.json", "summary.txt"}, names())

	nan := math.NaN()
	measured.Performance = &stats.Summary{TputPerGPU: &nan}
	assert.ErrorContains(t, b.WriteResult("", cells[1], measured), "conc=8")
	assert.Len(t, names(), 2, "a result that cannot be written leaves no file")
}

// A closed loop's rate is "inf", as other clients have it; files of before say null.
func TestRate(t *testing.T) {
	for text, want := range map[string]batch.Rate{`"inf"`: 0, `null`: 0, `2.5`: 2.5} {
		var r batch.Rate
		require.NoError(t, json.Unmarshal([]byte(text), &r))
		assert.Equal(t, want, r)
	}
	text, err := json.Marshal([]batch.Rate{0, 2.5})
	require.NoError(t, err)
	assert.Equal(t, `["inf",2.5]`, string(text))
	assert.Error(t, json.Unmarshal([]byte(`"fast"`), new(batch.Rate)))
}

func TestFolderThatCannotBeMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := batch.Create(file, batch.Header{Combination: combo, Time: moment})
	assert.ErrorContains(t, err, "RESULTS_DIR")
}

// Whoever moves a batch's folder away is told of that, not of permissions.
func TestAFolderThatIsGone(t *testing.T) {
	b := create(t)
	require.NoError(t, os.RemoveAll(b.Dir))
	err := b.Record(cells[0], batch.Passed, time.Second)
	assert.Contains(t, hint.Line(err), "was moved or removed while it ran")
}

// What stands in a result file steers no terminal.
func TestResultsArePrintable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "result.json")
	require.NoError(t, os.WriteFile(file, []byte("{\r\n\t\"notes\": [\"a\\\\nb \\u003c\\\"\"],\n \"benchmark_args\": {\"model\": "+
		"\"red \\u001b[31m \\\\u001b\u009b2J \u202eback\\u202e\\nline \\u007f\", \"label\": \"日本語 \\u65e5\"}}"), 0o644))
	r, err := batch.ReadResult(file)
	require.NoError(t, err)
	assert.Equal(t, `red �[31m \u001b�2J �back� line �`, r.Args.Model)
	assert.Equal(t, "日本語 日", r.Args.Label)
	assert.Equal(t, []string{`a\nb <"`}, r.Notes)
}

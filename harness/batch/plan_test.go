package batch_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
)

// interrupted is a batch of five cells: the first passed, the second failed,
// the third was cut off, and then the process was killed.
func interrupted(t *testing.T) *batch.Batch {
	b := create(t)
	require.NoError(t, b.WritePlan(batch.Server{"m", "sglang", "0.5"}, map[string]string{"SEED": "7"}, nil))
	for i, status := range []batch.Status{batch.Passed, batch.Failed, batch.Incomplete} {
		require.NoError(t, b.Record(cells[i], status, 3*time.Second))
		require.NoError(t, b.WriteResult("", cells[i], batch.Result{Status: status, Performance: &stats.Summary{}, Args: batch.Args{RandomInputLen: 1024, RandomOutputLen: 1024, MaxConcurrency: cells[i].Conc, NumPrompts: cells[i].NumPrompts}}))
	}
	return b
}

func TestUnfinished(t *testing.T) {
	b := interrupted(t)
	for _, c := range []struct {
		conc []int
		want []matrix.Cell
	}{
		{nil, cells[2:]},
		{[]int{8}, cells[1:2]},
		{[]int{64, 8}, []matrix.Cell{cells[1], cells[4]}},
		{[]int{4, 64}, cells[4:5]},           // 4 has passed
		{[]int{4, 8, 16, 32, 64}, cells[1:]}, // exported for the sweep
	} {
		got, err := batch.Unfinished(b.Dir, c.conc)
		require.NoError(t, err)
		assert.Equal(t, c.want, got)
	}
	_, err := batch.Unfinished(b.Dir, []int{4})
	assert.ErrorContains(t, err, "CONC=4 of "+b.Dir+" has PASSED: begin a new batch")
	_, err = batch.Unfinished(b.Dir, []int{5})
	assert.ErrorContains(t, err, "CONC=5 is no cell of")
	require.NoError(t, os.Remove(filepath.Join(b.Dir, batch.PlanName)))
	_, err = batch.Unfinished(b.Dir, nil)
	assert.ErrorContains(t, err, "it has no plan.json")
}

// What failed for no fault of its configuration runs again unasked, and so does
// what passed and has lost its file.
func TestWhatRunsAgainUnasked(t *testing.T) {
	b := interrupted(t)
	require.NoError(t, b.WriteResult("", cells[1], batch.Result{Status: batch.Failed, RunAgain: true,
		Performance: &stats.Summary{}, Args: batch.Args{RandomInputLen: 1024, RandomOutputLen: 1024, MaxConcurrency: cells[1].Conc}}))
	got, err := batch.Unfinished(b.Dir, nil)
	require.NoError(t, err)
	assert.Equal(t, cells[1:], got, "the server had gone")

	require.NoError(t, os.Remove(filepath.Join(b.Dir, cells[0].FileName())))
	require.NoError(t, os.Remove(filepath.Join(b.Dir, cells[1].FileName())))
	got, err = batch.Unfinished(b.Dir, nil)
	require.NoError(t, err)
	assert.Equal(t, cells, got, "no file, no result")
	require.NoError(t, b.Kill())
	again, err := batch.Reopen(b.Dir, got)
	require.NoError(t, err)
	assert.NotContains(t, read(t, again), "PASSED")
	require.NoError(t, again.Kill())
}

func TestReopenKeepsTheSummaryTrue(t *testing.T) {
	old := interrupted(t)
	again, err := batch.Unfinished(old.Dir, []int{8, 16, 32, 64})
	require.NoError(t, err)
	_, err = batch.Reopen(old.Dir, again)
	assert.ErrorContains(t, err, old.Dir+": another process is running this batch")
	assert.Contains(t, read(t, old), "CONC=8: FAILED", "and nothing of it was touched")
	require.NoError(t, old.Kill())
	_, err = batch.Reopen(old.Dir, cells[:1])
	assert.ErrorContains(t, err, "has PASSED meanwhile")
	b, err := batch.Reopen(old.Dir+"/", again)
	require.NoError(t, err)
	assert.Equal(t, old.Dir, b.Dir)
	text := read(t, b)
	assert.Contains(t, text, "Time: Tue Nov 25 15:00:00 2025")
	assert.Contains(t, text, "[1/5] ISL=1024 OSL=1024 CONC=4: PASSED (3s)\n")
	assert.NotContains(t, text, "CONC=8", "what runs again has no verdict until it has run")
	_, err = os.Stat(filepath.Join(b.Dir, cells[1].FileName()))
	assert.ErrorIs(t, err, os.ErrNotExist, "no old figures stand for it either")
	_, err = os.Stat(filepath.Join(b.Dir, cells[0].FileName()))
	assert.NoError(t, err)

	for _, c := range again {
		require.NoError(t, b.Record(c, batch.Passed, time.Second))
	}
	require.NoError(t, b.Close())
	text = read(t, b)
	assert.Contains(t, text, "[2/5] ISL=1024 OSL=1024 CONC=8: PASSED (1s)\n", "an earlier failure is not held against it")
	assert.Contains(t, text, "Passed: 5\nFailed: 0\n\nResults saved in: ")
}

// How far a batch has come is in plan.json; summary.txt is for people. Of a batch
// of before that was so, and of an imported one, the summary tells.
func TestThePlanTellsHowFarABatchIs(t *testing.T) {
	b := interrupted(t)
	statuses := func() (out []batch.Status) {
		f, err := batch.Open(b.Dir)
		require.NoError(t, err)
		assert.False(t, f.Summary.Ended)
		for _, c := range f.Cells {
			out = append(out, c.Status)
		}
		return out
	}
	want := []batch.Status{batch.Passed, batch.Failed, batch.Incomplete}
	summary, err := os.ReadFile(filepath.Join(b.Dir, "summary.txt"))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(b.Dir, "summary.txt"), []byte("somebody's notes\n"), 0o644))
	assert.Equal(t, want, statuses())

	plan := filepath.Join(b.Dir, batch.PlanName)
	text, err := os.ReadFile(plan)
	require.NoError(t, err)
	var old map[string]any
	require.NoError(t, json.Unmarshal(text, &old))
	delete(old, "outcomes")
	text, err = json.Marshal(old)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(plan, text, 0o644))
	_, err = batch.Open(b.Dir)
	assert.ErrorContains(t, err, "somebody's notes")
	require.NoError(t, os.WriteFile(filepath.Join(b.Dir, "summary.txt"), summary, 0o644))
	assert.Equal(t, want, statuses())

	require.NoError(t, b.Close())
	f, err := batch.Open(b.Dir)
	require.NoError(t, err)
	assert.True(t, f.Summary.Ended)
	assert.Equal(t, 3*time.Second, f.Cells[0].Took)
}

package sweep

import (
	"flag"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/engine"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
	"inferbench/harness/settings"
)

func TestClockJump(t *testing.T) {
	for _, c := range []struct {
		byDay, monotonic time.Duration
		want             string
	}{
		{10 * time.Second, 10 * time.Second, ""},
		{10*time.Second + 900*time.Millisecond, 10 * time.Second, ""},
		{time.Hour + 3*time.Second, time.Hour, ""}, // slewed for an hour
		{3610 * time.Second, 10 * time.Second, "jumped by +3600 s"},
		{-50 * time.Second, 10 * time.Second, "jumped by -60 s"},
	} {
		got := jump(c.byDay, c.monotonic)
		if c.want == "" {
			assert.Empty(t, got, "%+v", c)
		} else {
			assert.Contains(t, got, c.want)
		}
	}
	assert.Empty(t, readClocks().jump())
}

// setter sets the clock an hour forward once requests have been answered.
type setter struct {
	nobody
	set func()
}

func (s setter) Serving(_ matrix.Cell, p load.Progress) {
	if p.Done > 0 {
		s.set()
	}
}

// A cell in the midst of which the clock is set passes, since durations are not
// that clock's, and says so in its result file.
func TestClockSetDuringACell(t *testing.T) {
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	defer e.Close()
	set, err := settings.Load(flag.NewFlagSet("", flag.ContinueOnError), []string{
		"BASE_URL=" + e.URL(), "ISL=16", "OSL=8", "CONC=1", "NUM_PROMPTS=400", "RESULTS_DIR=" + t.TempDir()}, "")
	require.NoError(t, err)
	target := server.New(set.Server.BaseURL, "", "", nil)
	require.NoError(t, target.Wait(t.Context(), server.WaitOptions{}))

	var ahead atomic.Int64
	real := timeOfDay
	timeOfDay = func() time.Time { return real().Add(time.Duration(ahead.Load())) }
	defer func() { timeOfDay = real }()

	cell := set.Selection.Cells(set.Selection.Combinations()[0])[0]
	sw, err := Open(t.Context(), Config{Settings: set, Target: target, Begin: time.Now(), Mode: set.Mode,
		Cells: []matrix.Cell{cell}, Watch: setter{set: func() { ahead.Store(int64(time.Hour)) }}})
	require.NoError(t, err)
	r, err := sw.Serve(t.Context(), cell)
	require.NoError(t, err)
	require.Equal(t, batch.Passed, r.Status, r.Reason)
	require.NoError(t, sw.Close())
	assert.Less(t, r.Performance.Duration, time.Hour.Seconds())

	const says = "the machine's clock jumped by +3600 s during this cell (it was set, or the machine slept): durations stand, times of day do not; run the cell again if the machine slept"
	f, err := batch.Open(sw.batches[cell.Combination].Dir)
	require.NoError(t, err)
	require.Len(t, f.Cells, 1)
	assert.Contains(t, f.Cells[0].Result.Notes, says)
}

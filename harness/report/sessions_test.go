package report

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
	"inferbench/harness/testdata/browsertest"
)

// someSessions is a run of two sessions, one with a sub-agent, one whose second turn
// failed.
func someSessions() stats.Run {
	const s = time.Second
	turn := func(session, stream, number int, sent, first, end time.Duration, cached, hits int) stats.Timing {
		return stats.Timing{Sent: sent, First: first, Last: end, Done: end, Chunks: 2, InputTokens: 100, OutputTokens: 2,
			Prompt: stats.Prompt{Counted: true, Server: 100, Cached: cached, CachedTold: true},
			Turn:   &stats.Turn{Session: session, Stream: stream, Number: number, Blocks: 10, Hits: hits}}
	}
	failed := turn(1, 0, 2, 90*s, 0, 0, 0, 0)
	failed.Err, failed.First, failed.Last, failed.Done = "HTTP 500", 0, 0, 100*s
	return stats.Run{Duration: 120 * s, Timings: []stats.Timing{
		turn(0, 0, 1, 0, 10*s, 20*s, 0, 0),
		turn(1, 0, 1, 5*s, 15*s, 20*s, 0, 0),
		turn(0, 0, 2, 60*s, 61*s, 70*s, 50, 8),
		turn(0, 1, 1, 30*s, 31*s, 40*s, 20, 4),
		failed,
	}, Sessions: []stats.Session{{Trace: "a", Ended: 70 * s, Done: true, Whole: true}, {Trace: "b", Began: 5 * s, Ended: 100 * s, Failed: true}}}
}

// Sessions are drawn with each stream in a row, sub-agents below their session, and
// the shares of prompts that caches hold over time.
func TestSessionsAreDrawn(t *testing.T) {
	run := someSessions()
	sum := run.Summary()
	series := newSeries(&batch.Requests{RequestsHead: batch.RequestsHead{DurationNS: int64(run.Duration)}, Timings: run.Timings}, &sum)
	got := series.Sessions
	require.NotNil(t, got)
	names := []string{}
	for _, r := range got.Rows {
		names = append(names, r.Name)
	}
	assert.Equal(t, []string{"a", "↳ agent 1", "b"}, names)
	assert.Len(t, got.Rows[0].Turns, 2)
	assert.True(t, got.Rows[2].Turns[1].Failed)
	assert.Equal(t, 60.0, got.Rows[0].Turns[1].Sent)
	at := func(sec float64) int { return int(sec / series.Step) }
	assert.Equal(t, []float64{0.5, 0.8}, []float64{*got.Hits[at(61)], *got.Theoretical[at(61)]})
	assert.Nil(t, got.Hits[at(80)])
	assert.Equal(t, []float64{2, 1, 0}, []float64{got.Live[at(50)], got.Live[at(90)], got.Live[at(110)]})
	require.Len(t, got.ByTurn, 2)
	assert.Nil(t, newSeries(&batch.Requests{Timings: run.Timings}, &stats.Summary{}).Sessions, "a run of no sessions")
}

// A page of sessions stands in a browser: its own charts are painted, its table needs
// no scrolling, and nothing is amiss.
func TestSessionsInABrowser(t *testing.T) {
	run := someSessions()
	sum := run.Summary()
	cell := matrix.Cell{Combination: matrix.Combination{Scenario: "agentx"}, Conc: 2}
	b, err := batch.Create(t.TempDir(), batch.Header{Combination: cell.Combination, Mode: "perf", Time: time.Now(), Cells: []matrix.Cell{cell}})
	require.NoError(t, err)
	require.NoError(t, b.WriteResult("", cell, batch.Result{Status: batch.Passed, Performance: &sum,
		Args: batch.Args{Model: "m", MaxConcurrency: 2, Scenario: "agentx"}}))
	require.NoError(t, b.WriteRequests(cell, run.Timings, run.Duration))
	require.NoError(t, b.Record(cell, batch.Passed, run.Duration))
	require.NoError(t, b.Close())
	require.NoError(t, Write(b.Dir, Options{}))
	for _, width := range []int{390, 1280} {
		p := browsertest.Open(t, "file://"+filepath.Join(b.Dir, HTMLName), width, width == 390)
		for _, id := range []string{"c-turns", "c-turnhits", "c-live", "c-hits", "c-sessions"} {
			assert.True(t, browsertest.Eval[bool](p, `(() => { const c = document.getElementById("`+id+`");
				return !c.closest("figure").hidden && c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some((v) => v > 0) })()`), "%s is painted", id)
		}
		if width > 390 {
			assert.LessOrEqual(t, browsertest.Eval[int](p, `(() => { const s = document.getElementById("configurations").parentElement; return s.scrollWidth - s.clientWidth })()`), 0)
		}
		p.Screenshot("report-sessions")
		assert.Zero(t, p.Overflow())
		assert.Empty(t, p.Axe())
		assert.Empty(t, p.Errors())
	}
}

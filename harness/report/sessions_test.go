package report

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

// Sessions are drawn with each stream in a row, sub-agents below their session, and
// the shares of prompts that caches hold over time.
func TestSessionsAreDrawn(t *testing.T) {
	const s = time.Second
	turn := func(session, stream, number int, sent, first, end time.Duration, cached, hits int) stats.Timing {
		return stats.Timing{Sent: sent, First: first, Last: end, Done: end, Chunks: 2, InputTokens: 100, OutputTokens: 2,
			Prompt: stats.Prompt{Counted: true, Server: 100, Cached: cached, CachedTold: true},
			Turn:   &stats.Turn{Session: session, Stream: stream, Number: number, Blocks: 10, Hits: hits}}
	}
	failed := turn(1, 0, 2, 90*s, 0, 0, 0, 0)
	failed.Err, failed.First, failed.Last, failed.Done = "HTTP 500", 0, 0, 100*s
	run := stats.Run{Duration: 120 * s, Timings: []stats.Timing{
		turn(0, 0, 1, 0, 10*s, 20*s, 0, 0),
		turn(1, 0, 1, 5*s, 15*s, 20*s, 0, 0),
		turn(0, 0, 2, 60*s, 61*s, 70*s, 50, 8),
		turn(0, 1, 1, 30*s, 31*s, 40*s, 20, 4),
		failed,
	}, Sessions: []stats.Session{{Trace: "a", Ended: 70 * s, Done: true, Whole: true}, {Trace: "b", Began: 5 * s, Ended: 100 * s, Failed: true}}}
	sum := run.Summary()
	series := newSeries(&batch.Requests{RequestsHead: batch.RequestsHead{DurationNS: int64(120 * s)}, Timings: run.Timings}, &sum)
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

package stats_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
)

// closedLoop is conc slots that each send n requests of d, one after another;
// slot s starts s milliseconds late, so that there is a head and a tail.
func closedLoop(conc, n int, d time.Duration) (ts []stats.Timing, duration time.Duration) {
	for s := range conc {
		at := time.Duration(s) * msec
		for range n {
			t := stats.Timing{Index: len(ts), Sent: at, First: at + d/10, Last: at + d, Done: at + d, InputTokens: 10, OutputTokens: 11}
			ts = append(ts, t)
			at += d
			duration = max(duration, at)
		}
	}
	return ts, duration
}

func TestSteadyWindow(t *testing.T) {
	ts, d := closedLoop(4, 5, 100*msec)
	s := stats.Summarize(ts, d, 2).Steady
	require.NotNil(t, s)
	assert.Equal(t, 4, s.InFlight)
	assert.InDelta(t, 0.003, s.Start, 1e-12, "the fourth slot starts at 3 ms")
	assert.InDelta(t, 0.497, s.Duration, 1e-12, "the first slot ends at 500 ms")
	assert.InDelta(t, 0.003, s.Head.Duration, 1e-12)
	assert.InDelta(t, 0.003, s.Tail.Duration, 1e-12)
	assert.Equal(t, 4*5-3-3, s.Requests, "but the first of slots 0 to 2, and the last of 1 to 3")
	assert.InDelta(t, 100, *s.E2EL.Mean, 1e-9)
	assert.InDelta(t, 4*21/0.1, *s.TotalThroughput, 4*21/0.1*0.05)
	assert.Equal(t, *s.TotalThroughput/2, *s.TputPerGPU)

	// No token is lost between the three parts.
	tokens := *s.TotalThroughput*s.Duration + *s.Head.TotalThroughput*s.Head.Duration + *s.Tail.TotalThroughput*s.Tail.Duration
	assert.InDelta(t, 4*5*21, tokens, 1e-6)
}

// A tail of one long request is what the window is for.
func TestSteadyWindowLeavesTheTailOut(t *testing.T) {
	ts, d := closedLoop(4, 5, 100*msec)
	ts = append(ts, stats.Timing{Index: 99, Sent: 500 * msec, First: 510 * msec, Last: 5 * time.Second, Done: 5 * time.Second, InputTokens: 10, OutputTokens: 11})
	d = max(d, 5*time.Second)
	s := stats.Summarize(ts, d, 1)
	assert.Less(t, *s.TotalThroughput, 100.0)
	assert.Greater(t, *s.Steady.TotalThroughput, 700.0)
	assert.InDelta(t, 4.497, s.Steady.Tail.Duration, 0.01)
}

func TestNoSteadyWindow(t *testing.T) {
	for name, ts := range map[string][]stats.Timing{
		"none":       nil,
		"never sent": {{Err: "refused"}},
		"a mere peak": {
			{Sent: 0, First: 10 * msec, Last: 20 * msec, Done: 20 * msec, InputTokens: 10, OutputTokens: 2},
			{Sent: 15 * msec, First: 25 * msec, Last: 35 * msec, Done: 35 * msec, InputTokens: 10, OutputTokens: 2},
		},
	} {
		assert.Nil(t, stats.Summarize(ts, time.Second, 1).Steady, name)
	}
	b, err := json.Marshal(stats.Summarize(nil, 0, 1))
	require.NoError(t, err)
	assert.Contains(t, string(b), `"steady_state":null`)
}

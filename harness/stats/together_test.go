package stats_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
)

const ms = time.Millisecond

// slots is what a client of some slots records, each busy from an instant to
// another without a break.
func slots(n int, from, to time.Duration) (ts []stats.Timing) {
	for i := range n {
		mid := (from + to) / 2
		ts = append(ts, stats.Timing{Index: 2 * i, Sent: from, Done: mid}, stats.Timing{Index: 2*i + 1, Sent: mid, Done: to})
	}
	return ts
}

// Two clients of four slots each, that should have made one of eight.
func TestWhetherShardsRanTogether(t *testing.T) {
	for name, c := range map[string]struct {
		a, b    []stats.Timing
		offsets []time.Duration
		ramp    time.Duration
		peak    int
		overlap float64
		spread  float64 // ms
		wrong   string
	}{
		"together":            {a: slots(4, 0, 1000*ms), b: slots(4, 10*ms, 1000*ms), peak: 8, overlap: 0.99, spread: 10},
		"one after the other": {a: slots(4, 0, 400*ms), b: slots(4, 450*ms, 850*ms), peak: 4, spread: 450, wrong: "at most 4 requests were in flight at once where 8 should have been: the shards' first requests were 450ms apart in a run of 850ms, and all shards had requests in flight for 0% of it"},
		"late in a short run": {a: slots(4, 0, 1000*ms), b: slots(4, 400*ms, 1000*ms), peak: 8, overlap: 0.6, spread: 400, wrong: "the shards did not start together: the shards' first requests were 400ms apart in a run of 1s"},
		"as late in a long":   {a: slots(4, 0, 60000*ms), b: slots(4, 400*ms, 60000*ms), peak: 8, overlap: 59600. / 60000, spread: 400},
		"a ramp":              {a: slots(4, 0, 1000*ms), b: slots(4, 400*ms, 1000*ms), ramp: 400 * ms, peak: 8, overlap: 0.6, spread: 400},
		"a clock behind": {a: slots(4, 0, 400*ms), b: slots(4, 0, 400*ms), offsets: []time.Duration{0, 450 * ms}, peak: 4, spread: 450,
			wrong: "at most 4 requests were in flight at once where 8 should have been: the shards' first requests were 450ms apart in a run of 850ms, and all shards had requests in flight for 0% of it; their clocks differ by 450 ms"},
		"clocks in step": {a: slots(4, 0, 400*ms), b: slots(4, 0, 400*ms), offsets: []time.Duration{0, 4 * ms}, peak: 8, overlap: 396. / 404, spread: 4},
		"nothing sent":   {a: slots(4, 0, 400*ms), peak: 4, wrong: "at most 4 requests were in flight"},
	} {
		got := stats.TogetherOf([][]stats.Timing{c.a, c.b}, c.offsets)
		assert.Equal(t, 2, got.Clients, name)
		assert.Equal(t, c.peak, got.PeakInFlight, name)
		assert.InDelta(t, c.overlap, got.Overlap, 1e-9, name)
		assert.InDelta(t, c.spread, got.StartSpreadMs, 1e-9, name)
		if c.wrong == "" {
			assert.Empty(t, got.Contradicts(8, c.ramp), name)
		} else {
			assert.Contains(t, got.Contradicts(8, c.ramp), c.wrong, name)
		}
		if c.offsets == nil {
			assert.Nil(t, got.ClockSkewMs, name)
		}
	}
}

// The requests of an open loop have times of their own: only the clocks count.
func TestShardsOfAnOpenLoop(t *testing.T) {
	a, b := slots(1, 0, 1000*ms), slots(1, 700*ms, 1000*ms)
	assert.Empty(t, stats.TogetherOf([][]stats.Timing{a, b}, nil).Contradicts(0, 0))
	skewed := stats.TogetherOf([][]stats.Timing{a, b}, []time.Duration{0, 300 * ms})
	require.NotNil(t, skewed.ClockSkewMs)
	assert.Contains(t, skewed.Contradicts(0, 0), "the shards did not start together")
	assert.Zero(t, stats.TogetherOf(nil, nil).PeakInFlight)
}

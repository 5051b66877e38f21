package stats_test

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
)

const msec = time.Millisecond

func TestSummaryByHand(t *testing.T) {
	ts := []stats.Timing{
		{Sent: 0, First: 10 * msec, Last: 40 * msec, ITL: stats.NewGaps(10*msec, 20*msec), InputTokens: 100, OutputTokens: 3},
		{Sent: 10 * msec, First: 30 * msec, Last: 30 * msec, InputTokens: 100, OutputTokens: 1},
		{Sent: 0, Err: "HTTP 500", First: msec, Last: msec, ITL: stats.NewGaps(time.Hour), InputTokens: 7, OutputTokens: 7},
	}
	s := stats.Summarize(ts, 2*time.Second, 4)
	assert.Equal(t, 2, s.Successful)
	assert.Equal(t, 1, s.Failed)
	assert.Equal(t, 2.0, s.Duration)
	assert.EqualValues(t, 200, *s.InputTokens)
	assert.EqualValues(t, 4, s.OutputTokens)
	assert.Equal(t, 1.0, s.RequestThroughput)
	assert.Equal(t, 2.0, s.OutputThroughput)
	assert.Equal(t, 102.0, *s.TotalThroughput)
	assert.Equal(t, 25.5, *s.TputPerGPU)
	assert.Equal(t, 15.0, *s.TTFT.Mean)
	assert.Equal(t, 15.0, *s.TTFT.Median)
	assert.Equal(t, 5.0, *s.TTFT.Std)
	assert.InDelta(t, 19.9, *s.TTFT.P99, 1e-12)
	assert.Equal(t, 15.0, *s.TPOT.Mean, "an answer of one token has no TPOT")
	assert.Equal(t, 15.0, *s.ITL.Mean)
	assert.Equal(t, 30.0, *s.E2EL.Mean)
	assert.InDelta(t, 1000/15.0, *s.Interactivity, 1e-12)
	assert.Equal(t, stats.Failures{{Error: "HTTP 500", Requests: 1}}, s.Errors)
}

func TestNothingSucceeded(t *testing.T) {
	for name, s := range map[string]stats.Summary{
		"no request":  stats.Summarize(nil, 0, 0),
		"all failed":  stats.Summarize([]stats.Timing{{Err: "x"}}, time.Second, 8),
		"no duration": stats.Summarize([]stats.Timing{{OutputTokens: 1}}, 0, 8),
	} {
		b, err := json.Marshal(s)
		require.NoError(t, err, name)
		var m map[string]any
		require.NoError(t, json.Unmarshal(b, &m))
		assert.Contains(t, m, "mean_itl_ms")
		assert.Nil(t, m["mean_itl_ms"], "absent, not zero")
		assert.Equal(t, 0.0, m["tput_per_gpu"])
	}
}

// The keys of a result file are a contract: see the specification's section 5.
func TestKeys(t *testing.T) {
	b, err := json.Marshal(stats.Summarize([]stats.Timing{{OutputTokens: 2, First: 1, Last: 2, ITL: stats.NewGaps(1)}}, time.Second, 1))
	require.NoError(t, err)
	var m map[string]any
	require.NoError(t, json.Unmarshal(b, &m))
	keys := []string{"successful_requests", "benchmark_duration", "total_input_tokens", "total_generated_tokens", "request_throughput", "output_throughput", "total_token_throughput", "tput_per_gpu", "interactivity"}
	for _, stat := range []string{"mean", "median", "std", "p99"} {
		for _, metric := range []string{"ttft", "tpot", "itl", "e2el"} {
			keys = append(keys, stat+"_"+metric+"_ms")
		}
	}
	for _, k := range keys {
		assert.Contains(t, m, k)
		assert.IsType(t, 0.0, m[k], k)
	}
}

func TestGapsKeepEveryNanosecond(t *testing.T) {
	const narrow = time.Duration(math.MaxUint32) // what 32 bits hold
	in := []time.Duration{0, 1, narrow - 1, narrow, narrow + 1, time.Hour, 5, math.MaxInt64}
	g := stats.NewGaps(in...)
	var out []time.Duration
	for d := range g.All() {
		out = append(out, d)
	}
	assert.Equal(t, in, out)
	assert.Equal(t, len(in), g.Len())

	d := stats.Summarize([]stats.Timing{{ITL: stats.NewGaps(6*time.Second, 2*time.Second)}, {ITL: stats.NewGaps(10 * time.Second)}}, time.Minute, 1).ITL
	assert.Equal(t, 6000.0, *d.Mean)
	assert.Equal(t, 6000.0, *d.Median)
	assert.Equal(t, 10000.0, *d.Max)
}

func TestGapsAllocateNothingOnceReserved(t *testing.T) {
	var g stats.Gaps
	g.Reserve(2000)
	assert.Zero(t, testing.AllocsPerRun(1000, func() { g.Append(time.Millisecond) }))
}

package compare

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
	"inferbench/harness/stats"
)

func TestQuantileOfAResample(t *testing.T) {
	var ts []stats.Timing
	for _, ms := range []int{50, 10, 30, 20, 40} {
		ts = append(ts, stats.Timing{Last: time.Duration(ms) * time.Millisecond})
	}
	e2el := func(t stats.Timing) float64 { return t.E2EL().Seconds() * 1e3 }
	for _, c := range []struct {
		q       float64
		weights []int
		want    float64 // numpy.quantile of the drawn values
	}{
		{0.5, []int{1, 1, 1, 1, 1}, 30},
		{0.99, []int{1, 1, 1, 1, 1}, 49.6},
		{0.5, []int{2, 0, 0, 0, 0}, 50},
		{0.5, []int{1, 1, 0, 0, 0}, 30},
		{0.25, []int{1, 3, 0, 0, 1}, 10},
		{0.9, []int{0, 2, 1, 0, 0}, 26},
	} {
		assert.InDelta(t, c.want, newColumn(ts, e2el, c.q).value(c.weights), 1e-9, "%v", c)
	}
	assert.True(t, math.IsNaN(newColumn(ts, func(stats.Timing) float64 { return 0 }, 0.5).value([]int{1, 1, 1, 1, 1})))
}

func TestIntervalOfPasses(t *testing.T) {
	low, high, p := passInterval([]float64{1, 2, 3, 4}, []float64{1, 2, 3, 4}, 0.05)
	assert.Less(t, low, 1.0)
	assert.Greater(t, high, 1.0)
	assert.Equal(t, 1.0, p)
	low, high, _ = passInterval([]float64{1, 2}, []float64{1, 2}, 0.05)
	assert.Equal(t, 0.0, low, "two passes reject nothing")
	assert.True(t, math.IsInf(high, 1))
}

// A speed by the slow tail is the same of a resample that is the sample as in a result.
func TestInverseOfAQuantile(t *testing.T) {
	var ts []stats.Timing
	weights := []int{}
	for i := range 20 {
		d := time.Duration(i*i+3) * time.Millisecond
		ts = append(ts, stats.Timing{First: d, Last: 2 * d, Done: 2 * d, OutputTokens: 1 + i%3, Chunks: 1 + i%3, Turn: &stats.Turn{Number: 1}})
		weights = append(weights, 1)
	}
	sum := stats.Run{Timings: ts, Duration: time.Second, Sessions: []stats.Session{{}}}.Summary()
	f := figures.ByKey("e2e_norm_intvty.p90")
	assert.InDelta(t, *f.Of(&batch.Result{Performance: &sum}), statisticOf(f, ts).value(weights), 1e-9)
}

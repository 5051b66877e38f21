package stats_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
)

// run is n requests of random gaps, some of them long.
func randomGaps(n, gaps int) []stats.Timing {
	rng := rand.New(rand.NewPCG(7, 7))
	out := make([]stats.Timing, n)
	for i := range out {
		for range gaps {
			out[i].ITL.Append(time.Duration(rng.ExpFloat64() * float64(20*msec)))
		}
		out[i].Index = n - i
		out[i].OutputTokens = gaps + 1
	}
	out[n/2].ITL.Append(7 * time.Second)
	return out
}

func TestCollectorFoldsPastItsLimit(t *testing.T) {
	ts := randomGaps(50, 400)
	failed := stats.Timing{Index: 1000, Err: "x", ITL: stats.NewGaps(time.Hour)}
	collect := func(limit int) stats.Run {
		c := stats.Collector{Limit: limit}
		for _, t := range ts {
			c.Add(t)
		}
		c.Add(failed)
		return stats.Run{Timings: c.Timings(), Duration: time.Second, Folded: c.Folded()}
	}
	whole, folded := collect(0).Summary(), collect(5000).Summary()
	assert.Equal(t, "exact", whole.ITLKept)
	assert.Equal(t, "histogram", folded.ITLKept)
	for name, pair := range map[string][2]*float64{
		"mean": {whole.ITL.Mean, folded.ITL.Mean}, "std": {whole.ITL.Std, folded.ITL.Std}, "max": {whole.ITL.Max, folded.ITL.Max},
	} {
		assert.InEpsilon(t, *pair[0], *pair[1], 1e-9, name)
	}
	for name, pair := range map[string][2]*float64{
		"median": {whole.ITL.Median, folded.ITL.Median}, "p90": {whole.ITL.P90, folded.ITL.P90}, "p99": {whole.ITL.P99, folded.ITL.P99},
	} {
		// 0.1 % of the histogram, and the step between two neighbouring values
		// that numpy's percentile interpolates in and a histogram's does not.
		assert.InEpsilon(t, *pair[0], *pair[1], 0.003, name)
	}
	assert.Equal(t, whole.TPOT, folded.TPOT, "what there is one of a request stays exact")

	run := collect(5000)
	assert.Equal(t, 0, run.Timings[0].ITL.Len())
	assert.Equal(t, 1, run.Timings[0].Index, "in order of index")
	assert.EqualValues(t, 50*400+1, run.Folded.Len(), "a failed request's gaps count in no figure")
}

func TestHistogramsMerge(t *testing.T) {
	all, a, b := stats.NewHistogram(), stats.NewHistogram(), stats.NewHistogram()
	for i, x := range randomGaps(20, 100) {
		all.RecordAll(x.ITL)
		if i%3 == 0 {
			a.RecordAll(x.ITL)
		} else {
			b.RecordAll(x.ITL)
		}
	}
	a.Merge(b)
	a.Merge(nil)
	a.Merge(stats.NewHistogram())
	want, got := dist(all), dist(a)
	assert.Equal(t, all.Len(), a.Len())
	assert.Equal(t, want, got, "to the last bit")
	sent, err := a.GobEncode()
	require.NoError(t, err)
	var travelled stats.Histogram
	require.NoError(t, travelled.GobDecode(sent))
	assert.Equal(t, want, dist(&travelled), "and so it travels")
	assert.Equal(t, stats.Dist{}, dist(stats.NewHistogram()))

	text, err := a.Encode()
	require.NoError(t, err)
	back, err := hdrhistogram.Decode([]byte(text))
	require.NoError(t, err)
	assert.Equal(t, a.Len(), back.TotalCount())
}

func TestHistogramOfWhatIsOutOfItsRange(t *testing.T) {
	h := stats.NewHistogram()
	for _, d := range []time.Duration{-5, 0, 3 * time.Hour} {
		h.Record(d)
	}
	d := dist(h)
	assert.EqualValues(t, 3, h.Len())
	assert.Equal(t, float64(3*time.Hour/msec), *d.Max)
	assert.Equal(t, 0.0, *d.Median)
}

// dist is the distribution that a summary takes of folded gaps.
func dist(h *stats.Histogram) stats.Dist { return stats.Run{Folded: h}.Summary().ITL }

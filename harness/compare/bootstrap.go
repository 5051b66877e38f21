package compare

import (
	"math"
	"math/rand/v2"
	"sort"

	moremath "github.com/aclements/go-moremath/stats"

	"inferbench/harness/figures"
	"inferbench/harness/stats"
)

// resamples is the number of bootstrap resamples: enough for a standard error,
// which is all that is taken from them.
const resamples = 1000

// A statistic of a cell's requests can be computed again for any resample of
// them. How often each request was drawn is its weight.
type statistic interface {
	value(weights []int) float64
}

// statisticOf returns a figure as a statistic of requests; nil for one that requests
// do not tell.
func statisticOf(f figures.Figure, ts []stats.Timing) statistic {
	switch {
	case f.Sample == nil:
		return nil
	case f.Sample.Per != nil:
		return newQuotient(ts, f.Sample.Of, f.Sample.Per)
	}
	c := newColumn(ts, f.Sample.Of, f.Sample.Quantile)
	if f.Sample.Inverse {
		return inverse{c}
	}
	return c
}

// inverse is 1 over a statistic: a speed, by the time that it takes.
type inverse struct{ statistic }

func (i inverse) value(weights []int) float64 { return 1 / i.statistic.value(weights) }

// column is a sample of the requests' values sorted once, so that a quantile
// of a resample is one walk over the weights instead of one more sort.
type column struct {
	values []float64
	at     []int // of values[i]: the request's position
	q      float64
}

func newColumn(ts []stats.Timing, of func(stats.Timing) float64, q float64) *column {
	c := &column{q: q}
	for i, t := range ts {
		if v := of(t); v > 0 {
			c.values = append(c.values, v)
			c.at = append(c.at, i)
		}
	}
	sort.Sort(byValue{c})
	return c
}

type byValue struct{ *column }

func (b byValue) Len() int           { return len(b.values) }
func (b byValue) Less(i, j int) bool { return b.values[i] < b.values[j] }
func (b byValue) Swap(i, j int) {
	b.values[i], b.values[j] = b.values[j], b.values[i]
	b.at[i], b.at[j] = b.at[j], b.at[i]
}

// value returns the quantile by linear interpolation, numpy's default, as in every
// figure of a result.
func (c *column) value(weights []int) float64 {
	n := 0
	for _, i := range c.at {
		n += weights[i]
	}
	if n == 0 {
		return math.NaN()
	}
	h := c.q * float64(n-1)
	low, frac := int(h), h-math.Floor(h)
	seen := 0
	for k, i := range c.at {
		seen += weights[i]
		if seen <= low {
			continue
		}
		v := c.values[k]
		if frac == 0 || seen > low+1 {
			return v
		}
		for k++; k < len(c.at); k++ { // the next value that was drawn
			if weights[c.at[k]] > 0 {
				return v + frac*(c.values[k]-v)
			}
		}
		return v
	}
	return math.NaN()
}

// quotient is Σ over / Σ under: the mean gap, and the throughput.
type quotient struct{ over, under []float64 }

func newQuotient(ts []stats.Timing, over, under func(stats.Timing) float64) *quotient {
	q := new(quotient)
	for _, t := range ts {
		q.over, q.under = append(q.over, over(t)), append(q.under, under(t))
	}
	return q
}

func (q *quotient) value(weights []int) float64 {
	var over, under float64
	for i, w := range weights {
		over += float64(w) * q.over[i]
		under += float64(w) * q.under[i]
	}
	return over / under
}

// bootstrap computes every statistic for each resample: out[s][r]; NaN for one
// that is nil.
//
// Requests of a closed loop are not independent: those in flight together are
// slowed by the same events. Whole stretches of consecutive requests are drawn
// instead (the circular block bootstrap of Politis and Romano 1992), each
// [waves] times the concurrency long.
func bootstrap(rng *rand.Rand, of []statistic, n, block int) [][]float64 {
	out := make([][]float64, len(of))
	for f := range out {
		out[f] = make([]float64, resamples)
	}
	weights := make([]int, n)
	for r := range resamples {
		clear(weights)
		for drawn := 0; drawn < n; drawn += block {
			start := rng.IntN(n)
			for k := range min(block, n-drawn) {
				weights[(start+k)%n]++
			}
		}
		for i, s := range of {
			out[i][r] = math.NaN()
			if s != nil {
				out[i][r] = s.value(weights)
			}
		}
	}
	return out
}

// waves is the length of a block in concurrencies. A longer block keeps more
// of the dependence and leaves fewer blocks to draw.
const waves = 2

// side is what the bootstrap knows of one side of a comparison. The zero side
// has no requests, and resolves nothing.
type side struct {
	of     []statistic // by figure
	drawn  [][]float64 // by figure, by resample
	blocks float64     // that the requests make
}

func draw(rng *rand.Rand, ts []stats.Timing, conc int) side {
	block := max(1, min(waves*conc, len(ts)))
	s := side{blocks: float64(len(ts)) / float64(block)}
	for _, f := range compared {
		s.of = append(s.of, statisticOf(f, ts))
	}
	s.drawn = bootstrap(rng, s.of, len(ts), block)
	return s
}

// interval holds the true ratio of a figure (by its position) at the
// confidence 1−alpha: ratio·exp(±t·se), with se the standard error of the
// ratio's logarithm over the resamples. Three things would make it too narrow
// and are set right: few blocks (Student's t with their degrees of freedom, and
// b/(b−1)), and blocks that begin in the midst of a wave, which average two
// waves: where a wave shares its luck whole, a block of w waves shows only
// 1−1/(3w) of the variance.
func interval(a, b side, figure int, ratio, alpha float64) (low, high float64) {
	if a.blocks < 2 || b.blocks < 2 {
		return math.Inf(-1), math.Inf(1)
	}
	variance := logVariance(a.drawn[figure])*a.blocks/(a.blocks-1) + logVariance(b.drawn[figure])*b.blocks/(b.blocks-1)
	se := math.Sqrt(variance / (1 - 1.0/(3*waves)))
	t := moremath.InvCDF(moremath.TDist{V: a.blocks + b.blocks - 2})(1 - alpha/2)
	if math.IsNaN(se) || math.IsNaN(t) {
		return math.Inf(-1), math.Inf(1)
	}
	return ratio * math.Exp(-t*se), ratio * math.Exp(t*se)
}

// minBeyond is how many waves must lie beyond a percentile before resampling
// can say anything of it: with fewer, the few slowest waves are drawn again
// and again and their chance is not seen. In a run of 50 waves a p99 has half
// a wave beyond it; repeated passes judge it.
const minBeyond = 5

// resolves says whether the side has enough waves for a figure, by its position.
func (s side) resolves(figure int) bool {
	if figure >= len(s.of) || s.of[figure] == nil {
		return false
	}
	c, isColumn := s.of[figure].(*column)
	return !isColumn || s.blocks*waves*(1-c.q) >= minBeyond
}

// logVariance returns the variance of the values' logarithms.
func logVariance(values []float64) float64 {
	logs := make([]float64, 0, len(values))
	for _, v := range values {
		if l := math.Log(v); !math.IsNaN(l) && !math.IsInf(l, 0) {
			logs = append(logs, l)
		}
	}
	return moremath.Variance(logs)
}

package load

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// gaps are the gaps between n scheduled requests, in s.
func gaps(s Shape, n int) (out []float64) {
	a := newArrivals(s)
	last := a.next()
	for range n {
		at := a.next()
		out = append(out, (at - last).Seconds())
		last = at
	}
	return out
}

func moments(x []float64) (mean, cv float64) {
	for _, v := range x {
		mean += v / float64(len(x))
	}
	for _, v := range x {
		cv += (v - mean) * (v - mean) / float64(len(x))
	}
	return mean, math.Sqrt(cv) / mean
}

// A gamma distribution of shape k has a coefficient of variation of 1/√k.
func TestArrivals(t *testing.T) {
	for name, c := range map[string]struct{ burstiness, cv float64 }{
		"poisson by default": {0, 1},
		"poisson":            {1, 1},
		"bursty":             {0.25, 2},
		"even":               {16, 0.25},
		"constant":           {math.Inf(1), 0},
	} {
		mean, cv := moments(gaps(Shape{Rate: 50, Burstiness: c.burstiness, Seed: 3}, 40000))
		assert.InEpsilon(t, 0.02, mean, 0.03, name)
		assert.InDelta(t, c.cv, cv, 0.05*max(c.cv, 1e-6), name)
	}
}

func TestArrivalsAreFixedBySeed(t *testing.T) {
	s := Shape{Rate: 10, Seed: 5}
	assert.Equal(t, gaps(s, 100), gaps(s, 100))
	other := s
	other.Seed = 6
	assert.NotEqual(t, gaps(s, 100), gaps(other, 100))
	assert.Zero(t, newArrivals(s).next(), "the first request is sent at once")
}

// Clients that share a load send between them what one would, at its times,
// whatever the gaps.
func TestSharesOfALoadAreTheWhole(t *testing.T) {
	for name, s := range map[string]Shape{
		"poisson":  {Rate: 50, Seed: 3},
		"bursty":   {Rate: 50, Seed: 3, Burstiness: 0.25},
		"constant": {Rate: 50, Burstiness: math.Inf(1)},
		"ramp":     {Rate: 50, Seed: 3, RampUp: time.Second},
	} {
		const shares, each = 3, 40
		whole := newArrivals(s)
		var parts []*arrivals
		for i := range shares {
			s.Share, s.Shares = i, shares
			parts = append(parts, newArrivals(s))
		}
		for i := range shares * each {
			assert.Equal(t, whole.next(), parts[i%shares].next(), "%s: request %d", name, i)
		}
	}
}

// A rate that grows from 0 to 100 over 10 s sends 500 requests in them, a
// quarter of those in the first half.
func TestRampUpOfARate(t *testing.T) {
	a := newArrivals(Shape{Rate: 100, Burstiness: math.Inf(1), RampUp: 10 * time.Second})
	count := map[time.Duration]int{}
	for range 2000 {
		at := a.next()
		for _, by := range []time.Duration{5, 10, 15} {
			if at < by*time.Second {
				count[by]++
			}
		}
	}
	assert.InDelta(t, 125, count[5], 1)
	assert.InDelta(t, 500, count[10], 1)
	assert.InDelta(t, 1000, count[15], 1)
}

func TestShapesThatMakeNoSense(t *testing.T) {
	for want, s := range map[string]Shape{
		"request rate":      {Rate: math.NaN()},
		"burstiness":        {Rate: 1, Burstiness: -1},
		"negative duration": {Duration: -1},
		"its own times":     {Rate: 1, Trace: true},
		"only an open loop": {Uncapped: true},
	} {
		assert.ErrorContains(t, s.check(), want)
	}
	assert.NoError(t, Shape{}.check())
}

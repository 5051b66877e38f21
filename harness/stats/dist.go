package stats

import (
	"math"
	"slices"
	"time"
)

// Dist is the distribution of one metric in milliseconds. Its fields are nil
// where there is nothing to take them of: no request that succeeded, or no
// request with a second token.
type Dist struct {
	Mean, Median, Std    *float64
	P90, P95, P99, P99_9 *float64
	Max                  *float64
}

// DistOf is the distribution of durations in nanoseconds, which it sorts
// in place.
func DistOf[D ~int64 | ~uint32 | ~float64](d []D) Dist {
	if len(d) == 0 {
		return Dist{}
	}
	slices.Sort(d)
	var sum float64
	for _, v := range d {
		sum += float64(v)
	}
	mean := sum / float64(len(d))
	var squares float64
	for _, v := range d {
		squares += (float64(v) - mean) * (float64(v) - mean)
	}
	std := math.Sqrt(squares / float64(len(d)))
	at := func(p float64) *float64 {
		return percentile(len(d), p, func(i int) float64 { return float64(d[i]) / 1e6 })
	}
	return Dist{
		Mean: ms(mean), Median: at(50), Std: ms(std),
		P90: at(90), P95: at(95), P99: at(99), P99_9: at(99.9), Max: at(100),
	}
}

// percentile is numpy's default, linear interpolation between the two nearest
// of n sorted values, p in percent.
func percentile(n int, p float64, value func(int) float64) *float64 {
	at := p / 100 * float64(n-1)
	i := int(at)
	v := value(i)
	if i+1 < n {
		v += (value(i+1) - v) * (at - float64(i))
	}
	return &v
}

// Percentile is p percent of sorted values, as numpy's default has it: linear
// interpolation between the two nearest. There must be at least one value.
func Percentile(sorted []float64, p float64) float64 {
	return *percentile(len(sorted), p, func(i int) float64 { return sorted[i] })
}

func ms(ns float64) *float64 {
	v := ns / float64(time.Millisecond)
	return &v
}

// distOfGaps takes the distribution of all gaps of all lists, exactly.
func distOfGaps(lists []Gaps, n int) Dist {
	all := make([]uint32, 0, n)
	var long []time.Duration
	for _, g := range lists {
		all = append(all, g.ns...)
		long = append(long, g.long...)
	}
	if len(long) == 0 {
		return DistOf(all)
	}
	// Rare: some gap is of 4.29 s or more. Those sort after all others, in place
	// of the marks that stand for them.
	wide := make([]time.Duration, 0, n)
	for _, v := range all {
		if v != longGap {
			wide = append(wide, time.Duration(v))
		}
	}
	return DistOf(append(wide, long...))
}

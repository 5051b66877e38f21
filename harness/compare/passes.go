package compare

import (
	"math"
	"slices"

	"golang.org/x/perf/benchmath"
)

// passInterval returns the ratio of the medians of two sets of repeated passes, its
// interval and the p-value that the two are alike. The test is benchmath's
// without assumptions (the Mann-Whitney U-test); the interval holds the ratios
// that this test does not reject, so that the two never contradict each other.
func passInterval(a, b []float64, alpha float64) (low, high, p float64) {
	test := func(ratio float64) float64 {
		scaled := make([]float64, len(b))
		for i, v := range b {
			scaled[i] = v / ratio
		}
		return benchmath.AssumeNothing.Compare(sampleOf(a), sampleOf(scaled)).P
	}
	var steps []float64 // the p-value changes only where a pair ties
	for _, x := range a {
		for _, y := range b {
			steps = append(steps, y/x)
		}
	}
	slices.Sort(steps)
	low, high = math.Inf(1), math.Inf(-1)
	if test(steps[0]*(1-1e-9)) >= alpha {
		low = 0
	}
	if test(steps[len(steps)-1]*(1+1e-9)) >= alpha {
		high = math.Inf(1)
	}
	for i := range len(steps) - 1 {
		if test(math.Sqrt(steps[i]*steps[i+1])) >= alpha {
			low, high = min(low, steps[i]), max(high, steps[i+1])
		}
	}
	return low, high, test(1)
}

func sampleOf(v []float64) *benchmath.Sample {
	return benchmath.NewSample(slices.Clone(v), &benchmath.DefaultThresholds)
}

func median(v []float64) float64 {
	return benchmath.AssumeNothing.Summary(sampleOf(v), 0.95).Center
}

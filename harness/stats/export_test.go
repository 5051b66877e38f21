package stats

import "time"

// Summarize takes the figures of a run: the timings of all its requests,
// failed ones included, and how long it took. gpus divides the throughput;
// less than one counts as one.
func Summarize(ts []Timing, duration time.Duration, gpus int) Summary {
	return Run{Timings: ts, Duration: duration, GPUs: gpus}.Summary()
}

// NewGaps is a list of the given gaps.
func NewGaps(gaps ...time.Duration) Gaps {
	var g Gaps
	for _, d := range gaps {
		g.Append(d)
	}
	return g
}

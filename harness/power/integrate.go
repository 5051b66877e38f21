package power

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// window is the measured run by the time of day.
type window struct{ start, end time.Time }

// byGPU sorts readings by time, those of each GPU apart. Readings of one instant
// are averaged: some tools stamp whole seconds and look more often.
func byGPU(readings []Reading) map[string][]Reading {
	out := map[string][]Reading{}
	for _, r := range readings {
		if r.drawn() {
			out[r.GPU] = append(out[r.GPU], r)
		}
	}
	for gpu, rs := range out {
		slices.SortStableFunc(rs, func(a, b Reading) int { return a.At.Compare(b.At) })
		var one []Reading
		n := 0.0
		for _, r := range rs {
			if last := len(one) - 1; last >= 0 && one[last].At.Equal(r.At) {
				n++
				r.Watts = one[last].Watts + (r.Watts-one[last].Watts)/n
				one[last] = r
				continue
			}
			one, n = append(one, r), 1
		}
		out[gpu] = one
	}
	return out
}

// counts lists the readings that have a GPU's own counter, in order of time.
func counts(readings []Reading, gpu string) (out []Reading) {
	for _, r := range readings {
		if r.GPU == gpu && r.Joules != nil {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b Reading) int { return a.At.Compare(b.At) })
	return out
}

// names lists GPUs in the order of their numbers.
func names(gpus map[string][]Reading) []string {
	var out []string
	for gpu := range gpus {
		out = append(out, gpu)
	}
	slices.SortFunc(out, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return out
}

// within reports whether every GPU has a reading of power past the window's end.
func (w window) within(readings []Reading) bool {
	last := map[string]time.Time{}
	for _, r := range readings {
		if r.drawn() && r.At.After(last[r.GPU]) {
			last[r.GPU] = r.At
		}
	}
	for _, at := range last {
		if at.Before(w.end) {
			return false
		}
	}
	return len(last) > 0
}

// integrate is the energy (J) of all GPUs within the window, and why it cannot be
// relied on, if so.
func integrate(readings []Reading, w window) (joules float64, gpus int, reasons []string) {
	all := byGPU(readings)
	counted, own := 0.0, 0.0
	span := time.Duration(0)
	for _, gpu := range names(all) {
		rs := all[gpu]
		if rs[0].At.After(w.start) || rs[len(rs)-1].At.Before(w.end) || len(rs) < 2 {
			reasons = append(reasons, fmt.Sprintf("GPU %s was not sampled both before and after the pass", gpu))
			continue
		}
		if gap := longestGap(rs, w); gap > maxGap {
			reasons = append(reasons, fmt.Sprintf("GPU %s was not sampled for %.1f s, and at most %.0f s can be bridged", gpu,
				gap.Seconds(), maxGap.Seconds()))
			continue
		}
		joules += energy(rs, w.start, w.end)
		if c, i, d := counters(counts(readings, gpu), rs, w); d > 0 {
			counted, own, span = counted+c, own+i, max(span, d)
		}
	}
	if reasons == nil && len(all) > 0 && joules <= 0 {
		reasons = append(reasons, "the GPUs drew nothing at all, by what was told")
	}
	most := maxOff * counted
	if span > 0 {
		most += own * slack.Seconds() / span.Seconds()
	}
	if span > 0 && math.Abs(counted-own) > most {
		reasons = append(reasons, fmt.Sprintf("the GPUs' own counters say %.0f J where %.0f J were integrated, more than "+
			"%.0f %% apart", counted, own, 100*maxOff))
	}
	return joules, len(all), reasons
}

// longestGap is the longest time between two readings of those that the window
// is integrated from.
func longestGap(rs []Reading, w window) (gap time.Duration) {
	for i := range len(rs) - 1 {
		if rs[i+1].At.After(w.start) && rs[i].At.Before(w.end) {
			gap = max(gap, rs[i+1].At.Sub(rs[i].At))
		}
	}
	return gap
}

// energy is the area (J) below the lines that join the readings, between two
// instants that they enclose.
func energy(rs []Reading, from, to time.Time) (joules float64) {
	for i := range len(rs) - 1 {
		a, b := rs[i], rs[i+1]
		left, right := later(a.At, from), earlier(b.At, to)
		if d := right.Sub(left).Seconds(); d > 0 {
			joules += d * (at(a, b, left) + at(a, b, right)) / 2
		}
	}
	return joules
}

// at is the power at an instant between two readings.
func at(a, b Reading, t time.Time) float64 {
	part := t.Sub(a.At).Seconds() / b.At.Sub(a.At).Seconds()
	return a.Watts + (b.Watts-a.Watts)*part
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// counters is how far a GPU's own counter came, from the last time before the
// window that it was told to the first after it, what was integrated between the
// two, and how long that was; no time where it was not told twice, or began again.
func counters(told, rs []Reading, w window) (counted, integrated float64, span time.Duration) {
	var first, last *Reading
	for i, r := range told {
		if first == nil || !r.At.After(w.start) {
			first = &told[i]
		}
		if last == nil || last.At.Before(w.end) {
			last = &told[i]
		}
	}
	if first == nil || *last.Joules < *first.Joules {
		return 0, 0, 0
	}
	from, to := later(first.At, rs[0].At), earlier(last.At, rs[len(rs)-1].At)
	if span = last.At.Sub(first.At); span <= 0 || to.Sub(from) < span/2 {
		return 0, 0, 0
	}
	integrated = energy(rs, from, to) * span.Seconds() / to.Sub(from).Seconds()
	return *last.Joules - *first.Joules, integrated, span
}

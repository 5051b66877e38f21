package stats

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// Together tells how far the parts of a run that several clients shared out were
// one run, by the instants of their requests.
type Together struct {
	Clients      int `json:"count"`
	PeakInFlight int `json:"peak_in_flight"` // requests, of all clients together
	// of the run's time, 0 to 1, in which every client had requests in flight
	Overlap       float64 `json:"overlap"`
	StartSpreadMs float64 `json:"start_spread_ms"` // from the first request of the first client to that of the last
	// the most by which two clients' clocks differ; null where it is not known
	ClockSkewMs *float64 `json:"clock_skew_ms"`

	length time.Duration // from the first request's start to the last one's end
}

// MaxSpread is the part of a run's length by which its clients may start apart.
const MaxSpread = 0.2

// TogetherOf takes the figures from each client's timings. The clocks' offsets,
// as many as there are clients, are added to the instants first; nil is none
// known.
func TogetherOf(parts [][]Timing, offsets []time.Duration) *Together {
	t := &Together{Clients: len(parts)}
	var all []Timing
	var begins, ends []time.Duration
	for i, part := range parts {
		var offset time.Duration
		if offsets != nil {
			offset = offsets[i]
		}
		var spans []Timing
		for _, r := range part {
			spans = append(spans, Timing{Sent: r.Sent + offset, Done: r.Done + offset})
		}
		if len(spans) == 0 {
			continue
		}
		all = append(all, spans...)
		begins = append(begins, slices.MinFunc(spans, func(a, b Timing) int { return cmp.Compare(a.Sent, b.Sent) }).Sent)
		ends = append(ends, slices.MaxFunc(spans, func(a, b Timing) int { return cmp.Compare(a.Done, b.Done) }).Done)
	}
	if len(all) == 0 {
		return t
	}
	_, _, t.PeakInFlight = plateau(all)
	from, to := slices.Min(begins), slices.Max(ends)
	t.length = to - from
	t.StartSpreadMs = (slices.Max(begins) - from).Seconds() * 1e3
	if together := slices.Min(ends) - slices.Max(begins); len(begins) == len(parts) && together > 0 && t.length > 0 {
		t.Overlap = float64(together) / float64(t.length)
	}
	if offsets != nil {
		skew := (slices.Max(offsets) - slices.Min(offsets)).Seconds() * 1e3
		t.ClockSkewMs = &skew
	}
	return t
}

// Contradicts says why the run was not the one that it is named for; "" where it
// was. inFlight is how many requests should have been in flight at once, 0 for
// an open loop, and ramp over what time they were started.
func (t *Together) Contradicts(inFlight int, ramp time.Duration) string {
	spread := time.Duration(t.StartSpreadMs * 1e6)
	how := fmt.Sprintf("the shards' first requests were %s apart in a run of %s, and all shards had requests in flight "+
		"for %.0f%% of it",
		spread.Round(time.Millisecond), t.length.Round(time.Millisecond), 100*t.Overlap)
	if t.ClockSkewMs != nil {
		how += fmt.Sprintf("; their clocks differ by %.0f ms", *t.ClockSkewMs)
	}
	apart := spread - ramp
	if inFlight == 0 { // whose requests have times of their own
		apart = 0
		if t.ClockSkewMs != nil {
			apart = time.Duration(*t.ClockSkewMs * 1e6)
		}
	}
	switch {
	case t.PeakInFlight < inFlight:
		return fmt.Sprintf("at most %d requests were in flight at once where %d should have been: %s", t.PeakInFlight,
			inFlight, how)
	case apart > time.Duration(MaxSpread*float64(t.length)):
		return fmt.Sprintf("the shards did not start together: %s", how)
	}
	return ""
}

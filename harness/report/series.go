package report

import (
	"cmp"
	"slices"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

// Series are a cell's requests as the charts draw them.
type Series struct {
	TTFT []Point `json:"ttft"` // cumulative: the share (y) that took at most x ms
	TPOT []Point `json:"tpot"`
	ITL  []Point `json:"itl"`
	E2EL []Point `json:"e2el"`

	Step     float64    `json:"step_s"`       // length of a slice of time below
	InFlight []float64  `json:"in_flight"`    // mean over each slice
	Tokens   []float64  `json:"tokens_per_s"` // output tokens that arrived in it
	Failures []int      `json:"failures"`     // requests that failed in it
	TTFTs    []*float64 `json:"ttft_ms"`      // median over the first tokens that came in it; null where none did
	ITLs     []*float64 `json:"itl_ms"`       // likewise over the gaps that ended in it
	Heat     *Heat      `json:"itl_heat"`     // null where gaps were not kept

	Requests []Span `json:"requests"` // the first ones, in the order of sending

	Sessions *Sessions `json:"sessions,omitempty"` // that requests are turns of
}

// Point is one point of a curve.
type Point struct {
	X float64 `json:"x"`
	Y float64 `json:"y"`
}

// Span is when one request was under way, in s from the start of the run.
type Span struct {
	Sent   float64  `json:"sent"`
	First  *float64 `json:"first"` // the first token; null for a request that failed
	End    float64  `json:"end"`
	Failed bool     `json:"failed,omitempty"`
}

// maxSpans is how many requests the timeline has room for.
const maxSpans = 120

func spans(ts []stats.Timing) (out []Span) {
	ts = slices.Clone(ts)
	slices.SortStableFunc(ts, func(a, b stats.Timing) int { return cmp.Compare(a.Sent, b.Sent) })
	for _, t := range ts[:min(len(ts), maxSpans)] {
		out = append(out, span(t))
	}
	return out
}

func span(t stats.Timing) Span {
	s := Span{Sent: round(t.Sent.Seconds()), End: round(max(t.Last, t.Done).Seconds()), Failed: t.Err != ""}
	if !s.Failed {
		first := round(t.First.Seconds())
		s.First, s.End = &first, round(t.Last.Seconds())
	}
	return s
}

// slices of time over a run: enough to see a stall, few enough to draw fast.
const timeSlices = 120

func newSeries(kept *batch.Requests, sum *stats.Summary) *Series {
	s := &Series{}
	var ttft, tpot, e2el, gaps []time.Duration
	for _, t := range kept.Timings {
		if t.Err != "" {
			continue
		}
		ttft, e2el = append(ttft, t.TTFT()), append(e2el, t.E2EL())
		if t.OutputTokens > 1 {
			tpot = append(tpot, t.TPOT())
		}
		for g := range t.ITL.All() {
			gaps = append(gaps, g)
		}
	}
	s.TTFT, s.TPOT, s.ITL, s.E2EL = cumulative(ttft), cumulative(tpot), cumulative(gaps), cumulative(e2el)
	s.Requests = spans(kept.Timings)
	s.overTime(kept)
	s.Sessions = newSessions(kept, s, sum)
	return s
}

// shares are where a cumulative curve is drawn, closer together in the tail.
var shares = func() []float64 {
	var out []float64
	for i := 0; i <= 98; i += 2 {
		out = append(out, float64(i)/100)
	}
	return append(out, 0.99, 0.993, 0.996, 0.999, 1)
}()

func cumulative(d []time.Duration) []Point {
	if len(d) == 0 {
		return nil
	}
	slices.Sort(d)
	out := make([]Point, 0, len(shares))
	for _, q := range shares {
		out = append(out, Point{round(d[int(q*float64(len(d)-1))].Seconds() * 1e3), q})
	}
	return out
}

// overTime cuts the run into slices and says what went on in each.
func (s *Series) overTime(kept *batch.Requests) {
	end := kept.Duration()
	for _, t := range kept.Timings {
		end = max(end, t.Last, t.Done)
	}
	if end <= 0 {
		return
	}
	step := end/timeSlices + 1
	s.Step = step.Seconds()
	s.InFlight, s.Tokens, s.Failures = make([]float64, timeSlices), make([]float64, timeSlices), make([]int, timeSlices)
	slot := func(at time.Duration) int { return min(timeSlices-1, max(0, int(at/step))) }
	ttfts := make([][]float64, timeSlices)
	gaps := new(gapGrid)
	for _, t := range kept.Timings {
		until := max(t.Last, t.Done)
		for i := slot(t.Sent); i <= slot(until); i++ {
			from, to := max(t.Sent, time.Duration(i)*step), min(until, time.Duration(i+1)*step)
			s.InFlight[i] += max(0, (to-from).Seconds()) / s.Step
		}
		if t.Err != "" {
			s.Failures[slot(until)]++
			continue
		}
		for at, n := range arrivals(t) {
			s.Tokens[slot(at)] += n / s.Step
		}
		ttfts[slot(t.First)] = append(ttfts[slot(t.First)], t.TTFT().Seconds()*1e3)
		at := t.First
		for g := range t.ITL.All() {
			at += g
			gaps.add(slot(at), g)
		}
	}
	s.TTFTs = medians(ttfts)
	s.ITLs, s.Heat = gaps.medians(), gaps.heat()
	for i := range s.InFlight {
		s.InFlight[i], s.Tokens[i] = round(s.InFlight[i]), round(s.Tokens[i])
	}
}

// medians returns the medians of each slice; nil where it has no value.
func medians(slots [][]float64) []*float64 {
	out := make([]*float64, len(slots))
	for i, values := range slots {
		if len(values) > 0 {
			slices.Sort(values)
			m := round(stats.Percentile(values, 50))
			out[i] = &m
		}
	}
	return out
}

// arrivals yields when a request's output tokens arrived, and how many. Where
// its gaps were not kept, they are taken to be even.
func arrivals(t stats.Timing) func(yield func(time.Duration, float64) bool) {
	return func(yield func(time.Duration, float64) bool) {
		chunks := max(1, t.Chunks)
		each := float64(t.OutputTokens) / float64(chunks)
		if t.ITL.Len() == chunks-1 {
			at := t.First
			if !yield(at, each) {
				return
			}
			for g := range t.ITL.All() {
				if at += g; !yield(at, each) {
					return
				}
			}
			return
		}
		for i := range chunks {
			if !yield(t.First+(t.Last-t.First)*time.Duration(i)/time.Duration(max(1, chunks-1)), each) {
				return
			}
		}
	}
}

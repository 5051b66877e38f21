package stats

import (
	"slices"
	"time"
)

// Steady is the part of a run in which the full number of requests was in
// flight, from when it was first reached to when it was last left, and the
// head and tail around it, which bend a run's means: in the tail the server
// works on ever fewer requests.
type Steady struct {
	InFlight         int      `json:"in_flight"` // requests: the most there were
	Requests         int      `json:"requests"`  // that began and ended inside; the latencies are theirs
	Start            float64  `json:"start_s"`
	Duration         float64  `json:"duration_s"`
	OutputThroughput float64  `json:"output_throughput"`      // tok/s
	TotalThroughput  *float64 `json:"total_token_throughput"` // tok/s; null where nobody counted the input tokens
	TputPerGPU       *float64 `json:"tput_per_gpu"`           // tok/s/GPU, likewise

	TTFT Dist `json:"*_ttft_ms"`
	TPOT Dist `json:"*_tpot_ms"`
	E2EL Dist `json:"*_e2el_ms"`

	Head Edge `json:"head"`
	Tail Edge `json:"tail"`
}

// Edge is the head or the tail of a run.
type Edge struct {
	Duration        float64  `json:"duration_s"`
	TotalThroughput *float64 `json:"total_token_throughput"` // tok/s; null where nobody counted the input tokens
}

// steady finds the steady part of a run: nil where there is none to speak of,
// because no request that succeeded began and ended while the most were in
// flight.
//
// An answer's tokens count where they arrived: the first token and all of the
// prompt when the first chunk came, the others spread evenly from there to the
// last chunk.
func steady(ts []Timing, duration time.Duration, gpus int) *Steady {
	from, to, level := plateau(ts)
	if level == 0 || to <= from {
		return nil
	}
	var in, out [3]float64 // tokens of head, steady part, tail
	var ttft, e2el []time.Duration
	var tpot []float64 // ns
	edges := [4]time.Duration{0, from, to, max(duration, to)}
	for _, t := range ts {
		if t.Err != "" {
			continue
		}
		for i := range out {
			a, b := edges[i], edges[i+1]
			// The last part holds its end, so that every token is in one.
			if t.First >= a && (t.First < b || i == 2) {
				in[i] += float64(t.InputTokens)
				out[i]++
			}
			if t.Last > t.First {
				overlap := min(t.Last, b) - max(t.First, a)
				out[i] += float64(t.OutputTokens-1) * float64(max(overlap, 0)) / float64(t.Last-t.First)
			} else if t.Last >= a && (t.Last < b || i == 2) {
				out[i] += float64(t.OutputTokens - 1)
			}
		}
		if t.Sent >= from && t.Last <= to && !t.Apart {
			ttft, e2el = append(ttft, t.TTFT()), append(e2el, t.E2EL())
			if t.HasTPOT() {
				tpot = append(tpot, t.tpot())
			}
		}
	}
	if len(e2el) == 0 {
		return nil // the peak of an open loop, or a run of one round
	}
	rate := func(tokens float64, d time.Duration) float64 {
		if d <= 0 {
			return 0
		}
		return tokens / d.Seconds()
	}
	s := &Steady{
		InFlight: level, Requests: len(e2el), Start: from.Seconds(), Duration: (to - from).Seconds(),
		OutputThroughput: rate(out[1], to-from),
		TTFT:             DistOf(ttft), TPOT: DistOf(tpot), E2EL: DistOf(e2el),
		Head: Edge{Duration: from.Seconds()},
		Tail: Edge{Duration: (edges[3] - to).Seconds()},
	}
	if inputTokens(ts) != nil {
		head, total, tail := rate(in[0]+out[0], from), rate(in[1]+out[1], to-from), rate(in[2]+out[2], edges[3]-to)
		perGPU := total / float64(max(gpus, 1))
		s.TotalThroughput, s.TputPerGPU, s.Head.TotalThroughput, s.Tail.TotalThroughput = &total, &perGPU, &head, &tail
	}
	return s
}

// plateau is when the largest number of requests in flight was first reached
// and last left. A request is in flight from when it was sent to when the
// client was through with it.
func plateau(ts []Timing) (from, to time.Duration, level int) {
	type change struct {
		at time.Duration
		by int
	}
	changes := make([]change, 0, 2*len(ts))
	for _, t := range ts {
		end := max(t.Done, t.Last)
		if end <= t.Sent { // never sent
			continue
		}
		changes = append(changes, change{t.Sent, 1}, change{end, -1})
	}
	slices.SortFunc(changes, func(a, b change) int {
		if a.at != b.at {
			return int(min(max(a.at-b.at, -1), 1))
		}
		return a.by - b.by
	})
	now := 0
	for _, c := range changes {
		was := now
		now += c.by
		switch {
		case now > level:
			level, from = now, c.at
		case was == level && now < level:
			to = c.at
		}
	}
	return from, to, level
}

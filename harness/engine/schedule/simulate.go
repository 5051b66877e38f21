package schedule

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Workload is a closed loop as the suite drives it: Conc clients, each sending
// its next request the moment its last one ends.
type Workload struct {
	ISL, OSL int     // longest prompt and output, tokens
	Conc     int     // requests in flight
	Prompts  int     // requests measured
	WarmUp   int     // requests sent before those, not measured
	Ratio    float64 // lengths are uniform in [Ratio·L, L]
	Seed     uint64
	Rate     float64 // requests a second that come by a Poisson process in the measured part; 0: the closed loop
}

// Simulated is what a client would see of a workload.
type Simulated struct {
	Duration                           time.Duration // of the measured part
	InputTokens, OutputTokens          int
	Steps                              int
	MedianTTFT, MedianTPOT, MedianE2EL time.Duration
	Requests                           []Seen // of the measured part, in the order in which they ended
}

// Seen is one request as a client would see it. Instants count from the start of
// the measured part.
type Seen struct {
	Sent, First, Last time.Duration
	Input, Output     int // tokens
}

// TotalTokens returns the throughput, input and output, in tokens a second.
func (s Simulated) TotalTokens() float64 {
	return float64(s.InputTokens+s.OutputTokens) / s.Duration.Seconds()
}

// client is one request's times, in virtual time.
type client struct {
	seq         Seq
	sent, first time.Duration
	measured    bool
}

// Simulate runs a workload against a profile in virtual time, with the
// scheduler that the engine runs in real time. The network takes no time.
func Simulate(p *Profile, w Workload) Simulated {
	s := New(p)
	rng := rand.New(rand.NewPCG(w.Seed, 0))
	length := func(l int) int {
		low := max(int(w.Ratio*float64(l)), 1)
		return low + rng.IntN(l-low+1)
	}
	var now, begin time.Duration
	var out Simulated
	var ttft, tpot, e2el []time.Duration
	left, warm := w.Prompts, w.WarmUp
	send := func(at time.Duration) {
		if warm == 0 && left == 0 {
			return
		}
		c := &client{sent: at, measured: warm == 0}
		if warm > 0 {
			warm--
		} else {
			left--
		}
		c.seq = Seq{Prompt: length(w.ISL), Output: length(w.OSL), Owner: c}
		s.Add(&c.seq)
	}
	var due time.Duration // of an open loop's next request
	arrive := func() {
		for w.Rate > 0 && left > 0 && due <= now {
			send(due)
			due += time.Duration(rng.ExpFloat64() / w.Rate * float64(time.Second))
		}
	}
	run := func(open bool) {
		for range w.Conc {
			if !open {
				send(now)
			}
		}
		for {
			if open {
				arrive()
			}
			step := s.Begin()
			if step == 0 && open && left > 0 {
				now = due
				continue
			}
			if step == 0 {
				return
			}
			now += step
			out.Steps++
			ended := 0
			s.End(func(q *Seq, n int) bool {
				c := q.Owner.(*client)
				if q.Produced == n {
					c.first = now
				}
				if q.Produced < q.Output {
					return false
				}
				ended++
				if c.measured {
					ttft = append(ttft, c.first-c.sent)
					e2el = append(e2el, now-c.sent)
					if q.Output > 1 {
						tpot = append(tpot, (now-c.first)/time.Duration(q.Output-1))
					}
					out.Requests = append(out.Requests, Seen{c.sent - begin, c.first - begin, now - begin, q.Prompt, q.Output})
					out.InputTokens += q.Prompt
					out.OutputTokens += q.Output
				}
				return true
			})
			for range ended {
				if !open && (warm > 0 || w.WarmUp == 0 || begin > 0) {
					send(now)
				}
			}
		}
	}
	if w.WarmUp > 0 { // the warm-up ends before the clock starts, as with the suite
		measured := left
		left = 0
		run(false)
		left, begin = measured, now
	}
	out.Steps, due = 0, now
	run(w.Rate > 0)
	out.Duration = now - begin
	out.MedianTTFT, out.MedianTPOT, out.MedianE2EL = median(ttft), median(tpot), median(e2el)
	return out
}

// median is numpy's: the mean of the middle two where the number is even.
func median(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	n := len(d)
	return time.Duration(math.Round(float64(d[(n-1)/2]+d[n/2]) / 2))
}

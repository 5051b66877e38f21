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

// simulation is a workload on its way.
type simulation struct {
	Workload
	scheduler  *Scheduler
	rng        *rand.Rand
	left, warm int // requests still to send: measured ones, and those of the warm-up

	now   time.Duration
	begin time.Duration // of the measured run
	due   time.Duration // of an open loop's next request

	out              Simulated
	ttft, tpot, e2el []time.Duration // of the measured requests
}

// Simulate runs a workload against a profile in virtual time, with the
// scheduler that the engine runs in real time. The network takes no time.
func Simulate(p *Profile, w Workload) Simulated {
	s := &simulation{Workload: w, scheduler: New(p), rng: rand.New(rand.NewPCG(w.Seed, 0)), warm: w.WarmUp}
	if w.WarmUp > 0 { // the warm-up ends before the clock starts, as with the suite
		s.run(false)
		s.begin = s.now
	}
	s.left, s.out.Steps, s.due = w.Prompts, 0, s.now
	s.run(w.Rate > 0)
	s.out.Duration = s.now - s.begin
	s.out.MedianTTFT, s.out.MedianTPOT, s.out.MedianE2EL = median(s.ttft), median(s.tpot), median(s.e2el)
	return s.out
}

// run sends requests and takes steps until nothing is left to do: in an open loop by
// their times, else CONC at once and one for each that ends.
func (s *simulation) run(open bool) {
	for range s.Conc {
		if !open {
			s.send(s.now)
		}
	}
	for {
		if open {
			s.arrive()
		}
		step := s.scheduler.Begin()
		if step == 0 && open && s.left > 0 {
			s.now = s.due
			continue
		}
		if step == 0 {
			return
		}
		s.now += step
		s.out.Steps++
		ended := 0
		s.scheduler.End(func(q *Seq, n int) bool {
			done := s.produced(q, n)
			if done {
				ended++
			}
			return done
		})
		for range ended {
			if !open {
				s.send(s.now)
			}
		}
	}
}

// send adds a request at an instant, if one is left to send.
func (s *simulation) send(at time.Duration) {
	if s.warm == 0 && s.left == 0 {
		return
	}
	c := &client{sent: at, measured: s.warm == 0}
	if s.warm > 0 {
		s.warm--
	} else {
		s.left--
	}
	c.seq = Seq{Prompt: s.length(s.ISL), Output: s.length(s.OSL), Owner: c}
	s.scheduler.Add(&c.seq)
}

// length draws a length of at most l, as the suite's random prompts have it.
func (s *simulation) length(l int) int {
	low := max(int(s.Ratio*float64(l)), 1)
	return low + s.rng.IntN(l-low+1)
}

// arrive sends the requests of an open loop that are due.
func (s *simulation) arrive() {
	for s.Rate > 0 && s.left > 0 && s.due <= s.now {
		s.send(s.due)
		s.due += time.Duration(s.rng.ExpFloat64() / s.Rate * float64(time.Second))
	}
}

// produced notes that a request has n tokens more, and reports whether these were its
// last.
func (s *simulation) produced(q *Seq, n int) bool {
	c := q.Owner.(*client)
	if q.Produced == n {
		c.first = s.now
	}
	if q.Produced < q.Output {
		return false
	}
	if !c.measured {
		return true
	}
	s.ttft = append(s.ttft, c.first-c.sent)
	s.e2el = append(s.e2el, s.now-c.sent)
	if q.Output > 1 {
		s.tpot = append(s.tpot, (s.now-c.first)/time.Duration(q.Output-1))
	}
	s.out.Requests = append(s.out.Requests,
		Seen{c.sent - s.begin, c.first - s.begin, s.now - s.begin, q.Prompt, q.Output})
	s.out.InputTokens += q.Prompt
	s.out.OutputTokens += q.Output
	return true
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

package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"inferbench/harness/clock"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// phase is the warm-up or the measured run: a supply makes the requests, the
// load shape releases them, and slots send them.
type phase struct {
	end    *endpoint
	supply *supply
	turns  *turns // whose replay says what is sent when; nil: the load shape does
	opts   Options
	base   time.Time       // its start
	ready  <-chan prepared // what slots take their requests from
	count  counts
	late   bool // the time was over before all that was due in it could be sent

	mu        sync.Mutex    // guards what follows while the phase runs
	duration  time.Duration // to the end of the last request
	slots     []*slot
	collector stats.Collector
	live      *latencies // so far; nil where nobody is told of them
	notes     []string
}

// counts say how a phase stands.
type counts struct {
	inFlight, finished, failed atomic.Int64
	sessions                   atomic.Int64 // that have ended, of a replay
	input, cached              atomic.Int64 // tokens, where the server tells of its cache

	enough  atomic.Bool  // Options.Enough said so
	streak  atomic.Int64 // requests that failed one after another, until now
	stopped atomic.Int64 // the streak that ended the phase; 0 where none did
	expired atomic.Bool  // a replay cuts off what is in flight
	cutOff  atomic.Int64 // requests that were cut off, which count nowhere else
}

func newSlots(n int) []*slot {
	slots := make([]*slot, n)
	for i := range slots {
		slots[i] = &slot{}
	}
	return slots
}

// execute runs the phase to its end.
func (p *phase) execute(ctx context.Context) {
	run := p.shaped
	if p.turns != nil {
		run = p.conduct
	}
	var reporter sync.WaitGroup
	done := make(chan struct{})
	run(ctx, func() {
		p.base = time.Now()
		for _, s := range p.slots { // also those that get no request: what they did before does not count
			p.begin(s)
		}
		if p.opts.OnProgress != nil {
			p.mu.Lock()
			p.live = newLatencies(p.opts.LiveITL)
			p.mu.Unlock()
			reporter.Go(func() { p.report(done) })
		}
	})
	close(done)
	reporter.Wait()
}

// shaped sends the requests of a workload as the load shape says. It calls start when
// the first is ready.
func (p *phase) shaped(ctx context.Context, start func()) {
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	shape, total := p.opts.Shape, p.supply.total
	var at *arrivals
	if shape.Rate > 0 {
		at = newArrivals(shape)
	}
	made, supply := p.supply.start(work, p.opts.Conc, at)
	p.ready = made
	released := make(chan prepared)
	if shape.Open() {
		p.ready = released
	}
	start()

	var helpers, slots sync.WaitGroup
	helpers.Go(supply)
	for i, s := range p.slots[:min(len(p.slots), total)] {
		delay := time.Duration(0)
		if !shape.Open() {
			shares := max(shape.Shares, 1)
			delay = shape.RampUp * time.Duration(i*shares+shape.Share) / time.Duration(len(p.slots)*shares)
		}
		slots.Go(func() {
			if clock.Sleep(work, delay) == nil {
				p.serve(ctx, s)
				cancel() // nothing is left to send: slots that the ramp has not started yet need not
			}
		})
	}
	if shape.Open() {
		slots.Go(func() { p.pace(work, made, released, func(s *slot) { slots.Go(func() { p.serve(ctx, s) }) }) })
	}
	slots.Wait()
	cancel()
	helpers.Wait()
}

// begin readies a slot for the phase.
func (p *phase) begin(s *slot) { s.begin(p.end, p.supply, p.base, p.opts.RequestTimeout) }

// unsent is how many requests should have been sent and were not. A run that
// its duration bounds owes none.
func (p *phase) unsent() int {
	if p.turns != nil || p.opts.Shape.Duration > 0 || p.count.enough.Load() {
		return 0
	}
	return p.supply.total - int(p.count.finished.Load())
}

// pace releases the requests of an open loop at their times, to a free slot or,
// where the loop is uncapped, to a new one.
func (p *phase) pace(ctx context.Context, made <-chan prepared, released chan<- prepared, spawn func(*slot)) {
	defer close(released)
	shape := p.opts.Shape
	var over <-chan time.Time
	if shape.Duration > 0 {
		timer := time.NewTimer(shape.Duration - time.Since(p.base))
		defer timer.Stop()
		over = timer.C
	}
	for next := range made {
		if shape.Duration > 0 && next.due >= shape.Duration || p.count.stopped.Load() > 0 || p.count.enough.Load() {
			return
		}
		if clock.Sleep(ctx, next.due-time.Since(p.base)) != nil {
			return
		}
		if shape.Duration > 0 && time.Since(p.base) >= shape.Duration {
			p.late = true
			return
		}
		select {
		case released <- next: // a slot is free
			continue
		default:
		}
		if shape.Uncapped {
			if s := p.newSlot(); s != nil {
				spawn(s)
			}
		}
		select {
		case released <- next:
		case <-over:
			p.late = true
			return
		case <-ctx.Done():
			return
		}
	}
}

// newSlot is one more slot for an uncapped load, nil where it has as many as it
// may have.
func (p *phase) newSlot() *slot {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.slots) < MaxInFlight {
		return p.addSlot()
	}
	if p.notes == nil {
		p.notes = []string{fmt.Sprintf("%d requests were in flight, the most that an uncapped load may have: later "+
			"ones waited", MaxInFlight)}
	}
	return nil
}

// addSlot is one more slot. The caller holds mu.
func (p *phase) addSlot() *slot {
	s := &slot{}
	p.begin(s)
	p.slots = append(p.slots, s)
	return s
}

// scheduled is how many requests an open loop that its duration bounds should
// have sent.
func (p *phase) scheduled() (n int) {
	shape := p.opts.Shape
	at := newArrivals(shape)
	for ; n < p.supply.total; n++ {
		due := time.Duration(0)
		if shape.Trace {
			r, _ := p.supply.src.Request(n) // one that cannot be made is due at once, and fails
			due = r.At
		} else {
			due = at.next()
		}
		if due >= shape.Duration {
			break
		}
	}
	return n
}

// serve sends one request after another through s.
func (p *phase) serve(ctx context.Context, s *slot) {
	shape := p.opts.Shape
	free := time.Since(p.base)
	for next := range p.ready {
		if ctx.Err() != nil || p.count.stopped.Load() > 0 || p.count.enough.Load() {
			return
		}
		if shape.Duration > 0 && !shape.Open() && time.Since(p.base) >= shape.Duration {
			return
		}
		t := p.send(ctx, s, next)
		if !shape.Open() && t.Sent < t.Done {
			s.idle += t.Sent - free
		}
		free = s.freeSince(t)
	}
}

// send sends a request through s, reads its answer and counts how it ended.
func (p *phase) send(ctx context.Context, s *slot, next prepared) stats.Timing {
	p.count.inFlight.Add(1)
	t := s.do(ctx, next, p.opts.Shape.Open())
	p.count.inFlight.Add(-1)
	if t.Err != "" && p.count.expired.Load() {
		p.count.cutOff.Add(1)
		return t
	}
	p.count.finished.Add(1)
	p.judge(t, ctx.Err() != nil)
	if t.Prompt.CachedTold && t.Err == "" {
		p.count.input.Add(int64(t.InputTokens))
		p.count.cached.Add(int64(t.Prompt.Cached))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.collector.Add(t)
	p.duration = max(p.duration, t.Done)
	if p.opts.Enough != nil && !p.count.enough.Load() {
		p.count.enough.Store(p.opts.Enough(p.collector.Len(), p.collector.Timings))
	}
	if p.live != nil && t.Err == "" {
		p.live.add(&t)
	}
	return t
}

// judge counts failures, and stops a run in which nothing succeeds any more: a
// server that hangs would otherwise cost CONC·n time-outs.
func (p *phase) judge(t stats.Timing, cancelled bool) {
	if t.Err == "" {
		p.count.streak.Store(0)
		return
	}
	p.count.failed.Add(1)
	if n := p.count.streak.Add(1); n >= int64(2*p.opts.Conc+20) && !cancelled {
		p.count.stopped.CompareAndSwap(0, n)
	}
}

// report tells OnProgress how the phase stands until stop is closed.
func (p *phase) report(stop <-chan struct{}) {
	tick := time.NewTicker(p.opts.ProgressEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.opts.OnProgress(p.progress())
		case <-stop:
			p.opts.OnProgress(p.progress())
			return
		}
	}
}

func (p *phase) progress() Progress {
	done, in := int(p.count.finished.Load()), int(p.count.inFlight.Load())
	out := Progress{WarmUp: p.supply.warmUp, Sent: done + in, Done: done, Failed: int(p.count.failed.Load()),
		InFlight: in, Elapsed: time.Since(p.base)}
	if p.supply.total != workload.Endless {
		out.Total = p.supply.total
	}
	if p.turns != nil {
		out.Sessions = &SessionProgress{Ended: int(p.count.sessions.Load())}
		if input := p.count.input.Load(); input > 0 {
			share := float64(p.count.cached.Load()) / float64(input)
			out.Sessions.HitRate = &share
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.slots {
		out.OutputTokens += s.tokens.Load()
	}
	out.OutputTokens += p.end.lying() // most of what waits to be read is tokens
	if p.live != nil {
		p.live.tell(&out)
	}
	return out
}

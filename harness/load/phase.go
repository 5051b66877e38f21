package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// phase is the warm-up or the measured run: requests are prepared ahead of
// their time in one goroutine, released by the load shape, and sent by slots.
type phase struct {
	end    *endpoint
	enc    encoder
	src    workload.Source
	opts   Options
	slots  []*slot
	total  int
	warmUp bool

	base   time.Time
	ready  chan prepared // what slots take their requests from
	bodies sync.Pool     // of *[]byte: bodies that were sent
	making sync.Mutex    // held while a body is made
	tokens []int32       // of the latest prompt

	inFlight, finished, failed atomic.Int64
	failedInARow               atomic.Int64
	stopped                    atomic.Bool // too many failures in a row
	late                       bool        // the time was over before all that was due in it could be sent

	mu        sync.Mutex // guards what follows, and slots
	collector stats.Collector
	ttft      *stats.Histogram // so far; nil where nobody is told of it
	notes     []string
	duration  time.Duration
}

// Request bodies are made before a slot asks for one: so many, and of long
// prompts no more than these bytes hold.
const (
	readyAhead      = 32
	readyAheadBytes = 1 << 20
)

func newSlots(n int) []*slot {
	slots := make([]*slot, n)
	for i := range slots {
		slots[i] = &slot{}
	}
	return slots
}

// execute runs the phase to its end.
func (p *phase) execute(ctx context.Context) {
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	first := p.body(p.index(0))
	made := make(chan prepared, min(p.total, p.opts.Conc, readyAhead, readyAheadBytes/max(len(*first.body), 1)+1))
	p.ready = made
	p.base = time.Now()

	var helpers, slots sync.WaitGroup
	helpers.Go(func() { p.prepare(work, first, made) })
	shape := p.opts.Shape
	if shape.open() {
		p.ready = make(chan prepared)
	}
	for _, s := range p.slots { // also those that get no request: what they did before does not count
		s.begin(p)
	}
	for i, s := range p.slots[:min(len(p.slots), p.total)] {
		delay := time.Duration(0)
		if !shape.open() {
			shares := max(shape.Shares, 1)
			delay = shape.RampUp * time.Duration(i*shares+shape.Share) / time.Duration(len(p.slots)*shares)
		}
		slots.Go(func() {
			if wait(work, delay) {
				p.serve(ctx, s)
				cancel() // nothing is left to send: slots that the ramp has not started yet need not
			}
		})
	}
	if shape.open() {
		slots.Go(func() { p.pace(work, made, func(s *slot) { slots.Go(func() { p.serve(ctx, s) }) }) })
	}
	done := make(chan struct{})
	if p.opts.OnProgress != nil {
		p.mu.Lock()
		p.ttft = stats.NewHistogram()
		p.mu.Unlock()
		helpers.Go(func() { p.report(done) })
	}
	slots.Wait()
	p.duration = time.Since(p.base)
	close(done)
	cancel()
	helpers.Wait()
}

// unsent is how many requests should have been sent and were not. A run that
// its duration bounds owes none.
func (p *phase) unsent() int {
	if p.opts.Shape.Duration > 0 {
		return 0
	}
	return p.total - int(p.finished.Load())
}

// wait sleeps and reports whether it slept to the end.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// prepare makes request bodies, in order, ahead of the slots.
func (p *phase) prepare(ctx context.Context, first prepared, made chan<- prepared) {
	defer close(made)
	var at *arrivals
	if p.opts.Shape.Rate > 0 {
		at = newArrivals(p.opts.Shape)
	}
	for i := range p.total {
		next := first
		if i > 0 {
			next = p.body(p.index(i))
		}
		if at != nil {
			next.due = at.next()
		}
		select {
		case made <- next:
		case <-ctx.Done():
			return
		}
	}
}

// index is the workload's index of the phase's request i.
func (p *phase) index(i int) int {
	if p.warmUp {
		return -1 - i
	}
	return i
}

// request is request i of the workload. Its token ids are good until the next
// call: prompts are encoded one after another, and their ids share one slice
// where the workload allows that.
func (p *phase) request(i int) (r workload.Request, err error) {
	into, ok := p.src.(interface {
		RequestInto([]int32, int) (workload.Request, error)
	})
	if !ok {
		return p.src.Request(i)
	}
	if r, err = into.RequestInto(p.tokens, i); err == nil {
		p.tokens = r.Tokens
	}
	return r, err
}

// body makes request i ready to be written.
func (p *phase) body(i int) prepared {
	p.making.Lock()
	defer p.making.Unlock()
	buf, ok := p.bodies.Get().(*[]byte)
	if !ok {
		buf = new([]byte)
	}
	r, err := p.request(i)
	if err == nil {
		*buf, err = p.enc.encode((*buf)[:0], r)
	}
	return prepared{index: i, inputLen: len(r.Tokens), outputLen: r.OutputLen, due: r.At, body: buf, err: err}
}

// pace releases the requests of an open loop at their times, to a free slot or,
// where the loop is uncapped, to a new one.
func (p *phase) pace(ctx context.Context, made <-chan prepared, spawn func(*slot)) {
	defer close(p.ready)
	shape := p.opts.Shape
	var over <-chan time.Time
	if shape.Duration > 0 {
		timer := time.NewTimer(shape.Duration - time.Since(p.base))
		defer timer.Stop()
		over = timer.C
	}
	for next := range made {
		if shape.Duration > 0 && next.due >= shape.Duration || p.stopped.Load() {
			return
		}
		if !wait(ctx, next.due-time.Since(p.base)) {
			return
		}
		if shape.Duration > 0 && time.Since(p.base) >= shape.Duration {
			p.late = true
			return
		}
		select {
		case p.ready <- next: // a slot is free
			continue
		default:
		}
		if shape.Uncapped {
			if len(p.slots) < MaxInFlight {
				s := &slot{}
				s.begin(p)
				p.mu.Lock()
				p.slots = append(p.slots, s)
				p.mu.Unlock()
				spawn(s)
			} else if p.notes == nil {
				p.notes = []string{fmt.Sprintf("%d requests were in flight, the most that an uncapped load may have: later ones waited", MaxInFlight)}
			}
		}
		select {
		case p.ready <- next:
		case <-over:
			p.late = true
			return
		case <-ctx.Done():
			return
		}
	}
}

// scheduled is how many requests an open loop that its duration bounds should
// have sent.
func (p *phase) scheduled() (n int) {
	shape := p.opts.Shape
	at := newArrivals(shape)
	for ; n < p.total; n++ {
		due := time.Duration(0)
		if shape.Trace {
			r, _ := p.request(n) // one that cannot be made is due at once, and fails
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
		if ctx.Err() != nil || p.stopped.Load() {
			return
		}
		if shape.Duration > 0 && !shape.open() && time.Since(p.base) >= shape.Duration {
			return
		}
		p.inFlight.Add(1)
		t := s.do(ctx, next, shape.open())
		if !shape.open() && t.Sent < t.Done {
			s.idle += t.Sent - free
		}
		free = t.Done
		p.inFlight.Add(-1)
		p.finished.Add(1)
		p.judge(t, ctx.Err() != nil)
		p.mu.Lock()
		p.collector.Add(t)
		if p.ttft != nil && t.Err == "" {
			p.ttft.Record(t.TTFT())
		}
		p.mu.Unlock()
	}
}

// judge counts failures, and stops a run in which nothing succeeds any more: a
// server that hangs would otherwise cost CONC·n time-outs.
func (p *phase) judge(t stats.Timing, cancelled bool) {
	if t.Err == "" {
		p.failedInARow.Store(0)
		return
	}
	p.failed.Add(1)
	if p.failedInARow.Add(1) >= int64(2*p.opts.Conc+20) && !cancelled {
		p.stopped.Store(true)
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
	done, in := int(p.finished.Load()), int(p.inFlight.Load())
	out := Progress{WarmUp: p.warmUp, Sent: done + in, Done: done, Failed: int(p.failed.Load()),
		InFlight: in, Elapsed: time.Since(p.base)}
	if p.total != workload.Endless {
		out.Total = p.total
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.slots {
		out.OutputTokens += s.tokens.Load()
	}
	if p.ttft != nil && p.ttft.Len() > 0 {
		out.TTFTP50, out.TTFTP99 = p.ttft.At(50), p.ttft.At(99)
	}
	return out
}

package load

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"inferbench/harness/stats"
	"inferbench/harness/target"
	"inferbench/harness/workload"
)

// Run sends the requests of src to t and times every token. It first sends the
// warm-up requests, then starts the clock.
//
// A request that fails is in the recording, with its reason. The error is for
// a run that could not be: options that make no sense, a server that answered
// no warm-up request. Where ctx ends, Run closes its connections at once and
// returns what it has along with the context's error; requests cut short are
// in the recording as failed.
func Run(ctx context.Context, t *target.Target, src workload.Source, o Options) (*Recording, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if c, ok := src.(interface{ Check() error }); ok {
		if err := c.Check(); err != nil {
			return nil, err
		}
	}
	if src.Len() < 1 {
		return nil, fmt.Errorf("load: the workload has no requests")
	}
	enc, err := newEncoder(t.Model)
	if err != nil {
		return nil, err
	}
	end, err := newEndpoint(t, "/v1/completions", o)
	if err != nil {
		return nil, err
	}
	defer end.stop()
	defer context.AfterFunc(ctx, end.stop)()

	slots := make([]*slot, o.Conc)
	for i := range slots {
		slots[i] = &slot{}
	}
	var notes []string
	if o.WarmUp > 0 {
		p := newPhase(end, enc, src, o, slots, o.WarmUp, true)
		p.execute(ctx)
		if ctx.Err() != nil {
			return &Recording{Notes: []string{"cancelled during the warm-up"}}, context.Cause(ctx)
		}
		if n, first := failures(p.timings); n == o.WarmUp {
			return nil, fmt.Errorf("all %d warm-up requests failed: %s", n, first)
		} else if n > 0 {
			notes = append(notes, fmt.Sprintf("%d of %d warm-up requests failed: %s", n, o.WarmUp, first))
		}
	}
	p := newPhase(end, enc, src, o, slots, src.Len(), false)
	watch := startWatch()
	p.execute(ctx)
	rec := &Recording{Timings: p.timings, Duration: p.duration, Notes: notes}
	rec.Audit = watch.stop(p, t.Loopback)
	if ctx.Err() != nil {
		return rec, context.Cause(ctx)
	}
	return rec, nil
}

func failures(ts []stats.Timing) (n int, first string) {
	for _, t := range ts {
		if t.Err != "" {
			if n == 0 {
				first = t.Err
			}
			n++
		}
	}
	return n, first
}

// phase is the warm-up or the measured run.
type phase struct {
	end    *endpoint
	enc    encoder
	src    workload.Source
	opts   Options
	slots  []*slot
	total  int
	warmUp bool

	base                   time.Time
	ready                  chan prepared
	bodies                 sync.Pool // of *[]byte: bodies that were sent
	inFlight, done, failed atomic.Int64

	mu       sync.Mutex
	timings  []stats.Timing
	duration time.Duration
}

// readyAhead is how many request bodies are made before a slot asks for one.
const readyAhead = 32

func newPhase(end *endpoint, enc encoder, src workload.Source, o Options, slots []*slot, total int, warmUp bool) *phase {
	return &phase{end: end, enc: enc, src: src, opts: o, slots: slots, total: total, warmUp: warmUp,
		ready: make(chan prepared, min(total, max(o.Conc, 1), readyAhead))}
}

// execute runs the phase to its end.
func (p *phase) execute(ctx context.Context) {
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	go p.prepare(work)
	p.base = time.Now()

	var progress sync.WaitGroup
	stopProgress := make(chan struct{})
	if p.opts.OnProgress != nil {
		progress.Go(func() { p.report(stopProgress) })
	}
	var slots sync.WaitGroup
	for _, s := range p.slots[:min(len(p.slots), p.total)] {
		s.run, s.resp.base = p, p.base
		s.tokens.Store(0)
		slots.Go(func() { p.serve(ctx, s) })
	}
	slots.Wait()
	p.duration = time.Since(p.base)
	slices.SortFunc(p.timings, func(a, b stats.Timing) int { return a.Index - b.Index })
	close(stopProgress)
	progress.Wait()
}

// serve sends one request after another through s.
func (p *phase) serve(ctx context.Context, s *slot) {
	for next := range p.ready {
		if ctx.Err() != nil {
			return
		}
		p.inFlight.Add(1)
		t := s.do(ctx, next)
		p.inFlight.Add(-1)
		p.done.Add(1)
		if t.Err != "" {
			p.failed.Add(1)
		}
		body := next.body
		p.bodies.Put(&body)
		p.mu.Lock()
		p.timings = append(p.timings, t)
		p.mu.Unlock()
	}
}

// prepare makes request bodies, in order, ahead of the slots.
func (p *phase) prepare(ctx context.Context) {
	defer close(p.ready)
	for i := range p.total {
		at := i
		if p.warmUp {
			at = -1 - i
		}
		next := p.body(at)
		select {
		case p.ready <- next:
		case <-ctx.Done():
			return
		}
	}
}

func (p *phase) body(i int) prepared {
	r, err := p.src.Request(i)
	if err != nil {
		return prepared{index: i, err: err}
	}
	var buf []byte
	if b, ok := p.bodies.Get().(*[]byte); ok {
		buf = (*b)[:0]
	}
	buf, err = p.enc.encode(buf, r)
	return prepared{index: i, inputLen: len(r.Tokens), outputLen: r.OutputLen, body: buf, err: err}
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
	done, in := int(p.done.Load()), int(p.inFlight.Load())
	out := Progress{WarmUp: p.warmUp, Sent: done + in, Done: done, Failed: int(p.failed.Load()),
		InFlight: in, Total: p.total, Elapsed: time.Since(p.base)}
	for _, s := range p.slots {
		out.OutputTokens += s.tokens.Load()
	}
	return out
}

package load

import (
	"context"
	"fmt"

	"inferbench/harness/hint"
	"inferbench/harness/server"
	"inferbench/harness/stats"
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
func Run(ctx context.Context, t *server.Server, src workload.Source, o Options) (*Recording, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := workload.Check(src); err != nil {
		return nil, err
	}
	if src.Len() < 1 {
		return nil, fmt.Errorf("load: the workload has no requests")
	}
	r := &runner{src: src, opts: o, slots: newSlots(o.Conc), rec: &Recording{SLO: o.SLO}}
	return r.run(ctx, t)
}

// run warms up and measures.
func (r *runner) run(ctx context.Context, t *server.Server) (_ *Recording, err error) {
	o := r.opts
	if r.enc, err = newEncoder(t, o); err != nil {
		return nil, err
	}
	if r.end, err = newEndpoint(t, o); err != nil {
		return nil, err
	}
	defer r.end.stop()
	defer context.AfterFunc(ctx, r.end.stop)()

	if err := r.warmUp(ctx); err != nil {
		if ctx.Err() != nil {
			return &Recording{Notes: []string{"cancelled during the warm-up"}}, context.Cause(ctx)
		}
		return nil, err
	}
	if o.Gate != nil {
		if err := o.Gate(ctx); err != nil {
			return nil, err
		}
	}
	r.measure(ctx, t.Within)
	if ctx.Err() != nil {
		return r.rec, context.Cause(ctx)
	}
	return r.rec, nil
}

// runner is one call of [Run] or [Replay].
type runner struct {
	src   workload.Source
	turns *turns // which src is, where sessions are replayed; else nil
	opts  Options
	end   *endpoint
	enc   encoder
	slots []*slot
	rec   *Recording
}

// note tells the reader of the figures something.
func (r *runner) note(format string, args ...any) {
	r.rec.Notes = append(r.rec.Notes, fmt.Sprintf(format, args...))
}

// contradict says that the server's words cannot all be true.
func (r *runner) contradict(format string, args ...any) {
	r.rec.Contradictions = append(r.rec.Contradictions, fmt.Sprintf(format, args...))
}

// warmUp sends the warm-up requests, and learns from them how the server counts.
func (r *runner) warmUp(ctx context.Context) error {
	if r.turns != nil {
		return r.warmSessions(ctx)
	}
	if r.opts.WarmUp == 0 {
		return nil
	}
	warm := r.opts
	warm.Shape, warm.Enough = Shape{}, nil
	p := &phase{end: r.end, supply: &supply{src: r.src, enc: r.enc, total: r.opts.WarmUp, warmUp: true}, opts: warm,
		slots: r.slots}
	p.execute(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	timings := p.collector.Timings()
	f := stats.FailuresOf(timings)
	switch n := f.Requests(); n {
	case 0:
	case len(timings):
		return hint.New(fmt.Errorf("all %d warm-up requests failed: %s", n, f.Text()), f.Advice())
	default:
		r.note("%d of %d warm-up requests failed: %s", n, r.opts.WarmUp, f.Text())
	}
	if r.opts.Shape.Uncapped {
		r.slots = p.slots // with the connections that they opened
	}
	r.settleInput(ctx, timings)
	return r.askForCounts(ctx, timings)
}

// phase is the measured phase.
func (r *runner) phase() *phase {
	return &phase{end: r.end, supply: &supply{src: r.src, enc: r.enc, total: r.src.Len()}, opts: r.opts, slots: r.slots,
		turns: r.turns}
}

// measure runs the measured phase and says what there is to say of it.
func (r *runner) measure(ctx context.Context, withEngine bool) {
	p := r.phase()
	watch := startWatch()
	if r.turns != nil {
		r.turns.measure()
	}
	p.execute(ctx)
	rec := r.rec
	rec.Timings, rec.Folded, rec.FoldedTokens = p.collector.Timings(), p.collector.Folded(), p.collector.FoldedTokens()
	rec.Duration, rec.Notes = p.duration, append(rec.Notes, p.notes...)
	rec.Unsent, rec.Answers = p.unsent(), answers(p.slots)
	if n := p.count.stopped.Load(); n > 0 {
		left := ""
		if r.opts.Shape.Duration == 0 {
			left = fmt.Sprintf(": %d of %d requests were not sent", rec.Unsent, r.src.Len())
		}
		r.note("stopped after %d requests in a row failed%s", n, left)
	}
	if n := p.count.cutOff.Load(); n > 0 {
		r.note("%d of %d requests had not been answered when the time to end in was over, and were cut off: no figure is of "+
			"them", n, n+int64(len(rec.Timings)))
	}
	if p.late {
		due := p.scheduled()
		r.note("%d of the %d requests that were due within %s were not sent, and no latency tells of them: those "+
			"before them were still in flight when the time was over",
			due-len(rec.Timings), due, r.opts.Shape.Duration)
	}
	rec.Audit, rec.StoodStill = watch.stop(p, withEngine)
	if n := rec.Audit.LateEnds; n > 0 {
		r.note("%d of %d answers had not ended %v after their last token: the slots went on, on other connections",
			n, len(rec.Timings), tidyGrace)
	}
	var odd oddities
	for _, s := range p.slots {
		odd.add(s.odd)
	}
	if r.turns != nil {
		r.turns.tell(rec)
		r.checkWhole(rec)
	}
	r.settleInput(ctx, rec.Timings)
	r.checkInput(rec.Timings)
	r.tellTokens(rec.Timings, odd)
}

// aside sends a few requests that no figure counts, one after another.
func (r *runner) aside(ctx context.Context, src workload.Source, enc encoder) []stats.Timing {
	p := &phase{end: r.end, supply: &supply{src: src, enc: enc, total: src.Len()}, slots: r.slots[:1],
		opts: Options{Conc: 1, RequestTimeout: r.opts.RequestTimeout}}
	p.execute(ctx)
	return p.collector.Timings()
}

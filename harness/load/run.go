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
	enc, err := newEncoder(t.ModelSent(), o)
	if err != nil {
		return nil, err
	}
	end, err := newEndpoint(t, o)
	if err != nil {
		return nil, err
	}
	defer end.stop()
	defer context.AfterFunc(ctx, end.stop)()

	slots := newSlots(o.Conc)
	var notes []string
	if o.WarmUp > 0 {
		warm := o
		warm.Shape = Shape{}
		p := &phase{end: end, supply: &supply{src: src, enc: enc, total: o.WarmUp, warmUp: true}, opts: warm, slots: slots}
		p.execute(ctx)
		if ctx.Err() != nil {
			return &Recording{Notes: []string{"cancelled during the warm-up"}}, context.Cause(ctx)
		}
		timings := p.collector.Timings()
		f := stats.FailuresOf(timings)
		switch n := f.Requests(); n {
		case 0:
		case len(timings):
			err := fmt.Errorf("all %d warm-up requests failed: %s", n, f.Text())
			return nil, hint.New(err, f.Advice())
		default:
			notes = append(notes, fmt.Sprintf("%d of %d warm-up requests failed: %s", n, o.WarmUp, f.Text()))
		}
		if o.Shape.Uncapped {
			slots = p.slots // with the connections that they opened
		}
	}
	if o.Gate != nil {
		if err := o.Gate(ctx); err != nil {
			return nil, err
		}
	}
	p := &phase{end: end, supply: &supply{src: src, enc: enc, total: src.Len()}, opts: o, slots: slots}
	watch := startWatch()
	p.execute(ctx)
	rec := &Recording{
		Timings: p.collector.Timings(), Folded: p.collector.Folded(),
		Duration: p.duration, SLO: o.SLO, Notes: append(notes, p.notes...),
	}
	rec.Unsent = p.unsent()
	if n := p.count.stopped.Load(); n > 0 {
		note := fmt.Sprintf("stopped after %d requests in a row failed", n)
		if o.Shape.Duration == 0 {
			note += fmt.Sprintf(": %d of %d requests were not sent", rec.Unsent, src.Len())
		}
		rec.Notes = append(rec.Notes, note)
	}
	if p.late {
		due := p.scheduled()
		rec.Notes = append(rec.Notes, fmt.Sprintf("%d of the %d requests that were due within %s were not sent, and no latency tells of them: those before them were still in flight when the time was over",
			due-len(rec.Timings), due, o.Shape.Duration))
	}
	rec.Audit = watch.stop(p, t.Within)
	rec.Notes = append(rec.Notes, lengthNotes(src, rec.Timings)...)
	if ctx.Err() != nil {
		return rec, context.Cause(ctx)
	}
	return rec, nil
}

// lengthNotes says where the server counts other prompts than were sent: one
// that cuts a prompt short does less work than the figures are for.
func lengthNotes(src workload.Source, ts []stats.Timing) []string {
	differ, example := 0, ""
	for _, t := range ts {
		if t.Err != "" || t.NoUsage || t.PromptTokens == 0 || t.InputTokens == t.PromptTokens {
			continue
		}
		if differ == 0 {
			example = fmt.Sprintf("%d where %d were sent", t.InputTokens, t.PromptTokens)
		}
		differ++
	}
	if differ == 0 {
		return nil
	}
	return []string{fmt.Sprintf("for %d of %d requests the server counts other input tokens than were sent, as %s", differ, len(ts), example)}
}

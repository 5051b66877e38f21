package sweep

import (
	"context"
	"fmt"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/hint"
	"inferbench/harness/load"
	"inferbench/harness/stats"
)

// profilePasses is where the numbers of profiled passes begin: they share no
// prompt with those that are measured.
const profilePasses = 1 << 20

// profile sends PROFILE more requests of a cell that passed, while the server
// records where its time goes, and notes in the result where the trace lies. None
// of these requests is in a figure: a profiler slows the server down. What goes
// wrong is a note too.
func (sw *Sweep) profile(ctx context.Context, p pass, r *batch.Result) {
	n := sw.Settings.Results.Profile
	if n == 0 || r.Status != batch.Passed || sw.probing != nil || ctx.Err() != nil {
		return
	}
	p.Cell.NumPrompts, p.Number = n, p.Number+profilePasses
	failed, err := sw.profiled(ctx, p)
	if err != nil {
		r.Notes = append(r.Notes, "no profile was taken: "+hint.Line(err))
		return
	}
	fell := ""
	if failed > 0 {
		fell = fmt.Sprintf(", of which %d failed", failed)
	}
	r.Notes = append(r.Notes, fmt.Sprintf("a profile was taken of %d requests after the measured pass%s: its trace is in "+
		"%s", n, fell, sw.Target.TraceAt()))
}

// profiled runs a pass between the profiler's start and its stop, which is asked
// for however the pass ended.
func (sw *Sweep) profiled(ctx context.Context, p pass) (failed int, err error) {
	plan := sw.plan(p)
	plan.Workload.N, plan.WarmUp, plan.Shape.Duration = p.Cell.NumPrompts, 0, 0
	plan.Enough, plan.SLO, plan.OnProgress = nil, nil, nil
	src, o, _, err := load.Open(ctx, sw.Target, plan)
	if err != nil {
		return 0, err
	}
	if err := sw.Target.StartProfile(ctx); err != nil {
		return 0, err
	}
	defer func() {
		stop := ctx
		if ctx.Err() != nil { // the server must not go on recording
			var cancel context.CancelFunc
			stop, cancel = context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
		}
		if e := sw.Target.StopProfile(stop); err == nil {
			err = e
		}
	}()
	rec, err := load.Run(ctx, sw.Target, src, o)
	if err != nil {
		return 0, err
	}
	return stats.FailuresOf(rec.Timings).Requests(), nil
}

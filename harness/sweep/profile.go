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
	rec, err := sw.profiled(ctx, p)
	if err != nil {
		r.Notes = append(r.Notes, "no profile was taken: "+hint.Line(err))
		return
	}
	fell := ""
	if failed := stats.FailuresOf(rec.Timings).Requests(); failed > 0 {
		fell = fmt.Sprintf(", of which %d failed", failed)
	}
	r.Notes = append(r.Notes, fmt.Sprintf("a profile was taken of %d requests after the measured pass%s: its trace is in "+
		"%s", len(rec.Timings), fell, sw.Target.TraceAt()))
}

// toProfile readies the load of a profiled pass. Of sessions it is a replay that begins
// anew, and ends when as many turns have ended.
func (sw *Sweep) toProfile(ctx context.Context, p pass) (runner, load.Options, error) {
	if sw.Settings.Replay.Kind != nil {
		_, run, o, err := sw.prepareReplay(ctx, p)
		o.Enough = func(ended int, _ func() []stats.Timing) bool { return ended >= p.Cell.NumPrompts }
		return run, o, err
	}
	plan := sw.plan(p)
	plan.Workload.N, plan.WarmUp, plan.Shape.Duration, plan.Enough = p.Cell.NumPrompts, 0, 0, nil
	src, o, _, err := load.Open(ctx, sw.Target, plan)
	return func(ctx context.Context, o load.Options) (*load.Recording, error) {
		return load.Run(ctx, sw.Target, src, o)
	}, o, err
}

// profiled runs a pass between the profiler's start, after its warm-up, and its stop,
// which is asked for however the pass ended.
func (sw *Sweep) profiled(ctx context.Context, p pass) (rec *load.Recording, err error) {
	run, o, err := sw.toProfile(ctx, p)
	if err != nil {
		return nil, err
	}
	started := false
	o.SLO, o.OnProgress = nil, nil
	o.Gate = func(ctx context.Context) error {
		err := sw.Target.StartProfile(ctx)
		started = err == nil
		return err
	}
	defer func() {
		if !started {
			return
		}
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
	return run(ctx, o)
}

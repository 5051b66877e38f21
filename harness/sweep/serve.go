package sweep

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"inferbench/baselines"
	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/hint"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// AccuracyFailed is the error of a benchmark that did not run because the
// cell's accuracy failed: speed without it is worth nothing.
type AccuracyFailed struct{ Reason string }

func (e *AccuracyFailed) Error() string { return "not measured: " + e.Reason }

// Serve is one pass of the cell's NUM_PROMPTS requests: warm-up, measurement,
// verdict, result file. It scores the cell's accuracy first where no test has,
// and does not measure where accuracy failed ([AccuracyFailed]).
//
// The result is there whenever the pass ran, FAILED or not. The error is an
// interrupt, a sweep that does not fit its time, or a result that cannot be
// written.
func (sw *Sweep) Serve(ctx context.Context, c matrix.Cell) (*batch.Result, error) {
	st, err := sw.enter(ctx, c)
	if err != nil {
		return nil, err
	}
	if st.accuracy == nil {
		if _, err := sw.Accuracy(ctx, c); err != nil {
			return nil, err
		}
	}
	if st.accuracy.Failed() {
		return nil, &AccuracyFailed{st.accuracy.Reason()}
	}
	begin := readClocks()
	r, rec := sw.measure(ctx, pass{c, st.passes}, st.accuracy.Baseline)
	st.passes++
	took := time.Since(begin.monotonic)
	if j := begin.jump(); j != "" {
		r.Notes = append(r.Notes, j)
	}
	st.unbooked += took
	if ctx.Err() != nil {
		r = &batch.Result{Status: batch.Incomplete, Reason: ErrInterrupted.Error(), Args: r.Args}
		sw.finish(c, st, r)
		return r, ErrInterrupted
	}
	if err := addAccuracy(r, st.accuracy); err != nil {
		return nil, err
	}
	if rec != nil {
		if err := sw.batches[c.Combination].WriteRequests(c, rec.Timings, rec.Duration); err != nil {
			r.Status, r.Reason, r.RunAgain = batch.Failed, hint.Line(err), true
		}
	}
	return r, sw.finish(c, st, r)
}

// measure runs the pass and, after the clock has stopped, looks at the decode
// path. The result has no accuracy yet; the recording is nil where the load
// could not be run at all.
func (sw *Sweep) measure(ctx context.Context, run pass, base *baselines.Accuracy) (*batch.Result, *load.Recording) {
	c, p := run.Cell, sw.plan(run)
	r := &batch.Result{Args: sw.args(c, p)}
	fail := func(err error) {
		if r.Status != batch.Failed {
			err = sw.Target.ExplainGone(ctx, err)
			r.Status, r.Reason, r.RunAgain = batch.Failed, hint.Line(err), server.HasGone(err)
		}
	}
	src, o, notes, err := load.Open(ctx, sw.Target, p)
	if err != nil {
		fail(err)
		return r, nil
	}
	r.Args.VocabSize = sw.Target.Vocab
	reset, note := sw.resetCache(ctx)
	if note != "" {
		notes = append(notes, note)
	}
	look := sw.watchServer(ctx, &o)
	rec, err := sw.load(ctx, run, src, o)
	seen := look()
	if err != nil {
		fail(err)
		return r, nil
	}
	if err := sw.keepServer(c, r, seen); err != nil {
		fail(err)
	}
	r.Notes = append(notes, rec.Notes...)
	if n := sw.inWords(); n != "" {
		r.Notes = append(r.Notes, n)
	}
	r.Args.NumPrompts = len(rec.Timings)
	if n := len(rec.Timings); n < c.Conc && o.Shape.Rate == 0 && !o.Shape.Trace {
		r.Notes = append(r.Notes, fmt.Sprintf("only %d requests were sent, so there were never CONC in flight: raise NUM_PROMPTS or DURATION", n))
	}
	sum := rec.Summary(sw.Settings.Server.TP)
	r.Performance = &sum
	sw.cacheOf(r, reset, seen)
	if n := otherRequests(seen, &sum); n != "" {
		r.Notes = append(r.Notes, n)
	}
	r.Baseline = sw.compare(c, &sum)
	if rec.Audit.ClientLimited {
		r.Mark(batch.ClientLimited)
		r.Notes = append(r.Notes, "client-limited, so these figures may be the client's: "+strings.Join(rec.Audit.Reasons, "; "))
	}
	if rec.Audit.HeldBack {
		r.Mark(batch.HeldBack)
	}
	if r.ClientAudit, err = batch.Section(rec.Audit); err != nil {
		fail(err)
	}
	switch {
	case sum.Failed > 0:
		why, do := sum.WhyFailed()
		fail(hint.New(fmt.Errorf("%d of %d requests failed: %s", sum.Failed, sum.Failed+sum.Successful, why), do))
	case sum.Successful == 0:
		fail(errors.New("no request was sent"))
	case rec.Unsent > 0 && o.Shape.Duration == 0:
		fail(fmt.Errorf("%d of %d requests were not sent", rec.Unsent, src.Len()))
	case len(rec.Contradictions) > 0:
		fail(errors.New(strings.Join(rec.Contradictions, "; ")))
	default:
		r.Status = batch.Passed
		sw.auditDecode(ctx, c, src, base, r, fail)
	}
	return r, rec
}

// auditDecode asks whether the tokens that the server writes at this CONC are
// those that it would choose when it reads them.
func (sw *Sweep) auditDecode(ctx context.Context, c matrix.Cell, src workload.Source, base *baselines.Accuracy, r *batch.Result, fail func(error)) {
	o := accuracy.Options{Workload: src, Conc: c.Conc, Retry: sw.retry(), Synthetic: sw.synthetic()}
	a, v, err := accuracy.Decoding(ctx, sw.Target, base, o)
	if err != nil {
		fail(err)
		return
	}
	if r.DecodeAudit, err = batch.Section(a.Measured); err != nil {
		fail(err)
	}
	if v.Status == accuracy.Failed {
		fail(errors.New("decode audit: " + v.Reason))
	}
}

// synthetic reports whether the server accepts speculated tokens unseen, as it
// says itself or as the user does.
func (sw *Sweep) synthetic() bool { return sw.Settings.Server.Synthetic || sw.Target.About.Synthetic() }

func (sw *Sweep) compare(c matrix.Cell, sum *stats.Summary) *baselines.Comparison {
	run := baselines.Run{ISL: c.ISL, OSL: c.OSL, Conc: c.Conc, RandomRangeRatio: sw.rangeRatio(),
		GPUs: sw.Settings.Server.TP, Unlike: sw.unlike()}
	if v := sum.TputPerGPU; v != nil {
		run.TputPerGPU = *v
	}
	if m := sum.E2EL.Median; m != nil {
		run.MedianE2E = *m
	}
	if v := sum.Interactivity; v != nil {
		run.Interactivity = *v
	}
	cmp := sw.hardware.Compare(run)
	return &cmp
}

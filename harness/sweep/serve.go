package sweep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"inferbench/baselines"
	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/hint"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/scrape"
	"inferbench/harness/server"
	"inferbench/harness/session"
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
	st, err := sw.scored(ctx, c)
	if err != nil {
		return nil, err
	}
	begin := readClocks()
	r, rec := sw.run(ctx, pass{Cell: c, Number: st.passes}, st.accuracy.Baseline)
	sw.profile(ctx, pass{Cell: c, Number: st.passes}, r)
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
	return r, sw.keep(c, st, r, rec)
}

// scored is the state of a cell whose accuracy has been scored, here if by nobody
// yet, and has not failed.
func (sw *Sweep) scored(ctx context.Context, c matrix.Cell) (*state, error) {
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
	return st, nil
}

// keep writes what a cell leaves: its result with its accuracy, and its requests.
func (sw *Sweep) keep(c matrix.Cell, st *state, r *batch.Result, rec *load.Recording) error {
	if err := addAccuracy(r, st.accuracy); err != nil {
		return err
	}
	if rec != nil {
		if err := sw.batches[c.Combination].WriteRequests(c, rec.Timings, rec.Duration); err != nil {
			r.Status, r.Reason, r.RunAgain = batch.Failed, hint.Line(err), true
		}
	}
	return sw.finish(c, st, r)
}

// run takes a pass its way: measure, audit, judge. What stops it is the result's
// reason. The result has no accuracy yet; the recording is nil where the load
// could not be run at all.
func (sw *Sweep) run(ctx context.Context, p pass, base *baselines.Accuracy) (*batch.Result, *load.Recording) {
	m, err := sw.measure(ctx, p)
	return sw.assess(ctx, p, m, err, base)
}

// assess audits and judges what was measured; err is why that failed.
func (sw *Sweep) assess(ctx context.Context, p pass, m *measured, err error, base *baselines.Accuracy) (*batch.Result,
	*load.Recording) {
	r := &batch.Result{Status: batch.Passed, Args: sw.args(p.Cell, sw.plan(p))}
	if m != nil {
		r.Args.VocabSize = sw.Target.Vocab
	}
	if err == nil {
		err = sw.describe(p.Cell, m, r)
	}
	if err == nil {
		err = m.judge(r.Performance)
	}
	if m != nil && m.rules != nil {
		sw.scenarioOf(r, m)
	}
	var missed error // a limit; the text is looked at all the same, and what is wrong with it goes first
	if err == nil {
		missed = sw.judgeLimits(p.Cell, r, m.rec)
	}
	var audit *accuracy.DecodeAudit
	if err == nil {
		audit, err = sw.auditDecode(ctx, p.Cell, m.src, base, r)
	}
	if m != nil && m.rec != nil {
		err = cmp.Or(err, sw.judgeCanaries(m, audit, r))
	}
	err = cmp.Or(err, missed)
	if err != nil {
		err = sw.Target.Explain(ctx, err)
		r.Status, r.Reason, r.RunAgain = batch.Failed, hint.Line(err), server.HasGone(err)
	}
	if m == nil {
		return r, nil
	}
	return r, m.rec
}

// measured is a pass whose load has been put on.
type measured struct {
	rules *session.Rules // by which sessions were replayed; nil where none were
	src   workload.Source
	shape load.Shape
	rec   *load.Recording // nil where the load failed as a whole
	sum   stats.Summary   // of it
	seen  *scrape.Report  // nil where the server shows no metrics
	used  consumed
	ends  *stats.Stopper // what PRECISION ends it by; nil for nothing
	reset string         // what became of the asked-for reset of the prefix cache
	notes []string

	canaries canaries
}

// measure puts the load of a pass on and looks at the server's metrics
// meanwhile. It returns nil where the load could not even be prepared.
func (sw *Sweep) measure(ctx context.Context, p pass) (*measured, error) {
	m, run, o, err := sw.prepare(ctx, p)
	if err != nil {
		return nil, err
	}
	var note string
	if m.reset, note = sw.resetCache(ctx); note != "" {
		m.notes = append(m.notes, note)
	}
	if shape := sw.Settings.Shape; shape.Precision > 0 && o.Enough == nil {
		m.ends = &stats.Stopper{Conc: p.Cell.Conc, Most: m.src.Len(), Asked: shape.Precision}
		o.Enough = m.ends.Enough
	}
	look, meter := sw.watchServer(ctx, &o), sw.watchPower(ctx, &o)
	m.rec, err = run(ctx, o)
	var unseen error
	if m.seen, unseen = look(); unseen != nil {
		m.notes = append(m.notes, "the server's metrics were not seen: "+unseen.Error())
	}
	if m.rec != nil {
		m.sum = m.rec.Summary(sw.Settings.Server.TP)
	}
	m.used = meter(&m.sum)
	return m, err
}

// prepare readies the load of a pass: run puts it on with the options.
func (sw *Sweep) prepare(ctx context.Context, p pass) (m *measured, run runner, o load.Options, err error) {
	if sw.Settings.Replay.Kind != nil {
		return sw.prepareReplay(ctx, p)
	}
	src, o, notes, err := load.Open(ctx, sw.Target, sw.plan(p))
	if err != nil {
		return nil, nil, o, err
	}
	m = &measured{src: src, shape: o.Shape, notes: notes}
	if m.canaries, err = sw.release(ctx, &p, src); err != nil {
		return nil, nil, o, err
	}
	timed, err := sw.withCanaries(ctx, p, src)
	if err != nil {
		return nil, nil, o, err
	}
	run = func(ctx context.Context, o load.Options) (*load.Recording, error) { return sw.load(ctx, p, timed, o) }
	return m, run, o, nil
}

// runner puts a load on.
type runner func(context.Context, load.Options) (*load.Recording, error)

// describe fills a result with what was measured, and with what client and
// server say of it: figures, the comparison with the baseline, marks, notes.
func (sw *Sweep) describe(c matrix.Cell, m *measured, r *batch.Result) (err error) {
	precise := m.steady(r)
	rec, sum := m.rec, m.sum // of which power and the server's metrics are
	if r.Precision != nil {
		sum = rec.Summary(sw.Settings.Server.TP)
		sum.Steady = m.sum.Steady // with the head and the tail that the run had
	}
	r.Performance = &sum
	r.Baseline = sw.compare(c, &sum)
	r.Args.NumPrompts = len(rec.Timings)
	note := func(line string) {
		if line != "" {
			r.Notes = append(r.Notes, line)
		}
	}
	r.Notes = append(m.notes, rec.Notes...)
	note(precise)
	note(sw.inWords())
	if n := len(rec.Timings); m.rules == nil && n < c.Conc && m.shape.Rate == 0 && !m.shape.Trace {
		note(fmt.Sprintf("only %d requests were sent, so there were never CONC in flight: raise NUM_PROMPTS or DURATION", n))
	}
	if m.shape.Open() && !m.shape.Uncapped {
		note(waitedForOthers(rec.Timings, c.Conc))
	}
	sw.cacheOf(r, m)
	sw.speculationOf(r, m.seen)
	r.Notes = append(r.Notes, besideServer(m.seen, &m.sum, &rec.Audit)...)
	note(otherRequests(m.seen, &m.sum))
	if rec.Audit.ClientLimited {
		r.Mark(batch.ClientLimited)
		note("client-limited, so these figures may be the client's: " + strings.Join(rec.Audit.Reasons, "; ") +
			". Give the client more CPU or a machine of its own, and measure again.")
	}
	if rec.Audit.HeldBack {
		r.Mark(batch.HeldBack)
	}
	r.ClientAudit, err = batch.Section(rec.Audit)
	if err == nil {
		r.Slowest, err = batch.Section(m.explain())
	}
	return errors.Join(err, sw.keepServer(c, r, m.seen), sw.keepPower(c, r, m.used))
}

// waitedForOthers says how many requests of an open loop waited for others to end, since no
// more than CONC may be in flight; "" where those are less than one in a hundred.
func waitedForOthers(ts []stats.Timing, conc int) string {
	var waits []time.Duration
	for _, t := range ts {
		if t.Waited > stats.MaxLateness {
			waits = append(waits, t.Waited)
		}
	}
	if 100*len(waits) <= len(ts) {
		return ""
	}
	slices.Sort(waits)
	return fmt.Sprintf("%d of %d requests were sent later than they should have been, %s at the median: CONC=%d were in "+
		"flight. Their latencies count from when they were due; raise CONC, or set CONC_CAP=false", len(waits), len(ts),
		waits[len(waits)/2].Round(time.Millisecond), conc)
}

// judge is an error where the pass did not do what the cell is named for.
func (m *measured) judge(sum *stats.Summary) error {
	if m.rules != nil {
		return m.judgeReplay(sum)
	}
	switch {
	case sum.Failed > 0:
		why, do := sum.WhyFailed()
		return hint.New(fmt.Errorf("%d of %d requests failed: %s", sum.Failed, sum.Failed+sum.Successful, why), do)
	case sum.Successful == 0:
		return errors.New("no request was sent")
	case m.rec.Unsent > 0 && m.shape.Duration == 0:
		return fmt.Errorf("%d of %d requests were not sent", m.rec.Unsent, m.src.Len())
	}
	return m.contradictions()
}

func (m *measured) contradictions() error {
	if len(m.rec.Contradictions) > 0 {
		return errors.New(strings.Join(m.rec.Contradictions, "; "))
	}
	return nil
}

// auditDecode asks whether the tokens that the server writes at this CONC are
// those that it would choose when it reads them; the error says that they are not.
func (sw *Sweep) auditDecode(ctx context.Context, c matrix.Cell, src workload.Source, base *baselines.Accuracy,
	r *batch.Result) (*accuracy.DecodeAudit, error) {
	o := accuracy.Options{Workload: src, Conc: c.Conc, Retry: sw.retry(), Synthetic: sw.synthetic()}
	a, v, err := accuracy.Decoding(ctx, sw.Target, base, o)
	if err != nil {
		return nil, err
	}
	audit := a.Measured.(*accuracy.DecodeAudit)
	if r.DecodeAudit, err = batch.Section(audit); err != nil {
		return nil, err
	}
	if v.Status == accuracy.Failed {
		return audit, errors.New("decode audit: " + v.Reason)
	}
	return audit, nil
}

// synthetic reports whether the server accepts speculated tokens unseen, as it
// says itself or as the user does.
func (sw *Sweep) synthetic() bool { return sw.Settings.Server.Synthetic || sw.Target.About.Synthetic() }

// models are the names of the server's model; none of the embedded engine, which
// compares with no hardware anyway.
func (sw *Sweep) models() []string {
	if sw.Target.Loopback {
		return nil
	}
	return []string{sw.Target.Model, sw.Target.About.ModelPath}
}

func (sw *Sweep) compare(c matrix.Cell, sum *stats.Summary) *baselines.Comparison {
	run := baselines.Run{ISL: c.ISL, OSL: c.OSL, Conc: c.Conc, RandomRangeRatio: sw.rangeRatio(),
		GPUs: sw.Settings.Server.TP, Unlike: sw.unlike(c), Models: sw.models()}
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

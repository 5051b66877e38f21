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
	"inferbench/harness/corpus"
	"inferbench/harness/hint"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
	"inferbench/harness/settings"
)

// Accuracy is how a cell's accuracy run ended.
type Accuracy struct {
	Result   *accuracy.Result    // nil where there are no figures
	Baseline *baselines.Accuracy // nil where none applies
	Verdict  accuracy.Verdict    // then NOT_RUN
	Err      error               // why there are no figures
	ScoredAt int                 // the CONC that was in flight: the cell's own, or another that it stands on
	Took     time.Duration       // 0 where an earlier score is stood on
}

// Failed reports whether the cell's benchmark must not run.
func (a *Accuracy) Failed() bool { return a.Err != nil || a.Verdict.Status == accuracy.Failed }

// Reason is the verdict in words, on one line.
func (a *Accuracy) Reason() string {
	if a.Err != nil {
		return hint.Line(a.Err)
	}
	return "accuracy " + string(a.Verdict.Status) + ": " + a.Verdict.Reason
}

// scoredAt is the CONC whose score a cell stands on.
func (sw *Sweep) scoredAt(c matrix.Cell) int {
	var all []int
	for _, cell := range sw.Cells {
		if cell.Combination == c.Combination {
			all = append(all, cell.Conc)
		}
	}
	return sw.Settings.Accuracy.At.For(c.Conc, all)
}

// stand is the score that the cell stands on: its own is taken anew at each
// call, another's once.
func (sw *Sweep) stand(ctx context.Context, c matrix.Cell, st *state) *Accuracy {
	at := matrix.Cell{Combination: c.Combination, Conc: sw.scoredAt(c)}
	own := at.Conc == c.Conc
	if earlier := sw.scores[at]; earlier != nil && !(own && st.accuracy != nil) {
		again := *earlier
		again.Took = 0
		return &again
	}
	begin := time.Now()
	a := sw.score(ctx, c, at.Conc)
	a.ScoredAt, a.Verdict.ScoredAt = at.Conc, at.Conc
	a.Took = time.Since(begin)
	if a.Err == nil { // the next cell may meet a server that answers again
		sw.scores[at] = a
	}
	return a
}

// Figures lists what was measured; nothing where there is none.
func (a *Accuracy) Figures() []accuracy.Figure {
	if a.Result == nil {
		return nil
	}
	return a.Result.Figures()
}

// String is the figures and the verdict, on one line.
func (a *Accuracy) String() string {
	words := []string{}
	for _, f := range a.Figures() {
		words = append(words, fmt.Sprintf("%s "+f.Format, f.Name, f.Value))
	}
	return strings.Join(append(words, a.Reason()), ", ")
}

// Accuracy scores the cell's model at the cell's CONC, or finds the score that
// it stands on (ACC_AT), and judges it. It runs anew at each call; [Sweep.Serve]
// runs it where no test has. Where the cell's speed is not going to be measured,
// because accuracy failed or was all that was asked for, the cell ends here.
//
// The error is an interrupt, a sweep that does not fit its time, or a result
// that cannot be written; a failed accuracy is not an error but a verdict.
func (sw *Sweep) Accuracy(ctx context.Context, c matrix.Cell) (*Accuracy, error) {
	st, err := sw.enter(ctx, c)
	if err != nil {
		return nil, err
	}
	a := sw.stand(ctx, c, st)
	st.unbooked += a.Took
	if ctx.Err() != nil {
		sw.endUnmeasured(c, st, &Accuracy{}, batch.Incomplete, ErrInterrupted.Error())
		return nil, ErrInterrupted
	}
	st.accuracy = a
	switch {
	case a.Failed():
		err = sw.endUnmeasured(c, st, a, batch.Failed, a.Reason())
	case !sw.measures(c) && a.Result == nil: // accuracy was all that was asked for
		err = sw.endUnmeasured(c, st, a, batch.Failed, a.Reason())
	case !sw.measures(c):
		err = sw.endUnmeasured(c, st, a, batch.Passed, "")
	}
	return a, err
}

// retry bounds what one scoring request may take, all its tries together, by
// REQUEST_TIMEOUT.
func (sw *Sweep) retry() server.Retry {
	return server.Retry{Each: sw.Settings.Server.RequestTimeout, Within: sw.Settings.Server.RequestTimeout}
}

// score scores at conc, for a cell. It never returns nil.
func (sw *Sweep) score(ctx context.Context, c matrix.Cell, conc int) *Accuracy {
	s := sw.Settings.Accuracy
	o, err := AccuracyOptions(sw.Settings)
	if err != nil {
		return &Accuracy{Err: err}
	}
	o.Conc, o.Retry, o.Synthetic = conc, sw.retry(), sw.synthetic()
	o.OnProgress = func(done, total int) { sw.Watch.Accuracy(c, done, total) }
	o.OnFetch = func(f corpus.File, got, total int64) { sw.Watch.Fetching(c, f.Base, got, total) }
	r, err := accuracy.Score(ctx, sw.Target, o)
	var unmeasured *accuracy.Unmeasured
	switch {
	case errors.As(err, &unmeasured):
		return &Accuracy{Verdict: accuracy.Verdict{Status: accuracy.NotRun, Reason: unmeasured.Reason}}
	case err != nil:
		return &Accuracy{Err: sw.Target.Explain(ctx, err)}
	}
	base, err := accuracy.Baseline(s.Baseline, sw.Target.Model, r)
	if err != nil {
		return &Accuracy{Result: r, Err: err}
	}
	return &Accuracy{Result: r, Baseline: base, Verdict: accuracy.Judge(r, base, s.Tolerance)}
}

// AccuracyOptions are the options of an accuracy run that the settings ask for.
func AccuracyOptions(set settings.Settings) (accuracy.Options, error) {
	s := set.Accuracy
	o := accuracy.Options{Task: s.Task, Files: s.Files, MaxLength: s.MaxLength, Tokenizer: s.Tokenizer, Prefix: s.Prefix,
		Shots: s.Shots, Lengths: s.Lengths, GenTokens: s.GenTokens, Cache: Cache(s.Fetch)}
	if s.Baseline != "" {
		var err error
		if o.Baseline, err = baselines.LoadAccuracy(s.Baseline); err != nil {
			return o, fmt.Errorf("ACC_BASELINE: %w", err)
		}
	}
	return o, nil
}

// Cache is the cache of public data files that the settings ask for.
func Cache(f settings.Fetch) corpus.Cache {
	return corpus.Cache{Dir: f.CacheDir, Mirror: f.Mirror, HFEndpoint: f.HFEndpoint, Offline: f.Offline}
}

// endUnmeasured ends a cell whose speed is not measured.
func (sw *Sweep) endUnmeasured(c matrix.Cell, st *state, a *Accuracy, status batch.Status, reason string) error {
	r := &batch.Result{Status: status, Reason: reason, RunAgain: server.HasGone(a.Err), Args: sw.args(c,
		sw.plan(pass{Cell: c}))}
	if err := addAccuracy(r, a); err != nil {
		return err
	}
	return sw.finish(c, st, r)
}

// addAccuracy fills a result's two accuracy sections.
func addAccuracy(r *batch.Result, a *Accuracy) error {
	v := a.Verdict
	switch {
	case a.Err != nil:
		v = accuracy.Verdict{Status: accuracy.Failed, Reason: hint.Line(a.Err), ScoredAt: a.ScoredAt}
	case v.Status == "":
		v.Status = accuracy.NotRun
	}
	if v.Status == accuracy.NotRun {
		r.Mark(batch.AccuracyNotRun)
	}
	var err1, err2 error
	if a.Result != nil {
		r.Args.ACCTask = a.Result.Task
		r.Accuracy, err1 = batch.Section(a.Result)
	}
	r.Validation, err2 = batch.Section(v)
	return errors.Join(err1, err2)
}

package suite

import (
	"context"
	"time"

	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/estimate"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/sweep"
)

// session is the sweep of this process, what was selected of it, and what ends
// it: a context, and the time that there is.
type session struct {
	ctx    context.Context
	sweep  *sweep.Sweep
	plan   plan
	budget *estimate.Budget
	count  int          // passes over each cell; 0 is 1
	report []*junitCase // of the cells so far
	board  *submissions // nil where nothing is submitted
}

// current is what the tests run, which package testing hands nothing to. It is
// nil where the command line selects none of the suite's cells.
var current *session

// score scores a cell, where the time will do.
func (s *session) score(c matrix.Cell) (*sweep.Accuracy, error) {
	if err := s.budget.Fits(); err != nil {
		return nil, err
	}
	a, err := s.sweep.Accuracy(s.ctx, c)
	if a != nil && a.Took > 0 {
		s.budget.AccuracyTook(a.Took)
	}
	return a, err
}

// measure is one pass of a cell, which is scored first where it was not yet.
func (s *session) measure(c matrix.Cell) (*batch.Result, error) {
	if s.sweep.Scored(c) == nil {
		if _, err := s.score(c); err != nil {
			return nil, err
		}
	}
	if err := s.budget.Fits(); err != nil {
		return nil, err
	}
	begin := time.Now()
	r, err := s.sweep.Serve(s.ctx, c)
	s.budget.PassTook(c, time.Since(begin))
	if err == nil && r.Status == batch.Passed {
		s.board.passed(s.sweep, c, s.count)
	}
	return r, err
}

// budget is what the selected cells will take, where there is a limit to keep.
func budget(ctx context.Context, t *server.Server, set settings.Settings, sel selection, line commandLine,
	begin time.Time) *estimate.Budget {
	b := &estimate.Budget{Limit: line.limit, Begin: begin, Passes: map[matrix.Cell]int{}}
	count := max(line.count, 1)
	scores := map[matrix.Cell]int{}
	for _, c := range sel.cells {
		at := matrix.Cell{Combination: c.Combination}
		at.Conc = set.Accuracy.At.For(c.Conc, sel.conc(c.Combination))
		scores[at] = max(scores[at], 1) // once, before the first pass
		if at.Conc == c.Conc && sel.plan.accuracy(c.Name()) {
			scores[at] = count
		}
		if sel.measures(c) {
			b.Passes[c] = count
		}
	}
	for _, n := range scores {
		b.Accuracies += n
	}
	if b.Limit > 0 {
		b.Expected = estimate.Passes(ctx, t, set, sel.measured())
		if o, err := sweep.AccuracyOptions(set); err == nil && b.Accuracies > 0 {
			b.Accuracy = estimate.Accuracy(ctx, t, set, accuracy.DataSize(o, t.Loopback))
		}
	}
	return b
}

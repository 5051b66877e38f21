package estimate

import (
	"fmt"
	"time"

	"inferbench/harness/matrix"
)

// Budget compares what a sweep will take with what it has. `go test` kills a
// test binary when its -timeout has passed (10 minutes unless told otherwise),
// and every figure of the running cell is lost: so a sweep that will not fit is
// refused before it starts, and stopped when the first cells show that the
// estimate was too hopeful.
type Budget struct {
	Limit time.Duration // counted from Begin; zero: no limit
	Begin time.Time

	Expected   map[matrix.Cell]time.Duration // of one pass: see [Passes]
	Passes     map[matrix.Cell]int           // still to come
	Accuracies int                           // accuracy runs still to come
	Accuracy   time.Duration                 // of one: see [Accuracy]; then what the last one took

	slower float64 // measured / expected, of the last pass; 0 before the first
}

// Fits is nil, or why the rest of the sweep will not end in time.
func (b *Budget) Fits() error {
	if b.Limit == 0 {
		return nil
	}
	slower := b.slower
	if slower == 0 {
		slower = 1
	}
	var rest time.Duration
	for c, d := range b.Expected {
		rest += time.Duration(float64(d) * slower * float64(b.Passes[c]))
	}
	rest += time.Duration(b.Accuracies) * b.Accuracy
	elapsed := time.Since(b.Begin)
	if elapsed+rest <= b.Limit {
		return nil
	}
	return fmt.Errorf("this sweep needs about %s more, but go test would kill it in %s: add -timeout 0 (the make "+
		"targets do)",
		rest.Round(time.Second), (b.Limit - elapsed).Round(time.Second))
}

// AccuracyTook takes note of an accuracy run.
func (b *Budget) AccuracyTook(d time.Duration) {
	b.Accuracy = d
	b.Accuracies = max(b.Accuracies-1, 0)
}

// PassTook takes note of a pass.
func (b *Budget) PassTook(c matrix.Cell, d time.Duration) {
	if e := b.Expected[c]; e > 0 {
		b.slower = float64(d) / float64(e)
	}
	if b.Passes[c] > 0 {
		b.Passes[c]--
	}
}

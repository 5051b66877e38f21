package inferbench

import (
	"fmt"
	"testing"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/sweep"
)

// TestAccuracy scores the model at every cell's CONC and judges it against its
// baseline.
func TestAccuracy(t *testing.T) {
	eachCell(t, t.Run, func(t *testing.T, c matrix.Cell) {
		a, err := run.Accuracy(runCtx, c)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range a.Figures() {
			t.Attr(m.Unit, fmt.Sprint(m.Value))
		}
		t.Attr("accuracy_validation", string(a.Verdict.Status))
		if a.Failed() {
			t.Fatal(a.Reason())
		}
		t.Log(a)
	})
}

// eachCell makes a sub-test or sub-benchmark of every cell of the sweep.
func eachCell[T testing.TB](t T, sub func(string, func(T)) bool, do func(T, matrix.Cell)) {
	if run == nil {
		t.Skip("nothing of the suite is selected")
	}
	for _, c := range run.Cells() {
		sub(c.Name(), func(t T) { do(t, c) })
	}
}

// skipUnmeasured skips a performance cell where only accuracy was asked for.
func skipUnmeasured(t testing.TB) {
	if run != nil && !run.Measures() {
		t.Skip("mode acc measures no speed")
	}
}

// verdict ends a cell's performance test or benchmark as its pass ended. Where
// accuracy failed, the test of it says so, unless it was not asked for.
func verdict(t testing.TB, c matrix.Cell, r *batch.Result, err error) {
	if skipped, ok := err.(*sweep.AccuracyFailed); ok && run.Plan.Accuracy(c.Name()) {
		t.Skip(skipped)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r.Status != batch.Passed {
		t.Fatal(r.Reason)
	}
}

package suite

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
	"inferbench/harness/hint"
	"inferbench/harness/matrix"
	"inferbench/harness/settings"
	"inferbench/harness/sweep"
)

// Test is what [Accuracy] and [Serving] need of a test: *testing.T is one, and
// so are the tests of [Runner]. Skip and Fatal end the test and do not return.
type Test[T any] interface {
	Run(name string, f func(T)) bool
	Attr(key, value string)
	Log(args ...any)
	Skip(args ...any)
	Fatal(args ...any)
}

// Benchmark is what [Bench] needs of a benchmark: *testing.B is one.
type Benchmark[B any] interface {
	Test[B]
	Loop() bool
	ReportMetric(n float64, unit string)
}

// Accuracy scores the model at every cell's CONC and judges it against its
// baseline: a sub-test a cell.
func Accuracy[T Test[T]](t T) {
	eachCell(&recorded[T]{Test: t, name: "TestAccuracy"}, func(t *recorded[T], c matrix.Cell) {
		a, err := current.score(c)
		if err != nil {
			t.Fatal(hint.Line(err))
		}
		for _, f := range a.Figures() {
			t.Attr(f.Name, fmt.Sprint(f.Value))
		}
		t.Attr("accuracy_validation", string(a.Verdict.Status))
		t.Attr("accuracy_scored_at", fmt.Sprint(a.ScoredAt))
		if a.Result == nil {
			t.Attr("accuracy_reason", a.Reason())
		}
		switch {
		case a.Failed():
			t.Fatal(a.Reason())
		case a.Result == nil:
			t.Skip(a.Reason())
		}
		t.Log(a)
	})
}

// Bench measures the speed of every cell: a sub-benchmark a cell, an iteration a
// pass. It reports the mean of the passes' figures and stops at the first pass
// that does not pass.
func Bench[B Benchmark[B]](b B) {
	if current != nil && current.sweep.Mode == settings.ModeAcc {
		b.Skip("mode acc measures no speed")
	}
	eachCell(b, func(b B, c matrix.Cell) {
		var r *batch.Result
		var err error
		var passes []*batch.Result
		var seconds, limited float64
		for b.Loop() {
			if r, err = current.measure(c); err != nil || r.Performance == nil {
				break
			}
			passes, seconds = append(passes, r), seconds+r.Performance.Duration
			if r.ClientLimited {
				limited++
			}
			if r.Status != batch.Passed {
				break
			}
		}
		if n := float64(len(passes)); n > 0 {
			figures.Bench(b, passes)
			if limited > 0 {
				b.ReportMetric(limited/n, clientLimited)
			}
			b.ReportMetric(seconds/n*1e9, nsPerOp) // the measured run alone, without warm-up and accuracy
		}
		verdict(b, c, r, err)
	})
}

const (
	// clientLimited is the part of the passes whose figures may be the client's: the
	// unit is there only where there are some, for who reads benchmark lines alone.
	clientLimited = "client-limited"
	nsPerOp       = "ns/op"
)

// Serving is [Bench] as tests: the figures are attributes of the sub-tests, and
// of a cell that passed the benchmark's line goes to standard output.
func Serving[T Test[T]](t T) {
	Bench(&benchTest[*recorded[T]]{Test: &recorded[T]{Test: t, name: "TestServing"}})
}

// benchTest makes a benchmark of a test: one pass.
type benchTest[T Test[T]] struct {
	Test[T]
	passes int
	extra  map[string]float64
	failed bool
}

// Run runs f as a sub-test.
func (b *benchTest[T]) Run(name string, f func(*benchTest[T])) bool {
	return b.Test.Run(name, func(t T) {
		sub := &benchTest[T]{Test: t, extra: map[string]float64{}}
		defer sub.print(name) // also where f ends the test
		f(sub)
	})
}

// Loop is true once.
func (b *benchTest[T]) Loop() bool {
	b.passes++
	return b.passes == 1
}

// ReportMetric keeps a figure for the line and makes an attribute of it.
func (b *benchTest[T]) ReportMetric(n float64, unit string) { b.extra[unit] = n }

// Fatal ends the test, and takes the line away.
func (b *benchTest[T]) Fatal(args ...any) {
	b.failed = true
	b.Test.Fatal(args...)
}

func (b *benchTest[T]) print(cell string) {
	if len(b.extra) == 0 {
		return
	}
	limited, ns := b.extra[clientLimited] > 0, b.extra[nsPerOp]
	for _, unit := range slices.Sorted(maps.Keys(b.extra)) {
		if unit != clientLimited && unit != nsPerOp {
			b.Attr(unit, fmt.Sprint(b.extra[unit]))
		}
	}
	b.Attr("client_limited", fmt.Sprint(limited))
	if !b.failed {
		delete(b.extra, nsPerOp)
		line := testing.BenchmarkResult{N: 1, T: time.Duration(ns), Extra: b.extra}
		fmt.Fprintf(os.Stdout, "BenchmarkServing/%s%s\t%s\n", cell, procs(), line)
	}
}

// procs is what package testing ends a benchmark's name with, so that benchstat
// takes both doors' lines for one benchmark.
func procs() string {
	if n := runtime.GOMAXPROCS(0); n > 1 {
		return fmt.Sprintf("-%d", n)
	}
	return ""
}

// eachCell makes a sub-test or sub-benchmark of every cell of the sweep.
func eachCell[T Test[T]](t T, do func(T, matrix.Cell)) {
	if current == nil {
		t.Skip("nothing of the suite is selected")
	}
	for _, c := range current.sweep.Cells {
		t.Run(c.Name(), func(t T) { do(t, c) })
	}
}

// verdict ends a cell's performance test or benchmark as its pass ended. Where
// accuracy failed, the test of it says so, unless it was not asked for.
func verdict[T Test[T]](t T, c matrix.Cell, r *batch.Result, err error) {
	if skipped, ok := err.(*sweep.AccuracyFailed); ok && current.plan.accuracy(c.Name()) {
		t.Skip(skipped)
	}
	if err != nil {
		t.Fatal(hint.Line(err))
	}
	if r.Status != batch.Passed {
		t.Fatal(r.Reason)
	}
}

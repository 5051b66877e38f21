package inferbench

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/sweep"
)

// BenchmarkServing measures the speed of every cell, for `go test -bench` and
// benchstat. One iteration is one pass of the cell's NUM_PROMPTS requests.
func BenchmarkServing(b *testing.B) {
	skipUnmeasured(b)
	eachCell(b, b.Run, func(b *testing.B, c matrix.Cell) {
		r, err := serve(b, c)
		verdict(b, c, r, err)
	})
}

// TestServing is BenchmarkServing as tests, for gotestsum and JUnit: gotestsum
// takes a benchmark that passes for one that failed. It prints the same
// benchmark lines, and like a benchmark none of a cell that failed.
func TestServing(t *testing.T) {
	skipUnmeasured(t)
	eachCell(t, t.Run, func(t *testing.T, c matrix.Cell) {
		var r *batch.Result
		var err error
		res := testing.Benchmark(func(b *testing.B) { r, err = serve(b, c) })
		if r != nil && r.Performance != nil {
			if r.Status == batch.Passed {
				fmt.Fprintf(os.Stdout, "BenchmarkServing/%s%s\t%s\n", c.Name(), procs(), res)
			}
			for _, m := range sweep.Metrics(r.Performance) {
				t.Attr(m.Unit, fmt.Sprint(m.Value))
			}
			t.Attr("client_limited", fmt.Sprint(res.Extra[clientLimited] > 0))
		}
		verdict(t, c, r, err)
	})
}

// procs is what package testing ends a benchmark's name with, so that benchstat
// takes both doors' lines for one benchmark.
func procs() string {
	if n := runtime.GOMAXPROCS(0); n > 1 {
		return fmt.Sprintf("-%d", n)
	}
	return ""
}

// clientLimited is the part of the passes whose figures may be the client's: the
// unit is there only where there are some, for who reads benchmark lines alone.
const clientLimited = "client-limited"

// serve runs the passes of one cell and reports the mean of their figures. It
// returns the last pass, or the first that did not pass.
func serve(b *testing.B, c matrix.Cell) (r *batch.Result, err error) {
	sums, seconds, n := map[string]float64{}, 0.0, 0
	for range b.N {
		if r, err = run.Serve(runCtx, c); err != nil || r.Performance == nil {
			return r, err
		}
		for _, m := range sweep.Metrics(r.Performance) {
			sums[m.Unit] += m.Value
		}
		if r.ClientLimited {
			sums[clientLimited]++
		}
		seconds += r.Performance.Duration
		if n++; r.Status != batch.Passed {
			break
		}
	}
	for unit, sum := range sums {
		b.ReportMetric(sum/float64(n), unit)
	}
	b.ReportMetric(seconds/float64(n)*1e9, "ns/op") // the measured run alone, without warm-up and accuracy
	return r, err
}

// Package figures is the one table of what a run is measured by.
//
// A figure is a row of [Table]: its key in the result file, its name for
// people, how it is taken from a result and how it is printed. Benchmark lines,
// JUnit properties, the table on the terminal, `make compare`, CSV, the
// Prometheus exporter, report.html and summary.md range over the table, so a
// new figure is one row here. A figure that was not measured is nil: never zero,
// and left out where an output can leave it out.
package figures

import (
	"math"
	"strconv"

	"inferbench/baselines"
	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

// Figure is one row of the table.
type Figure struct {
	Key   string // in the result file; "section.key" for a figure of a section
	Name  string // for people, the same in every output: TTFT, tok/s/GPU
	Stat  string // which statistic of Name: p50, p99; empty where it has only one
	Unit  string // for people; empty where the name is a unit
	Bench string // its unit on a benchmark line, which benchstat tells figures by, and its name in JUnit; or empty
	Means string // what it is, in a few words

	Better Better // empty: neither is; such a figure is not compared and not on benchmark lines

	Of      func(*batch.Result) *float64         // takes it from a result; nil: not measured
	Format  func(float64) string                 // prints it without its unit; nil: [Digits]
	Versus  func(*baselines.Comparison) *float64 // ours / the hardware baseline's; nil: no baseline states it
	Sample  *Sample                              // takes it from some of the requests; nil: that cannot be done
	Outputs Outputs                              // where it is shown, of those outputs that have not room for all
}

// Better says in which direction a figure improves.
type Better string

// The directions, in benchstat's words.
const (
	Higher Better = "higher"
	Lower  Better = "lower"
)

// Outputs are the outputs that show a choice of figures. CSV and the exporter
// show all that were measured, benchmark lines and JUnit those with a unit there.
type Outputs uint8

const (
	Terminal Outputs = 1 << iota // the table at the end of a sweep
	Wide                         // likewise, where the terminal has room
	Compare                      // make compare, which tests each: more figures make each test weaker
	Report                       // report.html and summary.md
	Agents                       // the table at the end of a sweep of sessions, where those of Terminal are for wide ones
)

// In reports whether the figure is shown in one of the outputs.
func (f Figure) In(o Outputs) bool { return f.Outputs&o != 0 }

// Ratio is the figure of a result over the hardware baseline's; nil where
// either has none.
func (f Figure) Ratio(r *batch.Result) *float64 {
	if f.Versus == nil || r == nil || r.Baseline == nil {
		return nil
	}
	return f.Versus(r.Baseline)
}

// Label is the figure's name with its statistic: TTFT p50.
func (f Figure) Label() string {
	if f.Stat == "" {
		return f.Name
	}
	return f.Name + " " + f.Stat
}

// LabelUnit is the label with the unit: TTFT p50 (ms).
func (f Figure) LabelUnit() string {
	if f.Unit == "" {
		return f.Label()
	}
	return f.Label() + " (" + f.Unit + ")"
}

// Print writes a value for people, without its unit; a dash for one that was
// not measured.
func (f Figure) Print(v *float64) string {
	switch {
	case v == nil:
		return "-"
	case f.Format != nil:
		return f.Format(*v)
	}
	return Digits(*v)
}

// Value is a figure with what it is in one result.
type Value struct {
	Figure
	Value float64
}

// Measured lists the figures of a result that were measured, in the table's
// order.
func Measured(r *batch.Result) []Value {
	var out []Value
	for _, f := range Table {
		if v := f.Of(r); v != nil {
			out = append(out, Value{f, *v})
		}
	}
	return out
}

// ByKey finds a figure by its key in the result file. It panics where there is
// none: keys are written in code.
func ByKey(key string) Figure {
	for _, f := range Table {
		if f.Key == key {
			return f
		}
	}
	panic("figures: no figure has the key " + strconv.Quote(key))
}

// Shown lists the figures that an output shows and that at least one of the
// results has: a column that would be empty is left out.
func Shown(o Outputs, results []*batch.Result) []Figure {
	var out []Figure
	for _, f := range Table {
		if !f.In(o) {
			continue
		}
		for _, r := range results {
			if r != nil && f.Of(r) != nil {
				out = append(out, f)
				break
			}
		}
	}
	return out
}

// OnTerminal is which figures a table at the end of a sweep has: those of sessions,
// where results are of some.
func OnTerminal(results []*batch.Result) Outputs {
	for _, r := range results {
		if r != nil && r.Performance != nil && r.Performance.Sessions != nil {
			return Agents
		}
	}
	return Terminal
}

// Bench reports on a benchmark, or on a test that stands for one, the means of
// several passes' figures under their benchmark units. A pass that has not a
// figure does not count in its mean.
func Bench(b interface{ ReportMetric(v float64, unit string) }, passes []*batch.Result) {
	for _, f := range Table {
		sum, n := 0.0, 0
		for _, r := range passes {
			if v := f.Of(r); v != nil {
				sum += *v
				n++
			}
		}
		if f.Bench != "" && n > 0 {
			b.ReportMetric(sum/float64(n), f.Bench)
		}
	}
}

// Units are the metadata lines that tell benchstat which way is better.
func Units() string {
	out := ""
	for _, f := range Table {
		if f.Bench != "" {
			out += "Unit " + f.Bench + " better=" + string(f.Better) + "\n"
		}
	}
	return out
}

// Sample says how a figure is taken from any sample of a cell's requests, so
// that a comparison can tell how much of a difference is chance.
type Sample struct {
	Of       func(stats.Timing) float64 // of one request; 0 where it has none
	Per      func(stats.Timing) float64 // the figure is ΣOf / ΣPer; nil: a quantile of Of, of those above 0
	Quantile float64                    // 0 to 1, by linear interpolation
	Inverse  bool                       // the figure is 1 over that
}

// Digits prints a number with four significant digits and all before the point;
// below 1 with four places, so that figures of one column line up.
func Digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 1:
		return strconv.FormatFloat(v, 'f', max(0, 3-int(math.Log10(a))), 64)
	case a >= 0.001:
		return strconv.FormatFloat(v, 'f', 4, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

// Percent prints a share from 0 to 1.
func Percent(v float64) string { return Digits(v*100) + " %" }

// Times prints a ratio to a baseline; a dash for none.
func Times(v *float64) string {
	if v == nil {
		return "-"
	}
	return strconv.FormatFloat(*v, 'f', 2, 64) + "x"
}

package suite

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/settings"
	"inferbench/harness/sweep"
)

// writeTables writes, for every batch of the sweep, a table that a person can
// read, under a line that says whose figures these are.
func writeTables(w io.Writer, sw *sweep.Sweep) {
	for _, b := range sw.Batches() {
		writeTable(w, sw, b)
	}
}

func writeTable(w io.Writer, sw *sweep.Sweep, b *batch.Batch) {
	t, s, combo := sw.Target, sw.Settings, b.Cells()[0].Combination
	fmt.Fprintf(w, "\nISL %d, OSL %d, mode %s: %s on %s %s\n", combo.ISL, combo.OSL, sw.Mode, t.Model, t.Dialect.Name, t.Version)
	if t.Loopback {
		fmt.Fprintf(w, "These are the embedded engine's figures (profile %s). They prove the suite, not any hardware.\n", s.Engine.Profile)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	name := strings.ToUpper(sw.Hardware().KeyPrefix)
	fmt.Fprintf(tw, "CONC\taccuracy\ttok/s/GPU\tvs %s\tTTFT p50\tTPOT p50\tE2E p50\tvs %s\tresult\t\n", name, name)
	notes := &notes{}
	for _, c := range sw.Cells {
		if c.Combination == combo {
			writeRow(tw, c.Conc, sw.Scored(c), sw.Result(c), notes)
		}
	}
	tw.Flush()
	notes.write(w)
	if !combo.IsStandard() {
		fmt.Fprintf(w, "ISL %d, OSL %d is a pair of your own: it has no baseline and no public leaderboard.\n", combo.ISL, combo.OSL)
	}
	fmt.Fprintf(w, "Batch: %s/%s\n", b.Dir, standing(s, b))
}

// standing says of a resumed batch how many of all its cells have passed; "" of
// another, whose table has them all.
func standing(s settings.Settings, b *batch.Batch) string {
	if s.Resume == "" {
		return ""
	}
	return fmt.Sprintf(": %d of its %d cells have passed", b.Count(batch.Passed), len(b.Cells()))
}

func writeRow(w io.Writer, conc int, a *sweep.Accuracy, r *batch.Result, notes *notes) {
	if r == nil {
		r = &batch.Result{Status: batch.Incomplete}
	}
	cols := []string{fmt.Sprint(conc), accuracyWord(a)}
	if p := r.Performance; p != nil {
		cols = append(cols, fmt.Sprintf("%.1f", p.TputPerGPU), ratio(r.Baseline.TputRatio),
			millis(p.TTFT.Median), millis(p.TPOT.Median), millis(p.E2EL.Median), ratio(r.Baseline.E2ERatio))
		if d := r.Baseline.Differences; len(d) > 0 {
			notes.add("The workload is not the "+r.Baseline.Hardware+" baseline's, so the ratios compare unequal work: "+strings.Join(d, "; ")+".", "")
		}
	} else {
		cols = append(cols, "-", "-", "-", "-", "-", "-")
	}
	if r.Reason != "" {
		notes.add(r.Reason, fmt.Sprintf("CONC %d: ", conc))
	}
	if a != nil && a.Verdict.Status == accuracy.NotRun {
		notes.add(a.Reason(), "")
	}
	for _, n := range r.Notes {
		notes.add(n, fmt.Sprintf("CONC %d: ", conc))
	}
	fmt.Fprintln(w, strings.Join(append(cols, r.Standing()), "\t")+"\t")
}

func accuracyWord(a *sweep.Accuracy) string {
	switch {
	case a == nil:
		return "-"
	case a.Err != nil:
		return "FAILED"
	case len(a.Figures()) == 0:
		return string(a.Verdict.Status)
	default:
		first := a.Figures()[0]
		return fmt.Sprintf(first.Format+" %s", first.Value, a.Verdict.Status)
	}
}

func ratio(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.2fx", *v)
}

// millis shows milliseconds with three digits that mean something.
func millis(v *float64) string {
	switch {
	case v == nil:
		return "-"
	case *v < 10:
		return fmt.Sprintf("%.3f ms", *v)
	case *v < 1000:
		return fmt.Sprintf("%.1f ms", *v)
	}
	return fmt.Sprintf("%.0f ms", *v)
}

// notes are the lines under a table, each once.
type notes struct{ lines []string }

func (n *notes) add(line, prefix string) {
	for _, l := range n.lines {
		if l == prefix+line {
			return
		}
	}
	n.lines = append(n.lines, prefix+line)
}

func (n *notes) write(w io.Writer) {
	for _, l := range n.lines {
		fmt.Fprintln(w, l)
	}
}

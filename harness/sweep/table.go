package sweep

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/matrix"
)

// WriteTables writes, for every batch of the sweep, a table that a person can
// read, under a line that says whose figures these are.
func (sw *Sweep) WriteTables(w io.Writer) {
	seen := map[matrix.Combination]bool{}
	for _, c := range sw.cells {
		if !seen[c.Combination] {
			seen[c.Combination] = true
			sw.writeTable(w, c.Combination)
		}
	}
}

func (sw *Sweep) writeTable(w io.Writer, combo matrix.Combination) {
	t, s := sw.Target, sw.Settings
	fmt.Fprintf(w, "\nISL %d, OSL %d, mode %s: %s on %s %s\n", combo.ISL, combo.OSL, sw.mode, t.Model, t.Dialect.Name, t.Version)
	if t.Loopback {
		fmt.Fprintf(w, "These are the embedded engine's figures (profile %s). They prove the suite, not any hardware.\n", s.Engine.Profile)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	name := strings.ToUpper(sw.hardware.KeyPrefix)
	fmt.Fprintf(tw, "CONC\taccuracy\ttok/s/GPU\tvs %s\tTTFT p50\tTPOT p50\tE2E p50\tvs %s\tresult\t\n", name, name)
	notes := &notes{}
	for _, c := range sw.cells {
		if c.Combination == combo {
			sw.writeRow(tw, c, notes)
		}
	}
	tw.Flush()
	notes.write(w)
	if !combo.IsStandard() {
		fmt.Fprintf(w, "ISL %d, OSL %d is a pair of your own: it has no baseline and no public leaderboard.\n", combo.ISL, combo.OSL)
	}
	b := sw.batches[combo]
	fmt.Fprintf(w, "Batch: %s/%s\n", b.Dir, sw.standing(b))
}

func (sw *Sweep) writeRow(w io.Writer, c matrix.Cell, notes *notes) {
	sw.mu.Lock()
	st := sw.states[c]
	sw.mu.Unlock()
	r := st.result
	if r == nil {
		r = &batch.Result{Status: batch.Incomplete}
	}
	cols := []string{fmt.Sprint(c.Conc), accuracyWord(st.accuracy)}
	if p := r.Performance; p != nil {
		cols = append(cols, fmt.Sprintf("%.1f", p.TputPerGPU), ratio(r.Baseline.TputRatio),
			millis(p.TTFT.Median), millis(p.TPOT.Median), millis(p.E2EL.Median), ratio(r.Baseline.E2ERatio))
		if d := r.Baseline.Differences; len(d) > 0 {
			notes.add("The workload is not the "+r.Baseline.Hardware+" baseline's, so the ratios compare unequal work: "+strings.Join(d, "; ")+".", "")
		}
	} else {
		cols = append(cols, "-", "-", "-", "-", "-", "-")
	}
	result := string(r.Status)
	if r.ClientLimited {
		result += " (client-limited)"
	}
	if r.Reason != "" {
		notes.add(r.Reason, fmt.Sprintf("CONC %d: ", c.Conc))
	}
	if a := st.accuracy; a != nil && a.Verdict.Status == accuracy.NotRun {
		notes.add(a.Reason(), "")
	}
	for _, n := range r.Notes {
		notes.add(n, fmt.Sprintf("CONC %d: ", c.Conc))
	}
	fmt.Fprintln(w, strings.Join(append(cols, result), "\t")+"\t")
}

func accuracyWord(a *Accuracy) string {
	switch {
	case a == nil:
		return "-"
	case a.Err != nil:
		return "FAILED"
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

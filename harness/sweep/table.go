package sweep

import (
	"fmt"
	"io"
	"strings"

	"inferbench/harness/accuracy"
	"inferbench/harness/matrix"
	"inferbench/harness/report"
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
	var rows []report.Row
	notes := &notes{}
	for _, c := range sw.cells {
		if c.Combination == combo {
			rows = append(rows, sw.row(c, notes))
		}
	}
	report.WriteTable(w, rows, strings.ToUpper(sw.hardware.KeyPrefix))
	notes.write(w)
	if !combo.IsStandard() {
		fmt.Fprintf(w, "ISL %d, OSL %d is a pair of your own: it has no baseline and no public leaderboard.\n", combo.ISL, combo.OSL)
	}
	b := sw.batches[combo]
	fmt.Fprintf(w, "Batch: %s/%s\n", b.Dir, sw.standing(b))
}

// row is a cell of the table; what a reader must know of it goes to the notes.
func (sw *Sweep) row(c matrix.Cell, n *notes) report.Row {
	sw.mu.Lock()
	st := sw.states[c]
	sw.mu.Unlock()
	conc := fmt.Sprintf("CONC %d: ", c.Conc)
	r := st.result
	if r != nil {
		if b := r.Baseline; b != nil && len(b.Differences) > 0 {
			n.add("The workload is not the "+b.Hardware+" baseline's, so the ratios compare unequal work: "+strings.Join(b.Differences, "; ")+".", "")
		}
		if r.Reason != "" {
			n.add(r.Reason, conc)
		}
	}
	if a := st.accuracy; a != nil && a.Verdict.Status == accuracy.NotRun {
		n.add(a.Reason(), "")
	}
	if r != nil {
		for _, line := range r.Notes {
			n.add(line, conc)
		}
	}
	return report.Row{Conc: c.Conc, Accuracy: accuracyWord(st.accuracy), Result: r}
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

package suite

import (
	"fmt"
	"io"
	"strings"

	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/report"
	"inferbench/harness/settings"
	"inferbench/harness/sweep"
)

// writeTables writes, for every batch of the sweep, a table that a person can
// read, under a line that says whose figures these are.
func writeTables(w io.Writer, sw *sweep.Sweep, board *submissions) {
	width := terminalWidth()
	for _, b := range sw.Batches() {
		writeTable(w, sw, b, board, width)
	}
	doubts := &notes{} // each once a sweep, not once a cell
	for _, c := range sw.Cells {
		if a := sw.Scored(c); a != nil {
			for _, warning := range a.Verdict.Warnings {
				doubts.add(warning, "Accuracy: ")
			}
		}
	}
	doubts.write(w)
}

func writeTable(w io.Writer, sw *sweep.Sweep, b *batch.Batch, board *submissions, width int) {
	t, s, combo := sw.Target, sw.Settings, b.Cells()[0].Combination
	fmt.Fprintf(w, "\n%s, mode %s: %s on %s\n", combo.Title(), sw.Mode, t.Model, t.Engine())
	if s.Results.Label != "" {
		fmt.Fprintln(w, s.Results.Label)
	}
	if t.Loopback {
		fmt.Fprintf(w, "These are the embedded engine's figures (profile %s). They prove the suite, not any "+
			"hardware.\n", s.Engine.Profile)
	}
	var rows []report.Row
	notes := &notes{}
	for _, c := range sw.Cells {
		if c.Combination == combo {
			row := tableRow(c.Conc, sw.Scored(c), sw.Result(c), notes)
			var why string
			if row.Board, why = board.standing(c); why != "" {
				notes.add(why, fmt.Sprintf("CONC %d: ", c.Conc))
			}
			rows = append(rows, row)
		}
	}
	report.WriteTable(w, rows, strings.ToUpper(sw.Hardware().KeyPrefix), width)
	notes.write(w)
	if !combo.IsStandard() && combo.Scenario == "" {
		fmt.Fprintf(w, "%s is a pair of your own: it has no baseline and no public leaderboard.\n", combo.Title())
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

// tableRow is a cell of the table; what a reader must know of it goes to the
// notes.
func tableRow(conc int, a *sweep.Accuracy, r *batch.Result, n *notes) report.Row {
	prefix := fmt.Sprintf("CONC %d: ", conc)
	if r != nil {
		if b := r.Baseline; b != nil && len(b.Differences) > 0 {
			n.add("The workload is not the "+b.Hardware+" baseline's, so the ratios compare unequal work: "+
				strings.Join(b.Differences, "; ")+".", "")
		}
		if r.Reason != "" {
			n.add(r.Reason, prefix)
		}
	}
	if a != nil && a.Verdict.Status == accuracy.NotRun {
		n.add(a.Reason(), "")
	}
	if r != nil {
		for _, line := range r.Notes {
			n.add(line, prefix)
		}
	}
	return report.Row{Conc: conc, Accuracy: accuracyWord(a, conc), Result: r}
}

// accuracyWord is the figure that stands for all, the verdict, and the CONC that
// was scored where it is not the cell's own.
func accuracyWord(a *sweep.Accuracy, conc int) string {
	if a != nil && a.ScoredAt > 0 && a.ScoredAt != conc && a.Err == nil {
		return fmt.Sprintf("%s (at CONC %d)", accuracyWord(a, a.ScoredAt), a.ScoredAt)
	}
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

package history

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
)

// WriteTable writes the last batches as a table for a terminal of a width in
// columns, and what was best so far in each cell. last is how many batches are
// shown; 0 is all.
func (h *History) WriteTable(w io.Writer, width, last int) error {
	var b strings.Builder
	from := 0
	if last > 0 {
		from = max(0, len(h.Entries)-last)
	}
	h.writeEntries(&b, from, width)
	h.writeBests(&b, from, width)
	if from > 0 {
		fmt.Fprintf(&b, "\n%d of %d batches are shown: the page has all, or -last 0.\n", len(h.Entries)-from, len(h.Entries))
	}
	if n := len(h.Skipped); n > 0 {
		fmt.Fprintf(&b, "\n%d skipped, as they cannot be read. The first: %v\n", n, h.Skipped[0])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (h *History) writeEntries(b *strings.Builder, from, width int) {
	before := h.Before()
	var groups []string
	rows, servers := map[string][][]string{}, map[string][]string{}
	for i := from; i < len(h.Entries); i++ {
		e := &h.Entries[i]
		g := e.group()
		if rows[g] == nil {
			groups = append(groups, g)
			rows[g] = [][]string{{"date", "cells", "tok/s/GPU", "", "E2EL p50", "", "tok/s vs", "", ""},
				{"", "passed", "most", "vs base", "lowest", "vs base", "before", "server", "what"}}
		}
		row := e.row(before[i])
		row[1], _, _ = strings.Cut(row[1], " ") // the page tells how the others ended
		rows[g] = append(rows[g], row)
		if !slices.Contains(servers[g], row[serverColumn]) {
			servers[g] = append(servers[g], row[serverColumn])
		}
	}
	for _, g := range groups {
		heading := g
		if len(servers[g]) == 1 && servers[g][0] != "" { // then it needs no column
			heading += " on " + servers[g][0]
			for _, r := range rows[g][1:] {
				r[serverColumn] = ""
			}
		}
		fmt.Fprintf(b, "\n%s\n", heading)
		writeRows(b, withoutEmpty(rows[g], 2), width)
	}
}

// serverColumn is the column of the server in a table of entries.
const serverColumn = 7

// withoutEmpty leaves out the columns that have nothing below their heads; the first
// and the last stay.
func withoutEmpty(rows [][]string, heads int) [][]string {
	out := make([][]string, len(rows))
	for c := range rows[0] {
		some := c == 0 || c == len(rows[0])-1
		for _, r := range rows[heads:] {
			some = some || r[c] != "" && r[c] != "-"
		}
		for i, r := range rows {
			if some {
				out[i] = append(out[i], r[c])
			}
		}
	}
	return out
}

// group is what entries are compared within.
func (e *Entry) group() string { return e.Model + " " + e.Combination.String() }

func (e *Entry) row(before *float64) []string {
	row := []string{e.date(), e.Status(), "-", "-", "-", "-", "-", strings.TrimSpace(e.Server + " " + e.Hardware),
		e.What()}
	if p := e.Most(); p != nil {
		row[2], row[3] = figures.Digits(*p.Tput), figures.Times(p.TputRatio)
	}
	if p := e.Fastest(); p != nil && p.E2E != nil {
		row[4], row[5] = figures.Digits(*p.E2E)+" ms", figures.Times(p.E2ERatio)
	}
	if before != nil {
		row[6] = fmt.Sprintf("%+.1f %%", (*before-1)*100)
	}
	return row
}

func (e *Entry) date() string {
	switch {
	case e.Time.IsZero():
		return "-"
	case e.Foreign:
		return e.Time.Format(time.DateOnly)
	}
	return e.Time.Format("2006-01-02 15:04")
}

// writeBests writes what was best so far in the cells of the groups that are shown.
func (h *History) writeBests(b *strings.Builder, from, width int) {
	shown := map[string]bool{}
	for i := from; i < len(h.Entries); i++ {
		shown[h.Entries[i].group()] = true
	}
	rows := [][]string{{"cell", "tok/s/GPU", "E2EL p50", "of"}}
	for _, best := range h.Bests() {
		if !shown[best.Model+" "+best.Combination.String()] {
			continue
		}
		row := []string{best.Cell.Name(), figures.Digits(*best.Tput.Point.Tput), "-", best.Tput.name()}
		if l := best.E2E; l != nil {
			row[2] = figures.Digits(*l.Point.E2E) + " ms"
			if l.Entry != best.Tput.Entry {
				row[3] += "; E2EL: " + l.name()
			}
		}
		rows = append(rows, row)
	}
	if len(rows) > 1 {
		b.WriteString("\nBest so far\n")
		writeRows(b, rows, width)
	}
}

func (l *Leader) name() string {
	name := l.Entry.date()
	if what := l.Entry.What(); what != "" {
		name += " " + what
	}
	return name + batch.InBrackets(l.Point.Marks)
}

// writeRows writes rows in columns: the first and the last to the left, the others
// to the right. A row is cut where the terminal ends.
func writeRows(b *strings.Builder, rows [][]string, width int) {
	wide := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, v := range r {
			wide[i] = max(wide[i], figures.Width(v))
		}
	}
	for _, r := range rows {
		var line strings.Builder
		for i, v := range r {
			gap := strings.Repeat(" ", wide[i]-figures.Width(v))
			if i == 0 || i == len(r)-1 {
				line.WriteString(v + gap + "  ")
			} else {
				line.WriteString(gap + v + "  ")
			}
		}
		text := strings.TrimRight(line.String(), " ")
		if width > 20 {
			text = figures.Cut(text, width)
		}
		b.WriteString(text + "\n")
	}
}

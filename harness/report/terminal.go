package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
)

// Row is a cell in the table on the terminal.
type Row struct {
	Conc     int
	Accuracy string        // the figure that stands for all and the verdict; "-" where it was not run
	Result   *batch.Result // nil where the cell has not ended
	Board    string        // what became of its submission; "" where there is none
}

// WriteTable writes the cells as a table for a terminal of a width in columns:
// the figures that were measured and, where the hardware baseline states one
// too, the ratio to it. A wide terminal shows more figures; a narrow one has long
// words in two lines, then no ratios, then the first figures alone. baseline is
// the baseline's short name: B200.
func WriteTable(w io.Writer, rows []Row, baseline string, width int) error {
	columns := terminalColumns(rows, baseline)
	for give := wideFigures; give <= lastFigures; give++ {
		columns = narrow(columns, give, width)
	}
	var b strings.Builder
	for line := range 2 {
		var heads []string
		for _, c := range columns {
			heads = append(heads, c.head[line])
		}
		writeLine(&b, columns, heads)
	}
	for i := range rows {
		for line := 0; ; line++ {
			var cells []string
			some := false
			for _, c := range columns {
				cell := ""
				if line < len(c.cells[i]) {
					cell, some = c.cells[i][line], true
				}
				cells = append(cells, cell)
			}
			if !some {
				break
			}
			writeLine(&b, columns, cells)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// terminalColumn is a column: two lines of head, and one or two lines a row.
type terminalColumn struct {
	head  [2]string
	cells [][]string
	gives giveUp // what makes it narrower, or drops it
}

// giveUp is what a table that is too wide gives up, one after the other.
type giveUp int

const (
	nothing      giveUp = iota
	wideFigures         // figures that are for wide terminals only, from the right
	longResults         // marks go under the status
	longAccuracy        // PASSED, which the result says too, is left out; other verdicts go under the figure
	ratios              // to the baseline, from the right
	lastFigures         // from the right, all but the first
)

// narrow gives up what it may, as long as the table is too wide.
func narrow(columns []terminalColumn, give giveUp, width int) []terminalColumn {
	for i := len(columns) - 1; i >= 0 && tableWidth(columns) > width; i-- {
		switch {
		case columns[i].gives != give:
		case give == longResults || give == longAccuracy:
			columns[i].cells = wrap(columns[i].cells)
		default:
			columns = slices.Delete(columns, i, i+1)
		}
	}
	return columns
}

// wrap puts what follows a cell's first word under it.
func wrap(cells [][]string) (out [][]string) {
	for _, cell := range cells {
		first, rest, _ := strings.Cut(cell[0], " ")
		if rest = strings.TrimSpace(strings.TrimPrefix(rest, string(batch.Passed))); rest == "" {
			out = append(out, []string{first})
		} else {
			out = append(out, []string{first, rest})
		}
	}
	return out
}

// terminalColumns returns all the columns that there are figures for.
func terminalColumns(rows []Row, baseline string) []terminalColumn {
	var columns []terminalColumn
	add := func(first, second string, gives giveUp, value func(Row) string) {
		c := terminalColumn{head: [2]string{first, second}, gives: gives}
		for _, r := range rows {
			c.cells = append(c.cells, []string{value(r)})
		}
		columns = append(columns, c)
	}
	add("", "CONC", nothing, func(r Row) string { return fmt.Sprint(r.Conc) })
	add("", "accuracy", longAccuracy, func(r Row) string { return r.Accuracy })
	var results []*batch.Result
	for _, r := range rows {
		results = append(results, r.Result)
	}
	first := figures.OnTerminal(results)
	for i, f := range figures.Shown(figures.Terminal|figures.Wide|first, results) {
		gives := lastFigures
		switch {
		case i == 0:
			gives = nothing
		case !f.In(first):
			gives = wideFigures
		}
		above, below := headOf(f)
		add(above, below, gives, func(r Row) string {
			if r.Result == nil {
				return f.Print(nil)
			}
			return f.Print(f.Of(r.Result))
		})
		if slices.ContainsFunc(results, func(r *batch.Result) bool { return f.Ratio(r) != nil }) {
			add("vs", baseline, ratios, func(r Row) string { return figures.Times(f.Ratio(r.Result)) })
		}
	}
	add("", "result", longResults, func(r Row) string {
		if r.Result == nil {
			return string(batch.Incomplete)
		}
		return r.Result.Standing()
	})
	if slices.ContainsFunc(rows, func(r Row) bool { return r.Board != "" }) {
		add("", "leaderboard", nothing, func(r Row) string { return cmp.Or(r.Board, "-") })
	}
	return columns
}

// headOf returns a figure's label and unit in two lines: "TTFT" over "p50 ms".
func headOf(f figures.Figure) (first, second string) {
	second = strings.TrimSpace(f.Stat + " " + f.Unit)
	if first, rest, two := strings.Cut(f.Name, " "); two && f.Stat == "" {
		return first, strings.TrimSpace(rest + " " + second)
	}
	if second == "" {
		return "", f.Name
	}
	return f.Name, second
}

func (c terminalColumn) width() int {
	n := max(figures.Width(c.head[0]), figures.Width(c.head[1]))
	for _, cell := range c.cells {
		for _, line := range cell {
			n = max(n, figures.Width(line))
		}
	}
	return n
}

// tableGap stands between columns.
const tableGap = "  "

func tableWidth(columns []terminalColumn) int {
	n := len(tableGap) * (len(columns) - 1)
	for _, c := range columns {
		n += c.width()
	}
	return n
}

// writeLine writes a line of the table: figures to the right of their columns,
// the last column, which is words, to the left.
func writeLine(b *strings.Builder, columns []terminalColumn, cells []string) {
	var line strings.Builder
	for i, cell := range cells {
		if i == len(cells)-1 {
			line.WriteString(cell)
			break
		}
		line.WriteString(strings.Repeat(" ", columns[i].width()-figures.Width(cell)) + cell + tableGap)
	}
	b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

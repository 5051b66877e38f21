package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
)

// Row is a cell in the table on the terminal.
type Row struct {
	Conc     int
	Accuracy string        // the figure that stands for all and the verdict; "-" where it was not run
	Result   *batch.Result // nil where the cell has not ended
}

// WriteTable writes the cells as a table for a terminal, with the figures that
// were measured and, where the hardware baseline states one too, the ratio to it.
// baseline is its short name: B200.
func WriteTable(w io.Writer, rows []Row, baseline string) error {
	columns := []terminalColumn{
		{"CONC", func(r Row) string { return fmt.Sprint(r.Conc) }},
		{"accuracy", func(r Row) string { return r.Accuracy }},
	}
	var results []*batch.Result
	for _, r := range rows {
		results = append(results, r.Result)
	}
	for _, f := range figures.Shown(figures.Terminal, results) {
		columns = append(columns, terminalColumn{f.Label(), func(r Row) string {
			if r.Result == nil {
				return f.Print(nil)
			}
			return f.PrintUnit(f.Of(r.Result))
		}})
		if slices.ContainsFunc(results, func(r *batch.Result) bool { return f.Ratio(r) != nil }) {
			columns = append(columns, terminalColumn{"vs " + baseline, func(r Row) string { return figures.Times(f.Ratio(r.Result)) }})
		}
	}
	columns = append(columns, terminalColumn{"result", resultWord})
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, c := range columns {
		fmt.Fprint(tab, c.head, "\t")
	}
	fmt.Fprintln(tab)
	for _, r := range rows {
		for _, c := range columns {
			fmt.Fprint(tab, strings.ReplaceAll(c.value(r), "\t", " "), "\t")
		}
		fmt.Fprintln(tab)
	}
	return tab.Flush()
}

type terminalColumn struct {
	head  string
	value func(Row) string
}

func resultWord(r Row) string {
	if r.Result == nil {
		return string(batch.Incomplete)
	}
	return r.Result.Standing()
}

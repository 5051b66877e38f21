package report

import (
	"bytes"
	"fmt"
	"strings"
)

// column is one column of the table of configurations.
type column struct{ Head, Unit, Title string }

type row struct {
	Values []string
	Reason string
}

// table is the table of configurations, for the page and for summary.md. The
// columns of what was not asked for or not measured anywhere are left out.
func (r *Report) table() ([]column, []row) {
	type field struct {
		column
		value func(Cell) string
		show  func(Cell) bool
	}
	always := func(Cell) bool { return true }
	num := func(head, unit, title string, of func(Cell) *float64) field {
		return field{column{head, unit, title}, func(c Cell) string { return figure(of(c)) }, func(c Cell) bool { return of(c) != nil }}
	}
	two := func(head, title string, of func(Cell) Percentiles) field {
		return field{
			column{head, "p50 / p99 ms", title},
			func(c Cell) string {
				if p := of(c); p.P50 != nil {
					return figure(p.P50) + "\u00a0/ " + figure(p.P99) // breaks, where it must, after the stroke
				}
				return figure(nil)
			},
			func(c Cell) bool { return of(c).P50 != nil },
		}
	}
	versus := "vs baseline"
	if r.Baseline != nil {
		versus = "vs " + r.Baseline.Name
	}
	fields := []field{
		{column{"CONC", "", "requests in flight"}, func(c Cell) string { return fmt.Sprint(c.Conc) }, always},
		{column{"status", "", ""}, func(c Cell) string {
			if c.Standing != "" { // as in the table on the terminal
				return c.Standing
			}
			return string(c.Status) // it has no result file
		}, always},
		num("throughput", "tok/s/GPU", "input and output tokens", func(c Cell) *float64 { return c.TputPerGPU }),
		num(versus, "throughput", "throughput per GPU; above 1 is better", func(c Cell) *float64 { return c.TputRatio }),
		num("output", "tok/s", "output tokens of all GPUs", func(c Cell) *float64 { return c.OutputTput }),
		num("interactivity", "tok/s/user", "1000 / median TPOT", func(c Cell) *float64 { return c.Interactivity }),
		two("TTFT", "time to first token", func(c Cell) Percentiles { return c.TTFT }),
		two("TPOT", "time per output token after the first", func(c Cell) Percentiles { return c.TPOT }),
		two("ITL", "gap between chunks with tokens", func(c Cell) Percentiles { return c.ITL }),
		two("E2EL", "end-to-end latency", func(c Cell) Percentiles { return c.E2EL }),
		num(versus, "E2EL", "median end-to-end latency; below 1 is better", func(c Cell) *float64 { return c.E2ERatio }),
		num("cost", "USD / M tokens", "input and output tokens", func(c Cell) *float64 { return c.USDPerMillion }),
		num("cost", "USD / M output", "output tokens alone", func(c Cell) *float64 { return c.USDPerMillionOut }),
		num("energy", "tokens / J", "input and output tokens", func(c Cell) *float64 { return c.TokensPerJoule }),
		{column{"failed", "requests", ""}, func(c Cell) string { return fmt.Sprint(c.Failed) }, func(c Cell) bool { return c.Failed > 0 }},
		{column{"took", "s", ""}, func(c Cell) string { return fmt.Sprintf("%.0f", c.Took.Seconds()) }, func(c Cell) bool { return c.Took > 0 }},
	}
	var cols []column
	rows := make([]row, len(r.Cells))
	for i, c := range r.Cells {
		rows[i].Reason = c.Reason
	}
	for _, f := range fields {
		shown := false
		for _, c := range r.Cells {
			shown = shown || f.show(c)
		}
		if !shown {
			continue
		}
		cols = append(cols, f.column)
		for i, c := range r.Cells {
			rows[i].Values = append(rows[i].Values, f.value(c))
		}
	}
	return cols, rows
}

// Markdown is the report for a pull request: the table, the verdicts and what
// must be known before a figure is quoted.
func (r *Report) Markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "### %s, ISL %d, OSL %d: %s\n\n", escape(orUnknown(r.Model, "no model")), r.ISL, r.OSL, strings.Join(r.Counts, ", "))
	fmt.Fprintf(&b, "%s · mode %s · %s · %s\n\n", escape(orUnknown(r.Backend, "unknown server")), escape(r.Mode), r.Time.Format("2006-01-02 15:04"), escape(r.Dir))
	cols, rows := r.table()
	for _, c := range cols {
		head := c.Head
		if c.Unit != "" {
			head += " (" + c.Unit + ")"
		}
		fmt.Fprintf(&b, "| %s ", escape(head))
	}
	b.WriteString("|\n|")
	for range cols {
		b.WriteString(" ---: |")
	}
	b.WriteByte('\n')
	for _, row := range rows {
		for _, v := range row.Values {
			fmt.Fprintf(&b, "| %s ", escape(v))
		}
		b.WriteString("|\n")
	}
	b.WriteByte('\n')
	for i, row := range rows {
		if row.Reason != "" {
			fmt.Fprintf(&b, "* CONC %d: %s\n", r.Cells[i].Conc, escape(row.Reason))
		}
	}
	for _, a := range r.Accuracy {
		fmt.Fprintf(&b, "* Accuracy %s (CONC %s)", a.Status, strings.Join(a.Cells, ", "))
		for i, m := range a.Metrics {
			sep := ", "
			if i == 0 {
				sep = ": "
			}
			fmt.Fprintf(&b, "%s%s %.4f", sep, m.Name, m.Value)
			if m.Lower != nil && m.Upper != nil {
				fmt.Fprintf(&b, " (limits %.4f to %.4f)", *m.Lower, *m.Upper)
			}
		}
		if a.Reason != "" {
			fmt.Fprintf(&b, "; %s", escape(a.Reason))
		}
		b.WriteByte('\n')
	}
	if r.Baseline != nil && len(r.Baseline.Differences) > 0 {
		fmt.Fprintf(&b, "* The workload is not %s's: %s\n", escape(r.Baseline.Name), escape(strings.Join(r.Baseline.Differences, "; ")))
	}
	if n := r.costNote(); n != "" {
		fmt.Fprintf(&b, "* %s\n", escape(n))
	}
	for _, w := range r.warnings() {
		fmt.Fprintf(&b, "* %s\n", escape(w))
	}
	return b.Bytes()
}

func orUnknown(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

// markdown is every letter that Markdown, GitHub's mathematics or HTML would
// read as more than itself.
var markdown = strings.NewReplacer("|", "&#124;", "<", "&lt;", "&", "&amp;", "\r", " ", "\n", " ",
	`\`, `\\`, "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`, "]", `\]`, "~", `\~`, "$", `\$`, "#", `\#`)

// escape keeps a name from being read as Markdown or HTML.
func escape(s string) string { return markdown.Replace(s) }

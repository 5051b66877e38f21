package report

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
)

// column is one column of the table of configurations.
type column struct{ Head, Unit, Title string }

type row struct {
	Values []string
	Reason string
}

// field is a column with what it shows of a cell; nothing of a cell for which it
// returns "".
type field struct {
	column
	value func(Cell) string
}

// absent stands in a table where a cell has no such figure.
const absent = "–"

// table returns the table of configurations, for the page and for summary.md. The
// columns of what was not asked for or not measured anywhere are left out.
func (r *Report) table() ([]column, []row) {
	fields := []field{
		{column{"CONC", "", "requests in flight"}, Cell.At},
		{column{"status", "", ""}, func(c Cell) string {
			return string(c.Status) + batch.InBrackets(c.result().Marks) // as in the table on the terminal
		}},
	}
	fields = append(fields, r.figureFields()...)
	fields = append(fields,
		cost("cost", "USD / M tokens", "input and output tokens", func(c Cell) *float64 { return c.USDPerMillion }),
		cost("cost", "USD / M output", "output tokens alone", func(c Cell) *float64 { return c.USDPerMillionOut }),
		cost("energy", "tokens / J", "input and output tokens", r.statedEnergy),
		field{column{"failed", "requests", ""}, r.failed},
		field{column{"took", "s", ""}, func(c Cell) string {
			if c.Took <= 0 {
				return ""
			}
			return fmt.Sprintf("%.0f", c.Took.Seconds())
		}})
	var cols []column
	rows := make([]row, len(r.Cells))
	for i, c := range r.Cells {
		rows[i].Reason = c.result().Reason
	}
	for _, f := range fields {
		values := make([]string, len(r.Cells))
		shown := false
		for i, c := range r.Cells {
			values[i] = f.value(c)
			shown = shown || values[i] != ""
		}
		if !shown {
			continue
		}
		cols = append(cols, f.column)
		for i, v := range values {
			rows[i].Values = append(rows[i].Values, cmp.Or(v, absent))
		}
	}
	return cols, rows
}

// figureFields returns the columns of the figures that were measured. Statistics of
// one name share a column; a figure that the baseline states too has a column
// with the ratio behind it.
func (r *Report) figureFields() (out []field) {
	var results []*batch.Result
	for _, c := range r.Cells {
		results = append(results, c.Result)
	}
	versus := "vs baseline"
	if r.Baseline != nil {
		versus = "vs " + r.Baseline.Name
	}
	shown := figures.Shown(figures.Report, results)
	for len(shown) > 0 {
		n := 1
		for n < len(shown) && shown[n].Name == shown[0].Name {
			n++
		}
		out = append(out, figuresField(shown[:n]))
		for _, f := range shown[:n] {
			if f.Versus != nil {
				out = append(out, versusField(versus, f))
			}
		}
		shown = shown[n:]
	}
	return out
}

// figuresField returns the column of one figure, or of several statistics of one.
func figuresField(fs []figures.Figure) field {
	var stats []string
	for _, f := range fs {
		stats = append(stats, f.Stat)
	}
	unit := strings.TrimSpace(strings.Join(stats, " / ") + " " + fs[0].Unit)
	return field{column{fs[0].Name, unit, fs[0].Means}, func(c Cell) string {
		var values []string
		some := false
		for _, f := range fs {
			v := c.Figure(f.Key)
			some = some || v != nil
			if v == nil {
				values = append(values, absent)
			} else {
				values = append(values, f.Print(v))
			}
		}
		if !some {
			return ""
		}
		return strings.Join(values, "\u00a0/ ") // breaks, where it must, after the stroke
	}}
}

// versusField returns the column of a figure's ratio to the baseline.
func versusField(versus string, f figures.Figure) field {
	direction := "above"
	if f.Better == figures.Lower {
		direction = "below"
	}
	return field{column{versus, f.Name, f.Means + "; " + direction + " 1 is better"}, func(c Cell) string {
		if v := f.Ratio(c.Result); v != nil {
			return figures.Digits(*v)
		}
		return ""
	}}
}

func cost(head, unit, title string, of func(Cell) *float64) field {
	return field{column{head, unit, title}, func(c Cell) string {
		if of(c) == nil {
			return ""
		}
		return figures.Digits(*of(c))
	}}
}

// statedEnergy is what a cell makes of a joule at the stated power; nothing where
// any cell's power was measured, which has columns of its own.
func (r *Report) statedEnergy(c Cell) *float64 {
	if r.measuresPower() {
		return nil
	}
	return c.TokensPerJoule
}

// measuresPower reports whether the power of any cell was measured.
func (r *Report) measuresPower() bool {
	return slices.ContainsFunc(r.Cells, func(c Cell) bool { return c.Figure("power.avg_power_w") != nil })
}

// failed returns the number of a cell's requests that failed, where any cell has some.
func (r *Report) failed(c Cell) string {
	of := func(c Cell) int {
		if p := c.result().Performance; p != nil {
			return p.Failed
		}
		return 0
	}
	if !slices.ContainsFunc(r.Cells, func(c Cell) bool { return of(c) > 0 }) {
		return ""
	}
	return fmt.Sprint(of(c))
}

// Markdown returns the report for a pull request: the table, the verdicts and what
// must be known before a figure is quoted.
func (r *Report) Markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "### %s, %s: %s\n\n", escape(orUnknown(r.Model, "no model")), r.Title(),
		strings.Join(r.Counts, ", "))
	fmt.Fprintf(&b, "%s · mode %s · %s · %s\n\n", escape(orUnknown(r.Backend, "unknown server")), escape(r.Mode),
		r.Time.Format("2006-01-02 15:04"), escape(r.Dir))
	if r.Label != "" {
		fmt.Fprintf(&b, "%s\n\n", escape(r.Label))
	}
	rows := r.markdownTable(&b)
	item := func(s string) {
		if s != "" {
			fmt.Fprintf(&b, "* %s\n", escape(s))
		}
	}
	item(r.bestLine())
	for i, row := range rows {
		if row.Reason != "" {
			item("CONC " + r.Cells[i].At() + ": " + row.Reason)
		}
	}
	for _, a := range r.Accuracy {
		fmt.Fprintf(&b, "* %s\n", a.markdown())
	}
	if r.Baseline != nil && len(r.Baseline.Differences) > 0 {
		item("The workload is not " + r.Baseline.Name + "'s: " + strings.Join(r.Baseline.Differences, "; "))
	}
	item(r.costNote())
	for _, s := range slices.Concat(r.slowest(), r.warnings()) {
		item(s)
	}
	return b.Bytes()
}

// markdownTable writes the table and returns its rows.
func (r *Report) markdownTable(b *bytes.Buffer) []row {
	cols, rows := r.table()
	for _, c := range cols {
		head := c.Head
		if c.Unit != "" {
			head += " (" + c.Unit + ")"
		}
		fmt.Fprintf(b, "| %s ", escape(head))
	}
	b.WriteString("|\n|")
	for range cols {
		b.WriteString(" ---: |")
	}
	b.WriteByte('\n')
	for _, row := range rows {
		for _, v := range row.Values {
			fmt.Fprintf(b, "| %s ", escape(v))
		}
		b.WriteString("|\n")
	}
	b.WriteByte('\n')
	return rows
}

// markdown is the verdict on one line, with its figures and their limits.
func (a Accuracy) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Accuracy %s (CONC %s", a.Status, strings.Join(a.Cells, ", "))
	if a.ScoredAt > 0 {
		fmt.Fprintf(&b, ", scored at CONC %d", a.ScoredAt)
	}
	b.WriteByte(')')
	for i, m := range a.Metrics {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(&b, "%s%s %.4f", sep, m.Name, m.Value)
		if m.Lower != nil && m.Upper != nil {
			fmt.Fprintf(&b, " (limits %.4f to %.4f)", *m.Lower, *m.Upper)
		} else if m.Baseline != nil {
			fmt.Fprintf(&b, " (stated %.4f, not judged)", *m.Baseline)
		}
	}
	if a.Reason != "" {
		fmt.Fprintf(&b, "; %s", escape(a.Reason))
	}
	return b.String()
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

package compare

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
)

// WriteText writes the comparison as a table for a person.
func (c *Comparison) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "A: %s\nB: %s\n", strings.Join(c.A, " "), strings.Join(c.B, " "))
	for _, cell := range c.Cells {
		fmt.Fprintf(&b, "\n%s%s\n", cell.Name, batch.InBrackets(cell.Marks))
		if cell.Refused != "" {
			fmt.Fprintf(&b, "  not compared: %s\n", cell.Refused)
			continue
		}
		for _, n := range cell.Notes {
			fmt.Fprintf(&b, "  note: %s\n", n)
		}
		fmt.Fprintf(&b, "  %s\n", cell.Method)
		tab := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprint(tab, "  \tA\tB\tB/A\tinterval\t  verdict\n")
		for _, f := range cell.Figures {
			fmt.Fprintf(tab, "  %s\t%s\t%s\t%.4f\t%s\t  %s\n", figures.ByKey(f.Key).LabelUnit(), f.print(f.A), f.print(f.B),
				f.Ratio, f.interval(), f.Verdict)
		}
		if err := tab.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(&b, "\nB/A above 1 is better for rates (tok/s, req/s), worse for milliseconds. Intervals: %g %%, over "+
		"the whole table where requests are resampled, over a cell where blocks are paired.\n", c.Confidence*100)
	_, err := io.WriteString(w, b.String())
	return err
}

func (f Figure) interval() string {
	if f.Verdict == Untested {
		return "-"
	}
	bound := func(v *float64) string {
		if v == nil {
			return "?"
		}
		return fmt.Sprintf("%.4f", *v)
	}
	return bound(f.Low) + "…" + bound(f.High)
}

func (f Figure) print(v float64) string { return figures.ByKey(f.Key).Print(&v) }

// Gate is what a comparison means for CI.
type Gate struct {
	Regressions []string // figures that are worse by more than allowed, significantly
	NotCompared []string // cells and figures of which nothing can be said
}

// Check holds the comparison against the largest regression allowed, relative
// (0.03 is 3 %). A cell that could not be compared is listed: a comparison that
// was not made has not been passed.
func (c *Comparison) Check(maxRegress float64) Gate {
	var g Gate
	for _, cell := range c.Cells {
		if cell.Refused != "" {
			g.NotCompared = append(g.NotCompared, cell.Name+": "+cell.Refused)
			continue
		}
		if len(cell.Figures) == 0 {
			g.NotCompared = append(g.NotCompared, cell.Name+": no figure that both sides have")
		}
		tested := false
		for _, f := range cell.Figures {
			tested = tested || f.Verdict != Untested
			if f.Verdict == Worse && f.Regress() > maxRegress {
				g.Regressions = append(g.Regressions, fmt.Sprintf("%s: %s is %.1f %% worse (allowed: %g %%)", cell.Name,
					figures.ByKey(f.Key).Label(), f.Regress()*100, maxRegress*100))
			}
		}
		if !tested && len(cell.Figures) > 0 {
			g.NotCompared = append(g.NotCompared, cell.Name+": whether its differences are chance is unknown: "+cell.Method)
		}
	}
	return g
}

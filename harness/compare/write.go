package compare

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteText writes the comparison as a table for a person.
func (c *Comparison) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "A: %s\nB: %s\n", strings.Join(c.A, " "), strings.Join(c.B, " "))
	for _, cell := range c.Cells {
		fmt.Fprintf(&b, "\n%s\n", cell.Name)
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
			fmt.Fprintf(tab, "  %s\t%s\t%s\t%.4f\t%s\t  %s\n", f.Key, sig(f.A), sig(f.B), f.Ratio, f.interval(), f.Verdict)
		}
		if err := tab.Flush(); err != nil {
			return err
		}
	}
	fmt.Fprintf(&b, "\nB/A above 1 is better for tput_per_gpu, worse for milliseconds. Intervals: %g %%, over the whole table where requests are resampled.\n", c.Confidence*100)
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

// sig is a figure with as many digits as a reader can use.
func sig(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.4g", v)
}

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
				g.Regressions = append(g.Regressions, fmt.Sprintf("%s: %s is %.1f %% worse (allowed: %g %%)", cell.Name, f.Key, f.Regress()*100, maxRegress*100))
			}
		}
		if !tested && len(cell.Figures) > 0 {
			g.NotCompared = append(g.NotCompared, cell.Name+": whether its differences are chance is unknown: "+cell.Method)
		}
	}
	return g
}

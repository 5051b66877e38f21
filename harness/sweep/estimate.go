package sweep

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"inferbench/harness/matrix"
)

// expectations probes the server and says what one pass over each cell should
// take: see [probe.cell]. Cells whose speed is not measured are left out.
func (sw *Sweep) expectations(ctx context.Context) map[matrix.Cell]time.Duration {
	out := map[matrix.Cell]time.Duration{}
	probed := map[int]probe{} // by ISL
	for _, c := range sw.cells {
		if !sw.serves(c) {
			continue
		}
		p, ok := probed[c.ISL]
		if !ok {
			p = sw.probe(ctx, c.ISL)
			probed[c.ISL] = p
		}
		out[c] = p.cell(c, sw.Settings.Shape, sw.endless())
	}
	return out
}

// Estimate writes what each selected cell's benchmark should take on this
// server, from one short request to it, and runs nothing else. Accuracy comes
// on top: how long that takes is known once it has run.
func Estimate(ctx context.Context, c Config, w io.Writer) error {
	sw := &Sweep{Config: c, mode: Effective(c.Settings.Mode, c.Settings.Selection, c.Plan), cells: Selected(c.Settings, c.Plan)}
	expected := sw.expectations(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(expected) == 0 {
		return errors.New("nothing to estimate: mode acc measures no speed")
	}
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tab, "ISL\tOSL\tCONC\trequests\tabout\t\n")
	var all time.Duration
	for _, cell := range sw.cells {
		d, ok := expected[cell]
		if !ok {
			continue
		}
		all += d
		requests := fmt.Sprint(cell.NumPrompts)
		if sw.endless() {
			requests = "for " + sw.Settings.Shape.Duration.String()
		}
		fmt.Fprintf(tab, "%d\t%d\t%d\t%s\t%s\t\n", cell.ISL, cell.OSL, cell.Conc, requests, d.Round(time.Second))
	}
	if err := tab.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "In all about %s on %s, accuracy not counted.\n", all.Round(time.Second), sw.Target.Model)
	return err
}

package sweep

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/power"
	"inferbench/harness/stats"
)

// consumed is what was measured of the power of a pass.
type consumed struct {
	power   *stats.Power
	samples []power.Sample
}

// watchPower measures what the server's GPUs draw while a pass with the options o
// runs, which it changes to be told when the measured run begins. The function
// that it returns ends that; call it when the pass has ended, with its figures, or
// nil where it has none.
func (sw *Sweep) watchPower(ctx context.Context, o *load.Options) func(*stats.Summary) consumed {
	from := sw.powerFrom(ctx)
	if len(from) == 0 {
		return func(*stats.Summary) consumed { return consumed{} }
	}
	w := power.Start(ctx, sw.Settings.Results.Power.GPUs, from...)
	w.Apart(sw.Settings.Results.Power.Prefill)
	beside(o, w.Ready, w.Measuring)
	return func(s *stats.Summary) consumed {
		p, samples := w.Stop(ctx, s, sw.Settings.Server.TP)
		return consumed{p, samples}
	}
}

// powerFrom is who tells of power: what the settings name, or a tool of this
// machine where the server runs on it.
func (sw *Sweep) powerFrom(ctx context.Context) (out []power.Collector) {
	p := sw.Settings.Results.Power
	for _, name := range p.Files {
		out = append(out, power.File{Path: name})
	}
	for _, u := range p.URLs {
		out = append(out, power.Page{URL: u, Get: sw.Target.PageAt})
	}
	if len(out) > 0 || p.Off || !sw.Target.OnThisMachine(ctx) {
		return out
	}
	if tool := power.FindTool(); tool != nil {
		out = append(out, tool)
	}
	return out
}

// keepPower puts what was measured into the result, and the run second by second
// into a file beside it.
func (sw *Sweep) keepPower(c matrix.Cell, r *batch.Result, used consumed) error {
	p := used.power
	if p == nil {
		return nil
	}
	r.Performance.Power = p
	idle := slices.Contains(p.Reasons, power.Idle) && sw.Target.Loopback // the embedded engine uses no GPU
	if !p.Valid && !idle {
		r.Notes = append(r.Notes, fmt.Sprintf("power was not measured (%s): %s", p.From, strings.Join(p.Reasons, "; ")))
	}
	if len(used.samples) == 0 {
		return nil
	}
	samples, err := json.Marshal(used.samples)
	if err != nil {
		return fmt.Errorf("power of %s: %w", c.Name(), err)
	}
	return sw.batches[c.Combination].WriteFile(batch.PowerFileName(c), append(samples, '\n'))
}

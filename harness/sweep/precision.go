package sweep

import (
	"fmt"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
	"inferbench/harness/stats"
)

// steady leaves of a pass that PRECISION ended the requests of its steady state,
// and says in the result how well their figures are known. It returns the note on
// that, or on a precision that was asked for and not reached; "" where none was.
func (m *measured) steady(r *batch.Result) string {
	if m.ends == nil {
		return ""
	}
	rec := m.rec
	found := m.ends.Found()
	if found == nil {
		return m.notReached()
	}
	if stats.FailuresOf(rec.Timings).Requests() > 0 { // one of those still in flight: the cell failed as it is
		return ""
	}
	rec.Timings, rec.Duration = m.ends.Steady(rec.Timings)
	r.Precision = found
	r.Mark(batch.Precision)
	line := fmt.Sprintf("PRECISION=%g%% ended it after %d requests: %s; the figures are of %d requests of the steady "+
		"state", 100*found.Asked, found.StoppedAfter, widths(found.HalfWidths), len(rec.Timings))
	if len(found.Drifting) > 0 {
		line += "; " + labels(found.Drifting) + " still drifted then, so that a longer run may find another figure"
	}
	return line
}

// notReached is the note on a precision that NUM_PROMPTS requests did not reach.
func (m *measured) notReached() string {
	asked := fmt.Sprintf("PRECISION=%g%% was not reached", 100*m.ends.Asked)
	switch p := m.ends.Reached(m.rec.Timings); {
	case stats.FailuresOf(m.rec.Timings).Requests() > 0:
		return ""
	case p == nil:
		return fmt.Sprintf("%s: %d requests are too few to tell", asked, len(m.rec.Timings))
	case len(p.Drifting) > 0 && p.Reached <= p.Asked:
		return asked + ": figures drifted to the end: " + labels(p.Drifting)
	default:
		return fmt.Sprintf("%s after all %d requests: %s", asked, len(m.rec.Timings), widths(p.HalfWidths))
	}
}

// widths writes how well each figure is known.
func widths(h stats.HalfWidths) string {
	return fmt.Sprintf("%s ±%.2g %%, %s ±%.2g %%, %s ±%.2g %%", label("total_token_throughput"), 100*h.Throughput,
		label("median_e2el_ms"), 100*h.E2EL, label("median_ttft_ms"), 100*h.TTFT)
}

func label(key string) string { return figures.ByKey(key).Label() }

func labels(keys []string) string {
	var out []string
	for _, key := range keys {
		out = append(out, label(key))
	}
	return strings.Join(out, ", ")
}

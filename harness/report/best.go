package report

import (
	"fmt"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
)

// Best is the cell that is best in one figure.
type Best struct {
	Key   string `json:"key"`
	Words string `json:"words"` // most tok/s/GPU
	At    string `json:"at"`    // which cell: see [Cell.At]

	value string
	mark  string
}

// best names the best cell for throughput, for one user and for latency, of
// those that did not fail. There is none where there is nothing to choose from.
func (r *Report) best() (out []Best) {
	for _, key := range []string{"tput_per_gpu", "interactivity", "median_e2el_ms"} {
		f := figures.ByKey(key)
		var at *Cell
		n := 0
		for i, c := range r.Cells {
			v := c.Figure(key)
			if v == nil || c.Status == batch.Failed {
				continue
			}
			if n++; at == nil || (*v > *at.Figure(key)) == (f.Better == figures.Higher) && *v != *at.Figure(key) {
				at = &r.Cells[i]
			}
		}
		if n < 2 {
			continue
		}
		words := "most "
		if f.Better == figures.Lower {
			words = "lowest "
		}
		b := Best{Key: key, Words: words + f.Label(), At: at.At(), value: f.Print(at.Figure(key))}
		if f.Unit != "" {
			b.value += " " + f.Unit
		}
		if at.Result.Marked(batch.ClientLimited) {
			b.mark = ", client-limited"
		}
		out = append(out, b)
	}
	return out
}

// bestLine says it in one sentence; empty where there is nothing to choose from.
func (r *Report) bestLine() string {
	var parts []string
	for _, b := range r.best() {
		parts = append(parts, fmt.Sprintf("%s: CONC %s (%s%s)", b.Words, b.At, b.value, b.mark))
	}
	if parts == nil {
		return ""
	}
	line := strings.Join(parts, "; ") + "."
	return strings.ToUpper(line[:1]) + line[1:]
}

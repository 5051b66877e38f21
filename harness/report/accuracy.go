package report

import (
	"encoding/json"
	"slices"
	"strconv"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
)

// Accuracy is the accuracy verdict of one or more cells.
type Accuracy struct {
	Cells    []string // CONC values that share it
	Status   string
	Reason   string
	Baseline string
	Metrics  []Metric
}

// Metric is one figure of accuracy with the limits it was held to, nil where
// there were none.
type Metric struct {
	Name                   string
	Value                  float64
	Baseline, Lower, Upper *float64
	OK                     *bool
}

// accuracy adds a cell's verdict. The types that write these sections belong
// to another package; of them only the keys of the result file's contract are
// read here, and what is missing is left out.
func (r *Report) accuracy(cell matrix.Cell, res *batch.Result) {
	var figures map[string]any
	_ = json.Unmarshal(res.Accuracy, &figures)
	var verdict struct {
		Status, Reason string
		Baseline       any
		Limits         map[string]struct {
			Value, Baseline, Lower, Upper *float64
			OK                            *bool
		}
	}
	_ = json.Unmarshal(res.Validation, &verdict)
	if figures == nil && (verdict.Status == "" || verdict.Status == "NOT_RUN") {
		return
	}
	a := Accuracy{Cells: []string{strconv.Itoa(cell.Conc)}, Status: verdict.Status, Reason: verdict.Reason}
	a.Baseline, _ = verdict.Baseline.(string)
	for _, m := range []struct{ figure, limit string }{
		{"bits_per_byte", "bits_per_byte"}, {"byte_perplexity", "byte_perplexity"}, {"word_perplexity", "word_perplexity"},
		{"exact_match_strict", "exact_match,strict-match"}, {"exact_match_flexible", "exact_match,flexible-extract"},
	} {
		v, ok := figures[m.figure].(float64)
		if !ok {
			continue
		}
		l := verdict.Limits[m.limit]
		a.Metrics = append(a.Metrics, Metric{m.figure, v, l.Baseline, l.Lower, l.Upper, l.OK})
	}
	same := func(o Accuracy) bool {
		return o.Status == a.Status && o.Reason == a.Reason && slices.EqualFunc(o.Metrics, a.Metrics, func(x, y Metric) bool { return x.Value == y.Value })
	}
	if i := slices.IndexFunc(r.Accuracy, same); i >= 0 {
		r.Accuracy[i].Cells = append(r.Accuracy[i].Cells, a.Cells...)
		return
	}
	r.Accuracy = append(r.Accuracy, a)
}

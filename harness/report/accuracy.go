package report

import (
	"encoding/json"
	"slices"
	"strconv"

	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/matrix"
)

// Accuracy is the accuracy verdict of one or more cells.
type Accuracy struct {
	Cells    []string // CONC values that share it
	Status   string
	Reason   string
	ScoredAt int // the CONC whose score they stand on, where it is not their own
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

// accuracy adds a cell's verdict. A section that cannot be read has no figures
// here: a report is made of whatever there is.
func (r *Report) accuracy(cell matrix.Cell, res *batch.Result) {
	var measured accuracy.Result
	var figures []accuracy.Figure
	if json.Unmarshal(res.Accuracy, &measured) == nil {
		figures = measured.Figures()
	}
	var verdict struct {
		Status, Reason string
		Warnings       []string
		ScoredAt       int `json:"scored_at"`
		Baseline       any
		Limits         map[string]struct {
			Value, Baseline, Lower, Upper *float64
			OK                            *bool
		}
	}
	_ = json.Unmarshal(res.Validation, &verdict)
	if figures == nil && verdict.Reason == "" {
		return
	}
	a := Accuracy{Cells: []string{strconv.Itoa(cell.Conc)}, Status: verdict.Status, Reason: verdict.Reason}
	if verdict.ScoredAt != cell.Conc {
		a.ScoredAt = verdict.ScoredAt
	}
	a.Baseline, _ = verdict.Baseline.(string)
	for _, w := range verdict.Warnings {
		if !slices.Contains(r.doubts, w) {
			r.doubts = append(r.doubts, w)
		}
	}
	for _, f := range figures {
		l := verdict.Limits[f.Limit]
		a.Metrics = append(a.Metrics, Metric{f.Name, f.Value, l.Baseline, l.Lower, l.Upper, l.OK})
	}
	same := func(o Accuracy) bool {
		return o.Status == a.Status && o.ScoredAt == a.ScoredAt && o.Reason == a.Reason &&
			slices.EqualFunc(o.Metrics, a.Metrics, func(x, y Metric) bool { return x.Value == y.Value })
	}
	if i := slices.IndexFunc(r.Accuracy, same); i >= 0 {
		r.Accuracy[i].Cells = append(r.Accuracy[i].Cells, a.Cells...)
		return
	}
	r.Accuracy = append(r.Accuracy, a)
}

package accuracy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"inferbench/baselines"
)

// Status is the outcome of judging a result.
type Status string

const (
	Passed   Status = "PASSED"
	Failed   Status = "FAILED"
	NotRun   Status = "NOT_RUN"  // it could not be measured, or there was nothing to judge by
	Recorded Status = "RECORDED" // a decode audit that was measured, with no floor to judge it by
)

// Limit is one metric beside its baseline and the limits that follow from the
// tolerance.
type Limit struct {
	Value    float64  `json:"value"`
	Baseline float64  `json:"baseline"`
	Lower    *float64 `json:"lower,omitempty"` // these and OK are absent where the metric is recorded, not judged
	Upper    *float64 `json:"upper,omitempty"`
	StdErr   float64  `json:"stderr,omitempty"` // over documents; absent for a single one
	OK       *bool    `json:"ok,omitempty"`
	Note     string   `json:"note,omitempty"` // why it is not judged
}

// Verdict is what the gate says of a result, and why.
type Verdict struct {
	Status    Status           `json:"status"`
	Reason    string           `json:"reason"`              // in words, on one line
	ScoredAt  int              `json:"scored_at,omitempty"` // the CONC whose score the cell stands on
	Baseline  string           `json:"baseline,omitempty"`
	Tolerance float64          `json:"tolerance,omitempty"` // relative, to both sides; of a share how far it may fall short
	Limits    map[string]Limit `json:"limits,omitempty"`    // by metric
	Warnings  []string         `json:"warnings,omitempty"`  // what makes the verdict doubtful, and what to do

	*GSM8KGate // of gsm8k; nil for any other task
}

// ErrOtherBaseline: the baseline was measured on something else than the
// result, so that laying them side by side would mean nothing.
var ErrOtherBaseline = errors.New("the baseline is not for what was measured")

// Comparable reports whether b was measured on the task, the text and the
// conditions of r; the error wraps [ErrOtherBaseline] and says what differs.
func Comparable(r *Result, b *baselines.Accuracy) error {
	diffs := r.Measured.Differs(r, b)
	if diffs == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %s", ErrOtherBaseline, b.Name, strings.Join(diffs, "; "))
}

// otherText says in what a baseline's task and text are not the result's.
func otherText(r *Result, b *baselines.Accuracy) (diffs []string) {
	if b.Task != r.Task {
		diffs = append(diffs, fmt.Sprintf("its task is %s, the run's is %s", b.Task, r.Task))
	}
	if b.CorpusSHA256 == "" && b.Corpus != r.Text.Name {
		diffs = append(diffs, fmt.Sprintf("its text is %s, the run's is %s", b.Corpus, r.Text.Name))
	}
	if b.CorpusSHA256 != "" && b.CorpusSHA256 != r.Text.SHA256 {
		diffs = append(diffs, fmt.Sprintf("its text is %s (SHA-256 %.8s…), the run's is %s (%.8s…)", b.Corpus,
			b.CorpusSHA256, r.Text.Name, r.Text.SHA256))
	}
	return diffs
}

// Baseline finds what to judge a model's result by. A name, or the path of a
// .json file, is taken at its word, and an error where it is for something
// else. With an empty name it is the shipped baseline of the model for what was
// measured, and nil, without an error, where there is none.
func Baseline(name, model string, r *Result) (*baselines.Accuracy, error) {
	if name != "" {
		b, err := baselines.LoadAccuracy(name)
		if err != nil {
			return nil, err
		}
		return b, Comparable(r, b)
	}
	all, err := baselines.AccuracyFor(model)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if Comparable(r, b) == nil {
			return b, nil
		}
	}
	return nil, nil
}

// Judge lays a result beside a baseline, as its task has it. A tolerance of 0
// means the baseline's own. Without a baseline the verdict is not PASSED; with
// one for something else it is FAILED and holds no comparison.
func Judge(r *Result, b *baselines.Accuracy, tolerance float64) Verdict {
	task, err := Lookup(r.Task)
	if err != nil {
		return Verdict{Status: Failed, Reason: err.Error()}
	}
	return task.Judge(r, b, tolerance)
}

// unjudged is the verdict where there is nothing to judge by: no baseline, or
// one for something else. It reports whether that is so. With says what the
// figures depend on besides the text.
func unjudged(r *Result, b *baselines.Accuracy, with string) (Verdict, bool) {
	if b == nil {
		return Verdict{Status: NotRun, Reason: fmt.Sprintf("no accuracy baseline for this model on %s (SHA-256 "+
			"%.8s…) with %s: the figures are recorded, not judged", r.Text.Name, r.Text.SHA256, with)}, true
	}
	if err := Comparable(r, b); err != nil {
		return Verdict{Status: Failed, Baseline: b.Name, Reason: err.Error()}, true
	}
	return Verdict{}, false
}

// Share is the part of the answers that are right, by one way of reading them.
type Share struct {
	Figure
	StdErr float64 // over questions
}

// judgeShare is the rule of tasks that count right answers: each share that the
// baseline is of must be at least the baseline's less the tolerance. More is not
// wrong.
func judgeShare(r *Result, shares []Share, b *baselines.Accuracy, tolerance float64) Verdict {
	if tolerance == 0 {
		tolerance = b.Tolerance
	}
	floor, most := b.ExactMatch-tolerance, 1.0
	v := Verdict{Status: Passed, Baseline: b.Name, Tolerance: tolerance, Limits: map[string]Limit{}}
	var words []string
	for _, s := range shares {
		filter := strings.TrimPrefix(s.Limit, shareLimit(""))
		if !slices.Contains(filters(b), filter) {
			continue
		}
		ok := s.Value >= floor
		v.Limits[s.Limit] = Limit{Value: s.Value, Baseline: b.ExactMatch, Lower: &floor, Upper: &most,
			StdErr: s.StdErr, OK: &ok}
		words = append(words, fmt.Sprintf("exact_match (%s) %.4f", filter, s.Value))
		if !ok {
			v.Status = Failed
		}
		if math.Abs(s.Value-floor) < 2*s.StdErr && v.Warnings == nil {
			v.Warnings = []string{fmt.Sprintf("the verdict on %s is a close one: exact_match lies within two "+
				"standard errors over questions of the floor, so that other questions might have given another "+
				"verdict; ask more questions, or run it again before you quote it", r.Text.Name)}
		}
	}
	v.Reason = fmt.Sprintf("%s, at least %.4f is asked for by %s", strings.Join(words, " and "), floor, b.Name)
	return v
}

// filters lists the shares that a baseline's exact_match is asked of.
func filters(b *baselines.Accuracy) []string { return strings.Split(b.Filter, ",") }

// shareLimit is a share's key among the limits: lm-evaluation-harness's name of
// the metric with that of the filter.
func shareLimit(filter string) string { return "exact_match," + filter }

// otherShare says that a baseline is of a share that was not measured.
func otherShare(shares []Share, b *baselines.Accuracy) (diffs []string) {
	var have []string
	for _, s := range shares {
		have = append(have, strings.TrimPrefix(s.Limit, shareLimit("")))
	}
	for _, f := range filters(b) {
		if !slices.Contains(have, f) {
			diffs = append(diffs, fmt.Sprintf("its filter is %q, the run has %s", f, strings.Join(have, " and ")))
		}
	}
	return diffs
}

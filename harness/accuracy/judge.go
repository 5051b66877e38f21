package accuracy

import (
	"errors"
	"fmt"
	"math"
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
	Value    float64 `json:"value"`
	Baseline float64 `json:"baseline"`
	Lower    float64 `json:"lower"`
	Upper    float64 `json:"upper"`
	StdErr   float64 `json:"stderr,omitempty"` // over documents; absent for a single one
	OK       bool    `json:"ok"`
}

// Verdict is what the gate says of a result, and why.
type Verdict struct {
	Status    Status           `json:"status"`
	Reason    string           `json:"reason"` // in words, on one line
	Baseline  string           `json:"baseline,omitempty"`
	Tolerance float64          `json:"tolerance,omitempty"` // relative, to both sides; of gsm8k how far the share may fall short
	Limits    map[string]Limit `json:"limits,omitempty"`    // by metric
	Warnings  []string         `json:"warnings,omitempty"`
}

// ErrOtherBaseline: the baseline was measured on something else than the
// result, so that laying them side by side would mean nothing.
var ErrOtherBaseline = errors.New("the baseline is not for what was measured")

// Comparable reports whether b was measured on the task, the text and the
// window of r; the error wraps [ErrOtherBaseline] and says what differs.
func Comparable(r *Result, b *baselines.Accuracy) error {
	var diffs []string
	if b.Task != r.Task {
		diffs = append(diffs, fmt.Sprintf("its task is %s, the run's is %s", b.Task, r.Task))
	}
	if b.CorpusSHA256 != r.Text.SHA256 {
		diffs = append(diffs, fmt.Sprintf("its text is %s (SHA-256 %.8s…), the run's is %s (%.8s…)", b.Corpus, b.CorpusSHA256, r.Text.Name, r.Text.SHA256))
	}
	if b.Task == TaskGSM8K && r.ExactMatch != nil && b.Shots != r.Shots {
		diffs = append(diffs, fmt.Sprintf("it has %d worked examples a question, the run has %d (ACC_SHOTS)", b.Shots, r.Shots))
	}
	if r.ExactMatch != nil && b.ExamplesSHA256 != "" && b.ExamplesSHA256 != r.Examples.SHA256 {
		diffs = append(diffs, fmt.Sprintf("its examples are drawn from SHA-256 %.8s…, the run's from %s (%.8s…)", b.ExamplesSHA256, r.Examples.Name, r.Examples.SHA256))
	}
	if b.Task == TaskWikitext && b.MaxLength != r.MaxLength {
		diffs = append(diffs, fmt.Sprintf("its max_length is %d, the run's is %d (ACC_MAX_LENGTH)", b.MaxLength, r.MaxLength))
	}
	if diffs == nil {
		return nil
	}
	return fmt.Errorf("%w: %s: %s", ErrOtherBaseline, b.Name, strings.Join(diffs, "; "))
}

// Baseline finds what to judge a model's result by. A name, or the path of a
// .json file, is taken at its word, and an error where it is for another text
// or window. With an empty name it is the shipped baseline of the model for
// what was measured, and nil, without an error, where there is none.
func Baseline(name, model string, r *Result) (*baselines.Accuracy, error) {
	if name != "" {
		b, err := baselines.LoadAccuracy(name)
		if err != nil {
			return nil, err
		}
		return b, Comparable(r, b)
	}
	all, err := baselines.AccuracyFor(model, r.Task)
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

// Judge lays a result beside a baseline: each metric must lie within ±tolerance
// of the baseline's. Far below is as wrong as far above, since then either the
// measurement or the model is not what it claims to be. A tolerance of 0 means
// the baseline's own. Without a baseline the verdict is NOT_RUN; with one for
// another task, text or window it is FAILED and holds no comparison.
func Judge(r *Result, b *baselines.Accuracy, tolerance float64) Verdict {
	if b == nil {
		with := fmt.Sprintf("max_length %d", r.MaxLength)
		if r.ExactMatch != nil {
			with = fmt.Sprintf("%d worked examples", r.Shots)
		}
		return Verdict{Status: NotRun, Reason: fmt.Sprintf("no accuracy baseline for this model on %s (SHA-256 %.8s…) with %s: the figures are recorded, not judged", r.Text.Name, r.Text.SHA256, with)}
	}
	if err := Comparable(r, b); err != nil {
		return Verdict{Status: Failed, Baseline: b.Name, Reason: err.Error()}
	}
	if tolerance == 0 {
		tolerance = b.Tolerance
	}
	if r.Task == TaskGSM8K {
		return judgeFloor(r.ExactMatch, b, tolerance)
	}
	v := Verdict{Status: Passed, Baseline: b.Name, Tolerance: tolerance, Limits: map[string]Limit{}}
	var se StdErr
	if r.StdErr != nil {
		se = *r.StdErr
	}
	var outside, doubtful []string
	for _, m := range []struct {
		name                   string
		value, baseline, error float64
	}{
		{"bits_per_byte", r.BitsPerByte, b.BitsPerByte, se.BitsPerByte},
		{"byte_perplexity", r.BytePerplexity, b.BytePerplexity, se.BytePerplexity},
		{"word_perplexity", r.WordPerplexity, b.WordPerplexity, se.WordPerplexity},
	} {
		l := Limit{Value: m.value, Baseline: m.baseline, StdErr: m.error, Lower: m.baseline * (1 - tolerance), Upper: m.baseline * (1 + tolerance)}
		l.OK = m.value >= l.Lower && m.value <= l.Upper
		v.Limits[m.name] = l
		off := m.value/m.baseline - 1
		switch {
		case l.OK:
		case off > 0:
			outside = append(outside, fmt.Sprintf("%s %.4f is %.1f %% above the baseline %.4f (upper limit %.4f)", m.name, m.value, 100*off, m.baseline, l.Upper))
		default:
			outside = append(outside, fmt.Sprintf("%s %.4f is %.1f %% below the baseline %.4f (lower limit %.4f): the measurement or the model is not what it claims", m.name, m.value, -100*off, m.baseline, l.Lower))
		}
		if tolerance*m.baseline < 2*m.error {
			doubtful = append(doubtful, fmt.Sprintf("%.1f %% of %s", 200*m.error/m.baseline, m.name))
		}
	}
	within := fmt.Sprintf("±%g %%", math.Round(tolerance*1e4)/100)
	v.Reason = fmt.Sprintf("all three metrics within %s of %s", within, b.Name)
	if outside != nil {
		v.Status, v.Reason = Failed, strings.Join(outside, "; ")
	}
	if doubtful != nil {
		v.warn(fmt.Sprintf("the tolerance of %s is smaller than two standard errors over documents: %s", within, strings.Join(doubtful, ", ")))
	}
	return v
}

// warn adds what makes the verdict doubtful, to the reason as well, since that
// is what people are shown.
func (v *Verdict) warn(w string) {
	v.Warnings = append(v.Warnings, w)
	v.Reason += "; " + w
}

// judgeFloor is gsm8k's rule: the share of right answers must be at least the
// baseline's less the tolerance. More is not wrong.
func judgeFloor(m *ExactMatch, b *baselines.Accuracy, tolerance float64) Verdict {
	value, stderr := m.Strict, m.StrictStdErr
	if b.Filter == FilterFlexible {
		value, stderr = m.Flexible, m.FlexibleStdErr
	}
	floor := b.ExactMatch - tolerance
	v := Verdict{Status: Passed, Baseline: b.Name, Tolerance: tolerance,
		Limits: map[string]Limit{"exact_match," + b.Filter: {Value: value, Baseline: b.ExactMatch, Lower: floor, Upper: 1, StdErr: stderr, OK: value >= floor}}}
	v.Reason = fmt.Sprintf("exact_match (%s) %.4f, at least %.4f is asked for by %s", b.Filter, value, floor, b.Name)
	if !(value >= floor) {
		v.Status = Failed
	}
	if tolerance < 2*stderr {
		v.warn(fmt.Sprintf("the tolerance of %.4f is smaller than two standard errors over questions: %.4f", tolerance, 2*stderr))
	}
	return v
}

// The two extractions of gsm8k, by lm-evaluation-harness's names, as a baseline
// names the one it is of.
const (
	FilterStrict   = "strict-match"
	FilterFlexible = "flexible-extract"
)

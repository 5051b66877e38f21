// Package rules says whether the result of a cell may be submitted. The client
// asks before it sends anything and the board asks when something arrives, so
// that both give the same answer in the same words.
//
// A rule is kept, or broken, or it marks the result. A broken rule means that
// the file contradicts itself or did not pass: no board takes it. A mark means
// that the figures are true but not comparable with those of others (another
// workload, the embedded engine): a public board takes none of these, a board
// of one's own shows them apart.
//
// The rules read the file alone. Keys that a file does not have, because the
// suite that wrote it knew no such feature, are no offence.
package rules

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"inferbench/baselines"
	"inferbench/harness/matrix"
)

// The marks that a result can carry.
const (
	ClientLimited       = "client_limited"       // the client, not the server, was the limit
	HeldBack            = "held_back"            // something between the client and the server held tokens back
	WarmCache           = "warm_cache"           // prompts came from the server's prefix cache
	SyntheticAcceptance = "synthetic_acceptance" // speculation was accepted at a fixed length: the text is not the model's
	Precision           = "precision"            // the run ended early, when its figures were precise enough
	AccuracyNotRun      = "accuracy_not_run"     // nothing says that the model was right
	Embedded            = "embedded"             // measured on the suite's own engine
	Workload            = "workload"             // lengths, prompts or range ratio are not the competition's
)

// Marks lists the marks in the order in which they are shown.
var Marks = []string{Embedded, Workload, ClientLimited, HeldBack, WarmCache, SyntheticAcceptance, Precision,
	AccuracyNotRun}

// Claim is what a submission says of itself beside the result file. Zero values
// are not compared.
type Claim struct {
	ISL, OSL, Conc                              int
	E2EMs                                       float64 // median
	TputPerGPU                                  float64 // input and output tokens, tok/s
	Interactivity                               float64 // tok/s/user
	BitsPerByte, BytePerplexity, WordPerplexity float64
	GSM8K                                       *float64 // share of right answers; nil: not of that task
}

// figure is a submitted figure and the path of the key that has to agree.
type figure struct {
	name  string
	value float64
	key   []string
}

func (c Claim) figures() []figure {
	var out []figure
	for _, f := range []figure{
		{"e2e_ms", c.E2EMs, []string{"median_e2el_ms"}}, {"tput_per_gpu", c.TputPerGPU, []string{"tput_per_gpu"}},
		{"interactivity", c.Interactivity, []string{"interactivity"}},
		{"bits_per_byte", c.BitsPerByte, []string{"accuracy", "bits_per_byte"}},
		{"byte_perplexity", c.BytePerplexity, []string{"accuracy", "byte_perplexity"}},
		{"word_perplexity", c.WordPerplexity, []string{"accuracy", "word_perplexity"}},
	} {
		if f.value != 0 {
			out = append(out, f)
		}
	}
	if c.GSM8K != nil {
		out = append(out, figure{"gsm8k_metric", *c.GSM8K, []string{"accuracy", "gsm8k_metric"}})
	}
	return out
}

// Line is what one rule says.
type Line struct {
	Rule string `json:"rule"` // what it is about: "lengths", "accuracy"
	Why  string `json:"why"`  // why it is broken or marks; else what was found, may be empty
	Mark string `json:"mark,omitempty"`
	OK   bool   `json:"legal"`
}

// String is the line as it is printed: "lengths: not legal: why".
func (l Line) String() string {
	s := l.Rule + ": legal"
	if !l.OK {
		s = l.Rule + ": not legal"
	}
	if l.Why != "" {
		s += ": " + l.Why
	}
	return s
}

// Report is what all rules say of one result, in a fixed order.
type Report []Line

// Err is nil where a public board may take the result; else one line with every
// reason.
func (r Report) Err() error { return r.collect(func(Line) bool { return true }) }

// Broken is nil where a board of one's own may take the result, marked or not;
// else one line with every rule that is broken.
func (r Report) Broken() error { return r.collect(func(l Line) bool { return l.Mark == "" }) }

func (r Report) collect(counts func(Line) bool) error {
	var why []string
	for _, l := range r {
		if !l.OK && counts(l) {
			why = append(why, l.Rule+": "+l.Why)
		}
	}
	if why == nil {
		return nil
	}
	return errors.New(strings.Join(why, "; "))
}

// Marks lists the result's marks, in the order of [Marks].
func (r Report) Marks() []string {
	out := []string{}
	for _, m := range Marks {
		if slices.ContainsFunc(r, func(l Line) bool { return l.Mark == m }) {
			out = append(out, m)
		}
	}
	for _, l := range r { // marks that a later suite knows
		if l.Mark != "" && !slices.Contains(Marks, l.Mark) {
			out = append(out, strings.Fields(l.Mark)...)
		}
	}
	return out
}

// Result is what a board shows of a result file that it took.
type Result struct {
	Report
	Marks         []string
	Interactivity *float64 // tok/s/user; nil where the file has no TPOT
	Model, Engine string
	Task          string // the accuracy task: wikitext, gsm8k; "" where none ran
	RangeRatio    *float64
	GPUs          *int
	Prompts       *int
	// Unlike says in what the workload differs from the hardware baseline's:
	// empty where the two did the same work.
	Unlike []string
	// Run tells one run from every other: two files of one run have the same,
	// however they were edited around its figures.
	Run string
}

// Check holds a result file to the rules. hardware is the baseline that the
// competition is about, nil for none; now is the moment of the check.
// An error means that the file cannot be read at all.
func Check(result []byte, c Claim, hardware *baselines.Hardware, now time.Time) (*Result, error) {
	f, err := parse(result)
	if err != nil {
		return nil, err
	}
	k := &checker{file: f, claim: c, hardware: hardware, now: now, perf: readPerformance(f), args: readArgs(f),
		models: modelNames(f)}
	k.same = hardware != nil && hardware.IsModel(k.models...)
	if n := int(k.perf.successful); k.args.prompts == nil && n > 0 {
		k.args.prompts = &n // a file that does not say how many were asked for
	}
	var report Report
	for _, rule := range table {
		l := Line{Rule: rule.name, OK: true}
		if why := rule.broken(k); why != "" {
			l.OK, l.Why = false, why
		} else if rule.marks != nil {
			if l.Mark, l.Why = rule.marks(k); l.Mark != "" {
				l.OK = false
			}
		}
		report = append(report, l)
	}
	// Last, since the rules above have read everything by now.
	values := Line{Rule: "values", OK: f.bad == ""}
	if !values.OK {
		values.Why = f.bad + ": figures are numbers from 0 to 1e12, counts are whole"
	}
	report = append(Report{values}, report...)
	return k.result(report), nil
}

// offRule says in what a cell's workload is not the competition's: its lengths,
// the prompts of [matrix.NumPrompts], random and of full length, each sent as
// soon as one ends.
func offRule(a arguments) []string {
	var out []string
	if combo := (matrix.Combination{ISL: a.isl, OSL: a.osl}); !combo.IsStandard() {
		out = append(out, fmt.Sprintf("%d in, %d out is none of the competition's lengths", a.isl, a.osl))
	}
	if r := a.ratio; r != nil && *r != 1 {
		out = append(out, fmt.Sprintf("RANDOM_RANGE_RATIO is %g, the rule's is 1", *r))
	}
	return append(out, a.unlike()...)
}

// unlike says in what a workload is unlike both the competition's and a hardware
// baseline's.
func (a arguments) unlike() []string {
	var out []string
	if a.dataset != "" && a.dataset != "random" {
		out = append(out, fmt.Sprintf("the prompts are of %q, the rule's are random", clip(a.dataset)))
	}
	if want := matrix.NumPrompts(a.osl, a.conc); a.prompts != nil && *a.prompts != want {
		out = append(out, fmt.Sprintf("NUM_PROMPTS is %d, the rule's is %d", *a.prompts, want))
	}
	if a.rate != "" && a.rate != "inf" {
		out = append(out, "requests came at a rate of "+clip(a.rate)+"/s, the rule's each come as soon as one ends")
	}
	return out
}

// clip bounds a text of the file's that is shown.
func clip(s string) string {
	if r := []rune(s); len(r) > 100 {
		return string(r[:100]) + "…"
	}
	return s
}

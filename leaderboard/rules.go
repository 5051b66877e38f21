package leaderboard

import (
	"fmt"
	"math"
	"time"

	"inferbench/baselines"
	"inferbench/harness/rules"
)

// Entry is a submission as it arrives. E2EMs is the median end-to-end latency,
// TputPerGPU counts input and output tokens a second and GPU. Accuracy is the
// three metrics of wikitext, or GSM8K, or both. Result is the text of the
// cell's result file, empty where only the figures came.
type Entry struct {
	Team           string   `json:"team"`
	ISL            int      `json:"isl"`
	OSL            int      `json:"osl"`
	Conc           int      `json:"conc"`
	E2EMs          float64  `json:"e2e_ms"`
	TputPerGPU     float64  `json:"tput_per_gpu"`
	Interactivity  *float64 `json:"interactivity,omitempty"` // tok/s/user; with a result file, the file's counts
	BitsPerByte    float64  `json:"bits_per_byte,omitempty"`
	BytePerplexity float64  `json:"byte_perplexity,omitempty"`
	WordPerplexity float64  `json:"word_perplexity,omitempty"`
	GSM8K          *float64 `json:"gsm8k_metric,omitempty"` // share of right answers, 0 to 1
	Result         string   `json:"result,omitempty"`
}

// RuleError is a submission that breaks a rule; its text is for the submitter.
type RuleError struct{ Reason string }

func (e *RuleError) Error() string { return e.Reason }

func breaks(format string, args ...any) error {
	return &RuleError{Reason: fmt.Sprintf(format, args...)}
}

// Bounds of what a submission may say. They are far outside what any server
// does, and keep nonsense and overflow out.
const (
	maxTeam   = 64 // characters
	maxTokens = 10_000_000
	maxConc   = 1_000_000
	maxFigure = 1e12
	maxResult = 512 << 10 // bytes
)

// The standings that a submission can be in. The first are those that the
// competition is about; the others stand apart from it and from each other.
const (
	compared      = ""          // the baseline's workload, nothing against it
	otherWorkload = "workload"  // lengths, prompts or GPUs that are not the baseline's
	marked        = "marked"    // client_limited, synthetic_acceptance, precision, accuracy_not_run
	unchecked     = "unchecked" // figures alone: no result file says what was measured
	embedded      = "embedded"  // the suite's own engine
)

// details is what a result file adds to the figures, and what the rules say.
type details struct {
	apart         string // the standings
	marks         []string
	unlike        []string // in what the workload is not the baseline's
	interactivity *float64 // tok/s/user
	model, engine string
	task          string
	rangeRatio    *float64
	gpus, prompts *int
	run           string // names the run; "" without a result file
}

// check holds an entry to the rules: every figure finite, positive and
// plausible, the accuracy metrics agreeing with each other, and all of it
// agreeing with the result file, which has to agree with itself.
func check(e Entry, hardware *baselines.Hardware) (details, error) {
	if err := e.checkFigures(); err != nil {
		return details{}, err
	}
	if e.Result == "" {
		d := details{apart: unchecked, interactivity: e.Interactivity, task: "wikitext"}
		if e.GSM8K != nil {
			d.task = "gsm8k"
		}
		return d, nil
	}
	if len(e.Result) > maxResult {
		return details{}, breaks("the result file has %d bytes: at most %d", len(e.Result), maxResult)
	}
	r, err := rules.Check([]byte(e.Result), e.claim(), hardware, time.Now())
	if err == nil {
		err = r.Broken()
	}
	if err != nil {
		return details{}, &RuleError{Reason: err.Error()}
	}
	d := details{marks: r.Marks, unlike: r.Unlike, interactivity: r.Interactivity, model: r.Model, engine: r.Engine,
		task: r.Task, rangeRatio: r.RangeRatio, gpus: r.GPUs, prompts: r.Prompts, run: r.Run}
	d.apart = standingsOf(r.Marks, r.Unlike)
	return d, nil
}

// standingsOf says which standings a submission is in.
func standingsOf(marks, unlike []string) string {
	apart := compared
	if len(unlike) > 0 {
		apart = otherWorkload
	}
	for _, m := range marks {
		switch m {
		case rules.Embedded:
			return embedded
		case rules.Workload: // judged by what it is unlike
		default:
			apart = marked
		}
	}
	return apart
}

// claim is what the result file has to agree with.
func (e Entry) claim() rules.Claim {
	c := rules.Claim{ISL: e.ISL, OSL: e.OSL, Conc: e.Conc, E2EMs: e.E2EMs, TputPerGPU: e.TputPerGPU,
		BitsPerByte: e.BitsPerByte, BytePerplexity: e.BytePerplexity, WordPerplexity: e.WordPerplexity, GSM8K: e.GSM8K}
	if e.Interactivity != nil {
		c.Interactivity = *e.Interactivity
	}
	return c
}

func (e Entry) checkFigures() error {
	switch {
	case e.ISL < 1 || e.OSL < 1 || e.ISL > maxTokens || e.OSL > maxTokens:
		return breaks("isl and osl must be whole numbers from 1 to %d", maxTokens)
	case e.Conc < 1 || e.Conc > maxConc:
		return breaks("conc must be a whole number from 1 to %d", maxConc)
	}
	type figure struct {
		name  string
		value float64
	}
	figures := []figure{{"e2e_ms", e.E2EMs}, {"tput_per_gpu", e.TputPerGPU}}
	wikitext := e.BitsPerByte != 0 || e.BytePerplexity != 0 || e.WordPerplexity != 0
	if wikitext || e.GSM8K == nil {
		figures = append(figures, figure{"bits_per_byte", e.BitsPerByte}, figure{"byte_perplexity", e.BytePerplexity},
			figure{"word_perplexity", e.WordPerplexity})
	}
	if e.Interactivity != nil {
		figures = append(figures, figure{"interactivity", *e.Interactivity})
	}
	for _, f := range figures {
		if !(f.value > 0 && f.value < maxFigure) {
			return breaks("%s is %g: want a finite number above 0", f.name, f.value)
		}
	}
	if e.GSM8K != nil && !(*e.GSM8K >= 0 && *e.GSM8K <= 1) {
		return breaks("gsm8k_metric is %g: want a share from 0 to 1", *e.GSM8K)
	}
	if wikitext {
		// Both are one log-likelihood over the same bytes.
		if want := math.Exp2(e.BitsPerByte); math.Abs(e.BytePerplexity/want-1) > 1e-3 {
			return breaks("bits_per_byte %g and byte_perplexity %g contradict each other: 2^bits_per_byte is %.4f",
				e.BitsPerByte, e.BytePerplexity, want)
		}
		// A word is at least a byte, so the same log-likelihood over fewer words.
		if e.WordPerplexity < e.BytePerplexity*(1-1e-6) {
			return breaks("word_perplexity %g is below byte_perplexity %g, which no text allows", e.WordPerplexity,
				e.BytePerplexity)
		}
	}
	return e.littlesLaw()
}

// littlesLaw asks whether throughput × time can be the tokens in flight:
// CONC requests of at most ISL+OSL tokens every E2E on N GPUs give
// N = CONC·(ISL+OSL)/(E2E·throughput/GPU), the number of GPUs that the figures
// imply (Little, 1961). Less than one GPU is more tokens than were asked for;
// the bounds leave room for a median that is not the mean.
func (e Entry) littlesLaw() error {
	gpus := float64(e.Conc) * float64(e.ISL+e.OSL) / (e.E2EMs / 1000 * e.TputPerGPU)
	switch {
	case gpus < 0.5:
		return breaks("implausible: %g tok/s/GPU for %g ms are more tokens than CONC %d requests of %d tokens "+
			"have, even on one GPU", e.TputPerGPU, e.E2EMs, e.Conc, e.ISL+e.OSL)
	case gpus > 4096:
		return breaks("implausible: %g tok/s/GPU at %g ms would take %.0f GPUs for CONC %d requests of %d tokens "+
			"(e2e_ms is in milliseconds, throughput in tokens a second and GPU)",
			e.TputPerGPU, e.E2EMs, gpus, e.Conc, e.ISL+e.OSL)
	case e.Interactivity != nil && 20*float64(e.OSL)*1000 / *e.Interactivity < e.E2EMs:
		return breaks("implausible: %d tokens at %g tok/s/user take far less than %g ms", e.OSL, *e.Interactivity, e.E2EMs)
	}
	return nil
}

// clip bounds a text that is kept or shown.
func clip(s string) string {
	if r := []rune(s); len(r) > 500 {
		return string(r[:500]) + "…"
	}
	return s
}

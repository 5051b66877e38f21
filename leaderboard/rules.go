package leaderboard

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"
)

// Entry is a submission as it arrives. E2EMs is the median end-to-end latency,
// TputPerGPU counts input and output tokens a second and GPU. Result is the
// text of the cell's result file, empty where only the figures came.
type Entry struct {
	Team           string  `json:"team"`
	ISL            int     `json:"isl"`
	OSL            int     `json:"osl"`
	Conc           int     `json:"conc"`
	E2EMs          float64 `json:"e2e_ms"`
	TputPerGPU     float64 `json:"tput_per_gpu"`
	BitsPerByte    float64 `json:"bits_per_byte"`
	BytePerplexity float64 `json:"byte_perplexity"`
	WordPerplexity float64 `json:"word_perplexity"`
	Result         string  `json:"result,omitempty"`
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

// nameOf checks a team's name and gives it as it is shown and as it is
// compared: RFC 8266, so without regard to case, width or double spaces, and
// without control characters.
func nameOf(team string) (shown, key string, err error) {
	shown, err = precis.Nickname.String(team)
	if err == nil {
		key, err = precis.Nickname.CompareKey(team)
	}
	if err != nil || strings.Trim(shown, ".") == "" || utf8.RuneCountInString(shown) > maxTeam {
		return "", "", breaks("the team name must be 1 to %d characters on one line, without control characters, and more than dots", maxTeam)
	}
	return shown, key, nil
}

// details is what a result file adds to the figures.
type details struct {
	interactivity *float64 // tok/s/user
	model, engine string
	rangeRatio    *float64
	gpus          *int
	clientLimited bool
}

// check holds an entry to the rules: every figure finite, positive and
// plausible, the three accuracy metrics agreeing with each other, and all of it
// agreeing with the result file where there is one.
func check(e Entry) (details, error) {
	switch {
	case e.ISL < 1 || e.OSL < 1 || e.ISL > maxTokens || e.OSL > maxTokens:
		return details{}, breaks("isl and osl must be whole numbers from 1 to %d", maxTokens)
	case e.Conc < 1 || e.Conc > maxConc:
		return details{}, breaks("conc must be a whole number from 1 to %d", maxConc)
	}
	for _, v := range []struct {
		name  string
		value float64
	}{
		{"e2e_ms", e.E2EMs}, {"tput_per_gpu", e.TputPerGPU}, {"bits_per_byte", e.BitsPerByte},
		{"byte_perplexity", e.BytePerplexity}, {"word_perplexity", e.WordPerplexity},
	} {
		if !(v.value > 0 && v.value < maxFigure) {
			return details{}, breaks("%s is %g: want a finite number above 0", v.name, v.value)
		}
	}
	// Both are one log-likelihood over the same bytes.
	if want := math.Exp2(e.BitsPerByte); math.Abs(e.BytePerplexity/want-1) > 1e-3 {
		return details{}, breaks("bits_per_byte %g and byte_perplexity %g contradict each other: 2^bits_per_byte is %.4f", e.BitsPerByte, e.BytePerplexity, want)
	}
	// A word is at least a byte, so the same log-likelihood over fewer words.
	if e.WordPerplexity < e.BytePerplexity*(1-1e-6) {
		return details{}, breaks("word_perplexity %g is below byte_perplexity %g, which no text allows", e.WordPerplexity, e.BytePerplexity)
	}
	if err := e.littlesLaw(); err != nil {
		return details{}, err
	}
	if e.Result == "" {
		return details{}, nil
	}
	return e.checkResult()
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
		return breaks("implausible: %g tok/s/GPU for %g ms are more tokens than CONC %d requests of %d tokens have, even on one GPU", e.TputPerGPU, e.E2EMs, e.Conc, e.ISL+e.OSL)
	case gpus > 4096:
		return breaks("implausible: %g tok/s/GPU at %g ms would take %.0f GPUs for CONC %d requests of %d tokens (e2e_ms is in milliseconds, throughput in tokens a second and GPU)", e.TputPerGPU, e.E2EMs, gpus, e.Conc, e.ISL+e.OSL)
	}
	return nil
}

// result is what the board reads of a result file.
type result struct {
	Successful    int     `json:"successful_requests"`
	Duration      float64 `json:"benchmark_duration"` // s
	InputTokens   int     `json:"total_input_tokens"`
	OutputTokens  int     `json:"total_generated_tokens"`
	TotalTput     float64 `json:"total_token_throughput"` // tok/s
	MedianTPOTMs  float64 `json:"median_tpot_ms"`
	MedianE2EMs   float64 `json:"median_e2el_ms"`
	MeanE2EMs     float64 `json:"mean_e2el_ms"`
	TputPerGPU    float64 `json:"tput_per_gpu"`
	ClientLimited bool    `json:"client_limited"`
	Args          struct {
		Model      string   `json:"model"`
		Backend    string   `json:"backend"`
		ISL        int      `json:"random_input_len"`
		OSL        int      `json:"random_output_len"`
		Conc       int      `json:"max_concurrency"`
		RangeRatio *float64 `json:"random_range_ratio"`
	} `json:"benchmark_args"`
	Accuracy struct {
		BitsPerByte    float64 `json:"bits_per_byte"`
		BytePerplexity float64 `json:"byte_perplexity"`
		WordPerplexity float64 `json:"word_perplexity"`
	} `json:"accuracy"`
	Validation struct {
		Status string `json:"status"`
	} `json:"accuracy_validation"`
	ClientAudit struct {
		ClientLimited bool `json:"client_limited"`
	} `json:"client_audit"`
}

func (e Entry) checkResult() (details, error) {
	if len(e.Result) > maxResult {
		return details{}, breaks("the result file has %d bytes: at most %d", len(e.Result), maxResult)
	}
	var r result
	if err := json.Unmarshal([]byte(e.Result), &r); err != nil {
		return details{}, breaks("the result file cannot be read: %v", err)
	}
	a := r.Args
	if a.ISL != e.ISL || a.OSL != e.OSL || a.Conc != e.Conc {
		return details{}, breaks("the result file is of isl=%d/osl=%d/conc=%d, the submission of isl=%d/osl=%d/conc=%d", a.ISL, a.OSL, a.Conc, e.ISL, e.OSL, e.Conc)
	}
	if r.Validation.Status != "PASSED" {
		return details{}, breaks("the result file's accuracy_validation.status is %q: only PASSED is listed", r.Validation.Status)
	}
	if r.Successful < 1 || !(r.Duration > 0) || !(r.TotalTput > 0) {
		return details{}, breaks("the result file has no successful requests, duration or throughput")
	}
	tokens := float64(r.InputTokens) + float64(r.OutputTokens)
	for _, v := range []struct {
		what      string
		got, want float64
		within    float64
	}{
		{"e2e_ms and the file's median_e2el_ms", e.E2EMs, r.MedianE2EMs, 1e-6},
		{"tput_per_gpu and the file's", e.TputPerGPU, r.TputPerGPU, 1e-6},
		{"bits_per_byte and the file's", e.BitsPerByte, r.Accuracy.BitsPerByte, 1e-6},
		{"byte_perplexity and the file's", e.BytePerplexity, r.Accuracy.BytePerplexity, 1e-6},
		{"word_perplexity and the file's", e.WordPerplexity, r.Accuracy.WordPerplexity, 1e-6},
		{"the file's total_token_throughput and its tokens/duration", r.TotalTput, tokens / r.Duration, 1e-3},
	} {
		if !(math.Abs(v.got-v.want) <= v.within*math.Abs(v.want)) {
			return details{}, breaks("%s differ: %g and %g", v.what, v.got, v.want)
		}
	}
	// Requests in flight, by Little's law on the file's own means.
	if inFlight := float64(r.Successful) * r.MeanE2EMs / 1000 / r.Duration; inFlight > 1.05*float64(e.Conc) {
		return details{}, breaks("implausible: the file's requests were in flight %.1f at a time, with CONC %d", inFlight, e.Conc)
	}
	d := details{model: clip(a.Model), engine: clip(a.Backend), rangeRatio: a.RangeRatio, clientLimited: r.ClientLimited || r.ClientAudit.ClientLimited}
	if r.MedianTPOTMs > 0 && r.MedianTPOTMs < maxFigure {
		v := 1000 / r.MedianTPOTMs
		d.interactivity = &v
	}
	if n := math.Round(r.TotalTput / r.TputPerGPU); n >= 1 && n < maxConc {
		gpus := int(n)
		d.gpus = &gpus
	}
	return d, nil
}

// clip bounds a text that is only shown.
func clip(s string) string {
	if r := []rune(s); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return s
}

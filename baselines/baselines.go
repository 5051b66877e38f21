// Package baselines holds the named figures that results are compared with:
// hardware baselines (throughput and latency of a machine, per cell) and
// accuracy baselines (perplexity of a model on a text). They are data files,
// embedded, and checked when they are loaded.
//
// A baseline carries the workload, corpus and window it was measured on, so
// that a comparison of unequal things can be refused or at least named.
package baselines

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"inferbench/harness/textfile"
)

//go:embed hardware/*.json accuracy/*.json
var files embed.FS

// DefaultHardware names the hardware baseline that results are compared with
// unless the user names another.
const DefaultHardware = "b200-nv1126"

// Hardware is the published performance of a machine on some cells.
type Hardware struct {
	Name     string `json:"name"`     // the file's name without .json
	Hardware string `json:"hardware"` // NVIDIA B200
	Model    string `json:"model"`
	Date     string `json:"date"` // YYYY-MM-DD
	Source   string `json:"source"`

	// ResultKey, KeyPrefix and KeySuffix form the keys under which a result
	// file carries the comparison: see [Hardware.Keys].
	ResultKey string `json:"result_key"`
	KeyPrefix string `json:"key_prefix"`
	KeySuffix string `json:"key_suffix"`

	Workload Workload `json:"workload"`
	Points   []Point  `json:"points"`

	// Models and OtherModels are patterns of path.Match, without regard to case, on the elements of a
	// model's path: a run of the baseline's model has an element that is like one of Models and like none
	// of OtherModels, whoever published it and however it is quantised. No Models: any model is.
	Models      []string `json:"models,omitempty"`
	OtherModels []string `json:"other_models,omitempty"` // distilled into something smaller, as a rule
	// Accuracy names the shipped accuracy baselines that a run of the model is held to, whatever it is called.
	Accuracy []string `json:"accuracy,omitempty"`
}

// IsModel reports whether one of the names that a server gives its model, an
// empty one being none, is the baseline's model.
func (h *Hardware) IsModel(names ...string) bool {
	like := func(patterns []string, element string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			ok, _ := path.Match(strings.ToLower(p), element)
			return ok
		})
	}
	for _, name := range names {
		for element := range strings.FieldsFuncSeq(strings.ToLower(name), isSlash) {
			element = strings.Map(dashed, element)
			if like(h.Models, element) && !like(h.OtherModels, element) {
				return true
			}
		}
	}
	return len(h.Models) == 0
}

// OtherModel says in words that a run's model is not the baseline's.
func (h *Hardware) OtherModel(model string) string {
	return fmt.Sprintf("the model is %q, the baseline's is %s", model, h.Model)
}

func isSlash(r rune) bool { return r == '/' || r == '\\' }

// dashed writes the signs that stand between a name's words as one.
func dashed(r rune) rune {
	if strings.ContainsRune("_ .:", r) {
		return '-'
	}
	return r
}

// Workload is what a hardware baseline was measured on.
type Workload struct {
	RandomRangeRatio float64 `json:"random_range_ratio"` // lengths uniform in [ratio·L, L]
	GPUs             int     `json:"gpus"`               // what throughput was divided by
	Note             string  `json:"note"`               // how these were found
}

// Point is the baseline's figures for one cell.
type Point struct {
	ISL           int     `json:"isl"`
	OSL           int     `json:"osl"`
	Conc          int     `json:"conc"`
	MedianE2E     float64 `json:"median_e2e_ms"`
	Interactivity float64 `json:"median_interactivity_tok_s_user"`
	TputPerGPU    float64 `json:"tput_per_gpu_tok_s"` // input and output tokens
}

// Point finds the cell's figures; false where the baseline has none.
func (h *Hardware) Point(isl, osl, conc int) (Point, bool) {
	for _, p := range h.Points {
		if p.ISL == isl && p.OSL == osl && p.Conc == conc {
			return p, true
		}
	}
	return Point{}, false
}

// Differences says in words where a run's workload is not the baseline's:
// empty when they are alike.
func (h *Hardware) Differences(ratio float64, gpus int) []string {
	var out []string
	if ratio != h.Workload.RandomRangeRatio {
		out = append(out, fmt.Sprintf("RANDOM_RANGE_RATIO is %g, the baseline's is %g", ratio, h.Workload.RandomRangeRatio))
	}
	if gpus != h.Workload.GPUs {
		out = append(out, fmt.Sprintf("TP is %d, the baseline's is %d", gpus, h.Workload.GPUs))
	}
	return out
}

// Accuracy is what a model is known to reach on one task and text: perplexities
// in windows of one length, or a share of right answers.
type Accuracy struct {
	Name string `json:"name"` // the file's name without .json
	// none: taken by its name alone. Patterns of path.Match, without regard to case, on the model
	// name's last path element
	Models []string `json:"models"`
	Task   string   `json:"task"` // as ACC_TASK has it
	Corpus string   `json:"corpus"`
	// of the raw file; only a share of right answers may do without, where it is not known
	CorpusSHA256   string  `json:"corpus_sha256,omitempty"`
	MaxLength      int     `json:"max_length"` // model length in tokens that the windows follow from
	BitsPerByte    float64 `json:"bits_per_byte,omitempty"`
	BytePerplexity float64 `json:"byte_perplexity,omitempty"`
	WordPerplexity float64 `json:"word_perplexity,omitempty"` // recorded, never judged; 0 states none
	// WordPerplexityNote says why the stated word_perplexity cannot be met.
	WordPerplexityNote string  `json:"word_perplexity_note,omitempty"`
	Tolerance          float64 `json:"tolerance"` // relative, to both sides: 0.03 is ±3 %

	// Of a task that counts right answers, in place of the perplexities.
	// share of right answers, 0 to 1; the floor is this less the tolerance
	ExactMatch float64 `json:"exact_match,omitempty"`
	Filter     string  `json:"filter,omitempty"` // which of the task's shares it is asked of, with commas between
	Shots      int     `json:"shots,omitempty"`  // worked examples before each question
	// ExamplesSHA256 is of the file that the examples are drawn from; empty
	// where it is not known.
	ExamplesSHA256 string `json:"examples_sha256,omitempty"`

	// DecodeArgmaxFloor is the least share of decoded tokens that must be the
	// argmax when they are scored again as a prompt; 0 states no floor.
	DecodeArgmaxFloor float64 `json:"decode_argmax_floor,omitempty"`

	Source string `json:"source"`
}

// Matches reports whether the baseline is for this model. Servers name a model
// by a path as often as by its name, so only the last element counts.
func (a *Accuracy) Matches(model string) bool {
	base := strings.ToLower(path.Base(model))
	for _, p := range a.Models {
		if ok, _ := path.Match(strings.ToLower(p), base); ok {
			return true
		}
	}
	return false
}

// LoadHardware loads a hardware baseline by the name of a shipped one
// (b200-nv1126) or by the path of a .json file.
func LoadHardware(nameOrPath string) (*Hardware, error) {
	h := new(Hardware)
	return h, load("hardware", nameOrPath, h)
}

// LoadAccuracy loads an accuracy baseline by name or by path.
func LoadAccuracy(nameOrPath string) (*Accuracy, error) {
	a := new(Accuracy)
	return a, load("accuracy", nameOrPath, a)
}

// AccuracyFor finds the shipped accuracy baselines of a model, in the order of
// their names: none, or one for each task and text that it was measured on.
func AccuracyFor(model string) ([]*Accuracy, error) {
	var out []*Accuracy
	for _, name := range Names("accuracy") {
		a, err := LoadAccuracy(name)
		if err != nil {
			return nil, err
		}
		if a.Matches(model) {
			out = append(out, a)
		}
	}
	return out, nil
}

// Names lists the shipped baselines of a kind, "hardware" or "accuracy".
func Names(kind string) []string {
	entries, _ := fs.ReadDir(files, kind)
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), ".json"))
	}
	return out
}

type validator interface{ validate() error }

func load(kind, nameOrPath string, into validator) error {
	var b []byte
	var err error
	if strings.HasSuffix(nameOrPath, ".json") {
		b, err = textfile.Read(nameOrPath)
	} else {
		b, err = files.ReadFile(kind + "/" + nameOrPath + ".json")
		if err != nil {
			err = fmt.Errorf("none of that name; there are: %s, or give the path of a .json file",
				strings.Join(Names(kind), ", "))
		}
	}
	if err != nil {
		return fmt.Errorf("%s baseline %s: %w", kind, nameOrPath, err)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%s baseline %s: line %d: %w", kind, nameOrPath, lineOf(b, dec.InputOffset(), err), err)
	}
	if rest := bytes.TrimLeft(b[dec.InputOffset():], " \t\r\n"); len(rest) > 0 {
		return fmt.Errorf("%s baseline %s: line %d: something follows the baseline", kind, nameOrPath,
			1+bytes.Count(b[:len(b)-len(rest)], []byte("\n")))
	}
	if err := into.validate(); err != nil {
		return fmt.Errorf("%s baseline %s: %w", kind, nameOrPath, withLine(b, err))
	}
	return nil
}

// lineOf returns the line at which decoding stopped: where the error says so, else
// where the decoder was.
func lineOf(b []byte, offset int64, err error) int {
	switch e := err.(type) {
	case *json.SyntaxError:
		offset = e.Offset
	case *json.UnmarshalTypeError:
		offset = e.Offset
	default:
		if errors.Is(err, io.ErrUnexpectedEOF) {
			offset = int64(len(b)) // cut off
		}
		var key string
		if _, scan := fmt.Sscanf(err.Error(), "json: unknown field %q", &key); scan == nil {
			offset = int64(max(0, bytes.Index(b, []byte(strconv.Quote(key)))))
		}
	}
	return 1 + bytes.Count(b[:min(int(offset), len(b))], []byte("\n"))
}

func (h *Hardware) validate() error {
	for _, f := range []struct{ key, value string }{
		{"name", h.Name}, {"hardware", h.Hardware}, {"source", h.Source}, {"result_key", h.ResultKey}, {"key_prefix",
			h.KeyPrefix},
	} {
		if f.value == "" {
			return wrong("must be given", f.key)
		}
	}
	if _, err := time.Parse(time.DateOnly, h.Date); h.Date != "" && err != nil {
		return wrong(fmt.Sprintf("is %q: want YYYY-MM-DD", h.Date), "date")
	}
	if r := h.Workload.RandomRangeRatio; !(r > 0 && r <= 1) {
		return wrong(fmt.Sprintf("is %g: want above 0 and at most 1", r), "workload", "random_range_ratio")
	}
	if h.Workload.GPUs < 1 {
		return wrong(fmt.Sprintf("is %d: want 1 or more", h.Workload.GPUs), "workload", "gpus")
	}
	for key, patterns := range map[string][]string{"models": h.Models, "other_models": h.OtherModels} {
		for i, p := range patterns {
			if _, err := path.Match(p, ""); err != nil || p == "" {
				return wrong(fmt.Sprintf("is %q, which is no pattern", p), key, i)
			}
		}
	}
	if len(h.Points) == 0 {
		return wrong("is empty", "points")
	}
	seen := map[[3]int]bool{}
	for i, p := range h.Points {
		key := [3]int{p.ISL, p.OSL, p.Conc}
		cell := fmt.Sprintf("(isl %d, osl %d, conc %d)", p.ISL, p.OSL, p.Conc)
		switch {
		case p.ISL < 1 || p.OSL < 1 || p.Conc < 1:
			return wrong("has an isl, osl or conc below 1", "points", i)
		case !Positive(p.MedianE2E):
			return wrong("must be finite and above 0 "+cell, "points", i, "median_e2e_ms")
		case !Positive(p.Interactivity):
			return wrong("must be finite and above 0 "+cell, "points", i, "median_interactivity_tok_s_user")
		case !Positive(p.TputPerGPU):
			return wrong("must be finite and above 0 "+cell, "points", i, "tput_per_gpu_tok_s")
		case seen[key]:
			return wrong(cell+" is there twice", "points", i)
		}
		seen[key] = true
	}
	return nil
}

// validateMetrics checks what is stated: a share of right answers, or the
// perplexities and the window they were measured with.
func (a *Accuracy) validateMetrics() error {
	if a.Filter != "" || a.ExactMatch != 0 {
		switch {
		case !(a.ExactMatch > 0 && a.ExactMatch <= 1):
			return wrong(fmt.Sprintf("is %g: want a share, above 0 and at most 1", a.ExactMatch), "exact_match")
		case a.Filter == "":
			return wrong("must be given: which share exact_match is of, as strict-match", "filter")
		case a.Shots < 0:
			return wrong(fmt.Sprintf("is %d: want 0 or more", a.Shots), "shots")
		case a.ExamplesSHA256 != "" && len(a.ExamplesSHA256) != 64:
			return wrong(fmt.Sprintf("has %d characters: want 64 hexadecimal digits", len(a.ExamplesSHA256)), "examples_sha256")
		case !(a.Tolerance >= 0 && a.Tolerance < 1):
			return wrong(fmt.Sprintf("is %g: want 0 or more, and below 1", a.Tolerance), "tolerance")
		}
		return nil
	}
	for _, f := range []struct {
		key   string
		value float64
	}{
		{"bits_per_byte", a.BitsPerByte}, {"byte_perplexity", a.BytePerplexity}, {"tolerance", a.Tolerance},
	} {
		if !Positive(f.value) {
			return wrong(fmt.Sprintf("is %g: want finite and above 0", f.value), f.key)
		}
	}
	if a.WordPerplexity != 0 && !Positive(a.WordPerplexity) {
		return wrong(fmt.Sprintf("is %g: want finite and above 0", a.WordPerplexity), "word_perplexity")
	}
	if a.MaxLength < 2 {
		return wrong(fmt.Sprintf("is %d: want 2 or more", a.MaxLength), "max_length")
	}
	if math.Abs(math.Exp2(a.BitsPerByte)/a.BytePerplexity-1) > 1e-3 {
		// Both are the same log-likelihood over the same bytes, so one follows
		// from the other; a typing slip in either shows here.
		return wrong(fmt.Sprintf("%g and byte_perplexity %g contradict each other: 2^bits_per_byte is %.4f", a.BitsPerByte,
			a.BytePerplexity, math.Exp2(a.BitsPerByte)), "bits_per_byte")
	}
	return nil
}

func (a *Accuracy) validate() error {
	for _, f := range []struct{ key, value string }{
		{"name", a.Name}, {"task", a.Task}, {"corpus", a.Corpus}, {"source", a.Source},
	} {
		if f.value == "" {
			return wrong("must be given", f.key)
		}
	}
	switch {
	case len(a.CorpusSHA256) != 64 && (a.CorpusSHA256 != "" || a.Filter == ""):
		return wrong(fmt.Sprintf("has %d characters: want 64 hexadecimal digits", len(a.CorpusSHA256)), "corpus_sha256")
	case !(a.DecodeArgmaxFloor >= 0 && a.DecodeArgmaxFloor <= 1):
		return wrong(fmt.Sprintf("is %g: want a share, 0 to 1", a.DecodeArgmaxFloor), "decode_argmax_floor")
	}
	if err := a.validateMetrics(); err != nil {
		return err
	}
	for i, p := range a.Models {
		if _, err := path.Match(p, ""); err != nil {
			return wrong(fmt.Sprintf("%q is not a pattern: %v", p, err), "models", i)
		}
	}
	return nil
}

// Positive reports whether every value is one that a measurement can have:
// finite and above 0.
func Positive(vs ...float64) bool {
	for _, v := range vs {
		if !(v > 0) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

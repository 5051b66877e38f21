// Package submit is the leaderboard's client: it keeps every submission in the
// batch folder before it is sent, sends it, and believes only a board that said
// "complete".
//
// A board is either a Gradio app, which takes eleven fields or twelve (see
// [Figures.Fields]) and answers with a stream of events, or the suite's own
// board (package leaderboard), which also takes the whole result file. The
// client finds out which by asking.
package submit

import (
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"inferbench/baselines"
	"inferbench/harness/matrix"
	"inferbench/harness/rules"
)

// Figures is what one cell submits.
type Figures struct {
	Team string `json:"team"`
	ISL  int    `json:"isl"`
	OSL  int    `json:"osl"`
	Conc int    `json:"conc"`

	E2EMs      float64 `json:"e2e_ms"`       // median end-to-end latency
	TputPerGPU float64 `json:"tput_per_gpu"` // input and output tokens a second and GPU

	// The hardware baseline of the cell; zero where there is none.
	BaselineE2EMs      float64 `json:"baseline_e2e_ms"`
	BaselineTputPerGPU float64 `json:"baseline_tput_per_gpu"`

	BitsPerByte    float64 `json:"bits_per_byte"`
	BytePerplexity float64 `json:"byte_perplexity"`
	WordPerplexity float64 `json:"word_perplexity"`

	// Of the competition's later form: accuracy by gsm8k, nil where that is not
	// the task, and the interactivity beside the baseline's, in tok/s/user.
	GSM8K                 *float64 `json:"gsm8k_metric,omitempty"`
	Interactivity         float64  `json:"interactivity,omitempty"`
	BaselineInteractivity float64  `json:"baseline_interactivity,omitempty"`

	Passed        bool `json:"passed"`         // accuracy held and performance was measured
	Embedded      bool `json:"embedded"`       // measured on the suite's own engine
	ClientLimited bool `json:"client_limited"` // the client, not the server, was the limit
	// Marks are the result's own words for what is not as the rules ask; see
	// package batch.
	Marks      []string `json:"marks,omitempty"`
	ResultFile string   `json:"result_file"` // its name in the batch folder; own boards keep a copy
}

// Name is the cell's name: isl=1024/osl=1024/conc=4.
func (f Figures) Name() string { return f.cell().Name() }

func (f Figures) cell() matrix.Cell {
	return matrix.Cell{Combination: matrix.Combination{ISL: f.ISL, OSL: f.OSL}, Conc: f.Conc}
}

// fileName is the submission's file in the batch folder. It belongs to the
// result file, so that a cell of its own name (RESULT_FILENAME) keeps its own.
func (f Figures) fileName() string {
	name := f.cell().FileName()
	if f.ResultFile != "" {
		name = filepath.Base(f.ResultFile)
	}
	return "submission_" + strings.TrimPrefix(name, "result_")
}

// Field is one value of a Gradio submission, by the name that it has there.
type Field struct {
	Name  string
	Value any
}

// Fields are the values of a Gradio submission, in the order in which the public
// boards take them: team, CONC, E2E, throughput/GPU, the baseline's two and the
// two ratios ours/baseline; then the three metrics of wikitext, eleven in all, or
// for gsm8k the interactivity, the baseline's, their ratio and the share of right
// answers, twelve in all.
func (f Figures) Fields() []Field {
	fields := []Field{{"team", f.Team}, {"conc", f.Conc}, {"e2e_ms", f.E2EMs}, {"tput_per_gpu", f.TputPerGPU},
		{"b200_e2e_ms", f.BaselineE2EMs}, {"b200_tput_per_gpu", f.BaselineTputPerGPU},
		{"e2e_ratio", f.E2EMs / f.BaselineE2EMs}, {"tput_ratio", f.TputPerGPU / f.BaselineTputPerGPU}}
	if f.GSM8K != nil {
		return append(fields, Field{"interactivity", f.Interactivity}, Field{"baseline_interactivity",
			f.BaselineInteractivity},
			Field{"interactivity_ratio", f.Interactivity / f.BaselineInteractivity}, Field{"gsm8k_metric", *f.GSM8K})
	}
	return append(fields, Field{"bits_per_byte", f.BitsPerByte}, Field{"byte_perplexity", f.BytePerplexity},
		Field{"word_perplexity", f.WordPerplexity})
}

// claim is what the result file has to agree with.
func (f Figures) claim() rules.Claim {
	return rules.Claim{ISL: f.ISL, OSL: f.OSL, Conc: f.Conc, E2EMs: f.E2EMs, TputPerGPU: f.TputPerGPU,
		Interactivity: f.Interactivity,
		BitsPerByte:   f.BitsPerByte, BytePerplexity: f.BytePerplexity, WordPerplexity: f.WordPerplexity, GSM8K: f.GSM8K}
}

func (f Figures) hasBaseline() bool {
	return baselines.Positive(f.BaselineE2EMs, f.BaselineTputPerGPU) && (f.GSM8K == nil ||
		baselines.Positive(f.BaselineInteractivity))
}

// complete says what is missing for any board: empty when nothing is.
func (f Figures) complete() string {
	type figure struct {
		name  string
		value float64
	}
	figures := []figure{{"E2EL p50", f.E2EMs}, {"tok/s/GPU", f.TputPerGPU}}
	if f.GSM8K != nil {
		figures = append(figures, figure{"tok/s/user", f.Interactivity})
	} else {
		figures = append(figures, figure{"bits_per_byte", f.BitsPerByte}, figure{"byte_perplexity", f.BytePerplexity},
			figure{"word_perplexity", f.WordPerplexity})
	}
	for _, v := range figures {
		if !baselines.Positive(v.value) {
			return fmt.Sprintf("its %s is %g: every figure must be measured, finite and above 0", v.name, v.value)
		}
	}
	return ""
}

// public are the boards of the AMD MI355X InferenceMAX bounty, one a combination.
var public = map[matrix.Combination]string{
	{ISL: 1024, OSL: 1024}: "https://daniehua-dsr1-fp4-sgl-isl1024osl1024.hf.space",
	{ISL: 1024, OSL: 8192}: "https://daniehua-dsr1-fp4-sgl-isl1024osl8192.hf.space",
	{ISL: 8192, OSL: 1024}: "https://daniehua-dsr1-fp4-sgl-isl8192osl1024.hf.space",
}

// route says where figures go, or why they go nowhere. An empty address means
// the board that the client starts itself.
func (c *Client) route(f Figures) (address string, refusal error) {
	combo := f.cell().Combination
	switch {
	case f.Team == "":
		return "", fmt.Errorf("it has no team name: set TEAM")
	case !f.Passed:
		return "", fmt.Errorf("only a cell whose accuracy PASSED is submitted; where no baseline fits it is " +
			"NOT_RUN (ACC_BASELINE names one)")
	case f.complete() != "":
		return "", fmt.Errorf("%s", f.complete())
	}
	address = c.o.URL
	if address == "" && !f.Embedded {
		if address = c.o.public[combo]; address == "" {
			return "", fmt.Errorf("there is no public board for ISL %d, OSL %d: set LEADERBOARD_URL to a board of "+
				"yours (make leaderboard starts one)", f.ISL, f.OSL)
		}
	}
	if address == "" || loopback(address) {
		return address, nil
	}
	switch {
	case f.Embedded:
		return "", fmt.Errorf("it was measured on the embedded engine, which says nothing about hardware, so it "+
			"never goes to a public board (%s)", address)
	case f.ClientLimited:
		return "", fmt.Errorf("the client was the limit of this measurement, not the server, so it does not go to "+
			"a public board (%s): give the client more CPU and measure again", address)
	case len(f.Marks) > 0:
		return "", fmt.Errorf("it is marked %s, so it does not go to a public board (%s)", strings.Join(f.Marks,
			", "), address)
	case gradioSpace(address) && !f.hasBaseline():
		return "", fmt.Errorf("the public board (%s) asks for the hardware baseline's figures, and there are none "+
			"for this cell", address)
	}
	return address, nil
}

// gradioSpace reports whether a board is one of Hugging Face's Spaces.
func gradioSpace(address string) bool { return strings.HasSuffix(host(address), ".hf.space") }

// legal holds a submission's result file to the rules. The error is why the
// board at the address, empty for the one on this machine, does not get it: what
// breaks a rule goes nowhere, and what is marked to no public board. A board of
// one's own elsewhere takes other workloads too, since it keeps them apart.
func (c *Client) legal(s *Submission, address string) (rules.Report, error) {
	if s.result == nil {
		return nil, nil
	}
	hardware := c.o.Hardware
	if gradioSpace(address) { // whatever HW_BASELINE the user compares with
		var err error
		if hardware, err = baselines.LoadHardware(baselines.DefaultHardware); err != nil {
			return nil, err
		}
	}
	r, err := rules.Check(s.result, s.Figures.claim(), hardware, time.Now())
	if err != nil {
		return nil, err
	}
	err = r.Broken()
	if err == nil && gradioSpace(address) {
		err = s.Figures.comparedWith(hardware)
	}
	if err == nil && address != "" && !loopback(address) && (gradioSpace(address) || !slices.Equal(r.Marks,
		[]string{rules.Workload})) {
		err = r.Err()
	}
	if err != nil {
		err = fmt.Errorf("not legal: %w", err)
	}
	return r.Report, err
}

// comparedWith refuses figures that stand beside another hardware's than the
// board's.
func (f Figures) comparedWith(h *baselines.Hardware) error {
	p, ok := h.Point(f.ISL, f.OSL, f.Conc)
	if ok && (p.MedianE2E != f.BaselineE2EMs || p.TputPerGPU != f.BaselineTputPerGPU) {
		return fmt.Errorf("the board compares with %s, and HW_BASELINE named another hardware", h.Name)
	}
	return nil
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

func loopback(address string) bool {
	h := host(address)
	ip := net.ParseIP(h)
	return h == "localhost" || ip != nil && ip.IsLoopback()
}

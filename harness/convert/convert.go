// Package convert takes results in from other tools and hands ours on: result
// files of vLLM's `bench serve`, SGLang's `bench_serving`, InferenceX, GuideLLM
// and AIPerf become batch folders to compare with, a batch becomes a hardware
// baseline, a CSV table or InferenceX's aggregates.
package convert

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
	"inferbench/harness/textfile"
)

// Hints say what another tool's file leaves out. Zero values mean "not given";
// what the file itself says goes first, but for the names of model and data set.
type Hints struct {
	Model      string
	Dataset    string
	ISL, OSL   int
	Conc       int
	RangeRatio float64 // lengths uniform in [ratio·L, L], as RANDOM_RANGE_RATIO
	TP         int     // GPUs, which throughput is divided by
}

// Imported is one run read from another tool's file.
type Imported struct {
	Tool     string
	Result   batch.Result
	Timings  []stats.Timing // nil where the file has no per-request data with start times
	Duration time.Duration
	Date     time.Time // zero where the file has none

	ratesApart bool   // its rates are of another time than its duration, as those of GuideLLM and AIPerf
	run        string // tells runs of one file apart that are not one sweep, beside Args
}

// Skipped is a row of a file that holds others: it was not imported.
type Skipped struct {
	Where string // "line 3", "line 1, element 2"
	Why   error
}

// errUnknown is for an object in which no tool is recognised.
var errUnknown = errors.New("not a result that is known here: want a file of vLLM's `bench serve --save-result`, " +
	"SGLang's `bench_serving --output-file`, InferenceX's aggregates, GuideLLM or AIPerf")

// errRequest is for a file of single requests.
var errRequest = errors.New("single requests of AIPerf: what is read is profile_export_aiperf.json beside them")

// errOwn is for a result file of this suite.
var errOwn = errors.New("a result file of inferbench itself: its batch folder is what to compare or report, as it is")

// importedFrom begins the note that says where a result comes from.
const importedFrom = "imported from "

// Reasons says why rows were skipped, each reason once with the first row that it
// is of.
func Reasons(skipped []Skipped) string {
	var out, seen []string
	for _, s := range skipped {
		why := s.Why.Error()
		if !slices.Contains(seen, why) {
			seen, out = append(seen, why), append(out, s.Where+": "+why)
		}
	}
	return strings.Join(out, "; ")
}

// Read reads every run in a file: one JSON object, a list of them, or one a
// line; GuideLLM's report in YAML; or a GuideLLM or AIPerf table in CSV. A row of several that is not known,
// or that tells too little, is skipped; where nothing is left, the error is the
// first one's. It names the file and the line.
func Read(file string, h Hints) ([]Imported, []Skipped, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	text, err := textfile.Clean(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", file, err)
	}
	runs, skipped, line, err := content(text, h)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: line %d: %w", file, line, err)
	}
	if len(runs) == 0 && len(skipped) > 0 {
		more := ""
		if n := len(skipped) - 1; n > 0 {
			more = fmt.Sprintf(" (and %d more rows)", n)
		}
		return nil, nil, fmt.Errorf("%s: %s: %w%s", file, skipped[0].Where, skipped[0].Why, more)
	}
	if len(runs) == 0 {
		return nil, nil, fmt.Errorf("%s: no result in it", file)
	}
	for i := range runs {
		runs[i].Result.Notes = append(runs[i].Result.Notes,
			fmt.Sprintf(importedFrom+"%s of %s (sha256 %x)", filepath.Base(file), runs[i].Tool, sha256.Sum256(b)))
	}
	return runs, skipped, nil
}

// content reads the runs of a file's content, or says at which line it stopped.
func content(text []byte, h Hints) (runs []Imported, skipped []Skipped, line int, err error) {
	rows := tables(text)
	if rows == nil {
		return parse(orYAML(text), h)
	}
	p := parser{hints: h}
	for i, row := range rows {
		p.row(fmt.Sprintf("row %d", i+1), row)
	}
	return p.runs, p.skipped, 1, nil
}

// parser gathers the runs of a file.
type parser struct {
	hints   Hints
	runs    []Imported
	skipped []Skipped
}

// parse reads the runs of JSON values, or says at which line it stopped.
func parse(b []byte, h Hints) (runs []Imported, skipped []Skipped, line int, err error) {
	b = strictJSON(b)
	at := func(offset int64) int { return 1 + bytes.Count(b[:min(int(offset), len(b))], []byte("\n")) }
	dec := json.NewDecoder(bytes.NewReader(b))
	p := parser{hints: h}
	for {
		line = at(skipSpace(b, dec.InputOffset()))
		var raw json.RawMessage
		err := dec.Decode(&raw)
		var syntax *json.SyntaxError
		switch {
		case err == io.EOF:
			return p.runs, p.skipped, line, nil
		case errors.As(err, &syntax):
			return nil, nil, at(syntax.Offset), err
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, nil, line, errors.New("the file ends in the midst of a result: it was cut off")
		case err != nil:
			return nil, nil, line, err
		}
		p.value(fmt.Sprintf("line %d", line), raw)
	}
}

func skipSpace(b []byte, from int64) int64 {
	rest := b[from:]
	return from + int64(len(rest)-len(bytes.TrimLeft(rest, " \t\r\n")))
}

// value reads a JSON value: a run, or a list of such.
func (p *parser) value(where string, raw json.RawMessage) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil && list != nil {
		for i, r := range list {
			p.value(fmt.Sprintf("%s, element %d", where, i+1), r)
		}
		return
	}
	var o object
	if json.Unmarshal(raw, &o) != nil {
		o = nil // a bare number or text
	}
	if several := reports(o); several != nil {
		for i, r := range several {
			p.row(fmt.Sprintf("%s, benchmark %d", where, i+1), r)
		}
		return
	}
	p.row(where, o)
}

// row reads one run, or says why it is skipped.
func (p *parser) row(where string, o object) {
	run, err := readRun(o, p.hints)
	if err != nil {
		p.skipped = append(p.skipped, Skipped{where, err})
		return
	}
	p.runs = append(p.runs, *run)
}

// tools are those whose results are read, in the order in which they are tried.
var tools = []struct {
	knows func(object) bool
	read  func(object, Hints) (*Imported, error)
}{
	{func(o object) bool { return o.has("benchmark_args") },
		func(object, Hints) (*Imported, error) { return nil, errOwn }},
	{isSGLang, sglang},
	{isInferenceX, inferenceX},
	{isVLLM, vllm},
	{isAIPerf, aiperf},
	{isAIPerfRequest, func(object, Hints) (*Imported, error) { return nil, errRequest }},
	{isGuideLLM, guideLLM},
}

func readRun(o object, h Hints) (*Imported, error) {
	var nested object // the API of inferencex has the figures one level down
	if json.Unmarshal(o["metrics"], &nested) == nil && o.has("conc") {
		for k, v := range nested {
			o[k] = v
		}
	}
	for _, t := range tools {
		if !t.knows(o) {
			continue
		}
		run, err := t.read(o, h)
		if err != nil {
			return nil, err
		}
		return run, run.finish()
	}
	return nil, errUnknown
}

// finish checks what every run must have, and gives it its status.
func (r *Imported) finish() error {
	a, p := &r.Result.Args, r.Result.Performance
	a.Mode = batch.ImportMode
	switch {
	case a.Model == "":
		return errors.New("the file does not name the model: give -model (with make: MODEL=)")
	case a.RandomInputLen < 1 || a.RandomOutputLen < 1:
		return errors.New("the file does not tell the lengths asked for: give -isl and -osl (with make: ISL= OSL=)")
	case random(a.DatasetName) && (a.RandomRangeRatio <= 0 || a.RandomRangeRatio > 1):
		return errors.New("the file does not tell how lengths were drawn: " +
			"give -random-range-ratio (with make: RANDOM_RANGE_RATIO=), 1 for fixed lengths")
	case a.MaxConcurrency < 1:
		return errors.New("the run had no limit on requests in flight (max_concurrency), so it is no cell of a sweep: " +
			"-conc (with make: CONC=) names one for it")
	case a.TP < 1:
		return errors.New("the file does not tell the number of GPUs: give -tp (with make: TP=)")
	}
	r.Result.Status = batch.Imported
	if r.Result.Reason != "" {
		r.Result.Status = batch.Failed
		return nil
	}
	if p.Failed > 0 {
		r.Result.Status = batch.Failed
		r.Result.Reason = fmt.Sprintf("%d of %d requests failed", p.Failed, p.Failed+p.Successful)
		if why, _ := p.WhyFailed(); why != "" { // vLLM's and SGLang's files of details have them
			r.Result.Reason += ": " + why
		}
		return nil
	}
	if p.TputPerGPU == nil || *p.TputPerGPU <= 0 {
		return errors.New("the file tells no throughput above 0, so there is nothing to compare with")
	}
	if why := r.contradiction(); why != "" {
		return errors.New("its figures contradict each other: " + why)
	}
	return nil
}

// random reports whether a data set's prompts are random to lengths that were
// asked for, as far as a file tells.
func random(dataset string) bool { return dataset == "" || dataset == "random" }

func (r Imported) cell() matrix.Cell {
	a := r.Result.Args
	return matrix.Cell{
		Combination: matrix.Combination{ISL: a.RandomInputLen, OSL: a.RandomOutputLen},
		Conc:        a.MaxConcurrency, NumPrompts: a.NumPrompts,
	}
}

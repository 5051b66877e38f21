// Package convert takes results in from other tools and hands ours on: result
// files of vLLM's `bench serve`, SGLang's `bench_serving` and InferenceMAX
// become batch folders to compare with, a batch becomes a hardware baseline or
// a CSV table.
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
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
	"inferbench/harness/textfile"
)

// Hints say what another tool's file leaves out. Zero values mean "not given";
// what the file itself says goes first.
type Hints struct {
	Model      string
	ISL, OSL   int
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
}

// errUnknown is for an object in which no tool is recognised.
var errUnknown = errors.New("not a result that is known here: want vLLM's `bench serve --save-result`, SGLang's " +
	"`bench_serving --output-file` or an InferenceMAX/InferenceX aggregate")

// Read reads every run in a file: one JSON object, a list of them, or one a
// line. The error names the file and the line.
func Read(file string, h Hints) ([]Imported, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text, err := textfile.Clean(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	out, line, err := parse(text, h)
	if err != nil {
		return nil, fmt.Errorf("%s: line %d: %w", file, line, err)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no result in it", file)
	}
	note := fmt.Sprintf("imported from %s of %s (sha256 %x)", filepath.Base(file), out[0].Tool, sha256.Sum256(b))
	for i := range out {
		out[i].Result.Notes = append(out[i].Result.Notes, note)
	}
	return out, nil
}

// parse reads the runs of a file's content, or says at which line it stopped.
func parse(b []byte, h Hints) (out []Imported, line int, err error) {
	b = strictJSON(b)
	at := func(offset int64) int { return 1 + bytes.Count(b[:min(int(offset), len(b))], []byte("\n")) }
	dec := json.NewDecoder(bytes.NewReader(b))
	for {
		line = at(skipSpace(b, dec.InputOffset()))
		var raw json.RawMessage
		err := dec.Decode(&raw)
		var syntax *json.SyntaxError
		switch {
		case err == io.EOF:
			return out, line, nil
		case errors.As(err, &syntax):
			return nil, at(syntax.Offset), err
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, line, errors.New("the file ends in the midst of a result: it was cut off")
		case err != nil:
			return nil, line, err
		}
		runs, err := readRuns(raw, h)
		if err != nil {
			return nil, line, err
		}
		out = append(out, runs...)
	}
}

func skipSpace(b []byte, from int64) int64 {
	rest := b[from:]
	return from + int64(len(rest)-len(bytes.TrimLeft(rest, " \t\r\n")))
}

func readRuns(raw json.RawMessage, h Hints) ([]Imported, error) {
	if len(raw) > 0 && raw[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, err
		}
		var out []Imported
		for i, r := range list {
			runs, err := readRuns(r, h)
			if err != nil {
				return nil, fmt.Errorf("element %d: %w", i+1, err)
			}
			out = append(out, runs...)
		}
		return out, nil
	}
	var o object
	if json.Unmarshal(raw, &o) != nil {
		return nil, errUnknown // a bare number or text
	}
	var nested object // the API of inferencex has the figures one level down
	if json.Unmarshal(o["metrics"], &nested) == nil {
		for k, v := range nested {
			o[k] = v
		}
	}
	var read func(object, Hints) (*Imported, error)
	switch {
	case o.has("mean_e2e_latency_ms", "total_input_tokens"):
		read = sglang
	case o.has("model_id", "mean_ttft_ms", "total_token_throughput"):
		read = vllm
	case o.has("conc", "tput_per_gpu") && (o.has("hw") || o.has("hardware")):
		read = inferenceMAX
	default:
		return nil, errUnknown
	}
	run, err := read(o, h)
	if err != nil {
		return nil, err
	}
	if err := run.finish(); err != nil {
		return nil, err
	}
	return []Imported{*run}, nil
}

// finish checks what every run must have, and gives it its status.
func (r *Imported) finish() error {
	a, p := &r.Result.Args, r.Result.Performance
	a.Mode = "import"
	switch {
	case a.Model == "":
		return errors.New("the file does not name the model: give MODEL= (-model)")
	case a.RandomInputLen < 1 || a.RandomOutputLen < 1:
		return errors.New("the file does not tell the lengths asked for: give ISL= and OSL= (-isl, -osl)")
	case a.RandomRangeRatio <= 0 || a.RandomRangeRatio > 1:
		return errors.New("the file does not tell how lengths were drawn: " +
			"give RANDOM_RANGE_RATIO= (-random-range-ratio), 1 for fixed lengths")
	case a.MaxConcurrency < 1:
		return errors.New("the run had no limit on requests in flight (max_concurrency), so it is no cell of a sweep")
	case a.TP < 1:
		return errors.New("the file does not tell the number of GPUs: give TP= (-tp)")
	}
	r.Result.Status = batch.Imported
	if p.Failed > 0 {
		r.Result.Status = batch.Failed
		r.Result.Reason = fmt.Sprintf("%d of %d requests failed", p.Failed, p.Failed+p.Successful)
		if why, _ := p.WhyFailed(); why != "" { // vLLM's and SGLang's files of details have them
			r.Result.Reason += ": " + why
		}
		return nil
	}
	if p.TputPerGPU == nil || *p.TputPerGPU <= 0 || p.Duration < 0 {
		return errors.New("the file tells no throughput above 0, so there is nothing to compare with")
	}
	return nil
}

// Write writes the runs as batch folders in root, one a combination of
// lengths, and returns the folders. Two runs of one cell are an error: they
// are passes, and each belongs into a folder of its own.
func Write(root string, runs []Imported) ([]string, error) {
	byLengths := map[matrix.Combination][]Imported{}
	var order []matrix.Combination
	for _, r := range runs {
		c := r.cell()
		if !slices.Contains(order, c.Combination) {
			order = append(order, c.Combination)
		}
		for _, other := range byLengths[c.Combination] {
			if other.cell().Conc == c.Conc {
				return nil, fmt.Errorf("two runs of %s: import each pass on its own", c.Name())
			}
		}
		byLengths[c.Combination] = append(byLengths[c.Combination], r)
	}
	var dirs []string
	for _, combo := range order {
		dir, err := writeBatch(root, combo, byLengths[combo])
		if err != nil {
			return dirs, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

func writeBatch(root string, combo matrix.Combination, runs []Imported) (string, error) {
	h := batch.Header{Combination: combo, Mode: "import", Time: time.Now()}
	slices.SortFunc(runs, func(a, b Imported) int { return a.cell().Conc - b.cell().Conc })
	for _, r := range runs {
		h.Cells = append(h.Cells, r.cell())
		if !r.Date.IsZero() {
			h.Time = r.Date
		}
	}
	b, err := batch.Create(root, h)
	if err != nil {
		return "", err
	}
	for _, r := range runs {
		if err := b.WriteResult("", r.cell(), r.Result); err != nil {
			return "", err
		}
		if r.Timings != nil {
			if err := b.WriteRequests(r.cell(), r.Timings, r.Duration); err != nil {
				return "", err
			}
		}
		if err := b.Record(r.cell(), r.Result.Status, r.Duration); err != nil {
			return "", err
		}
	}
	return b.Dir, b.Close()
}

func (r Imported) cell() matrix.Cell {
	a := r.Result.Args
	return matrix.Cell{
		Combination: matrix.Combination{ISL: a.RandomInputLen, OSL: a.RandomOutputLen},
		Conc:        a.MaxConcurrency, NumPrompts: a.NumPrompts,
	}
}

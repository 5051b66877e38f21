// Package report turns a batch folder into pages for a reader: report.html,
// one self-contained file that opens from disk, and summary.md for a pull
// request. It works from the folder alone, so a report can be made again at
// any time, of an old batch as well.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"time"

	"inferbench/baselines"
	"inferbench/harness/batch"
	"inferbench/harness/figures"
	"inferbench/harness/matrix"
	"inferbench/harness/pareto"
	"inferbench/harness/power"
	"inferbench/harness/scrape"
)

// Names of the files that [Write] makes.
const (
	HTMLName     = "report.html"
	MarkdownName = "summary.md"
)

// Options are what a batch need not know. Zero values mean "not given": then
// what the batch was run with counts.
type Options struct {
	GPUHourUSD float64 // price of one GPU for an hour
	GPUWatts   float64 // power of one GPU, as stated by whoever runs it: it is not measured here
}

// Write makes report.html and summary.md in the batch folder dir.
func Write(dir string, o Options) error {
	r, err := Read(dir, o)
	if err != nil {
		return err
	}
	html, err := r.HTML()
	if err != nil {
		return fmt.Errorf("%s of %s: %w", HTMLName, dir, err)
	}
	if err := r.folder.WriteFile(HTMLName, html); err != nil {
		return err
	}
	return r.folder.WriteFile(MarkdownName, r.Markdown())
}

// Report is what the pages are made of.
type Report struct {
	Head
	Counts   []string // how many cells ended how: "4 PASSED"
	Cells    []Cell
	Baseline *Baseline
	Accuracy []Accuracy // one a cell; equal neighbours folded into one
	Settings []Setting
	Options  Options

	folder *batch.Folder
	doubts []string // what makes an accuracy verdict doubtful, each once
}

// Head is what is common to a batch's cells.
type Head struct {
	matrix.Combination
	Dir, Mode string
	Time      time.Time
	Model     string
	Backend   string
	Label     string // what the batch is of, for people
	Embedded  bool   // the suite's own engine was measured
}

// Cell is one row of the table. Figures are nil where there are none.
type Cell struct {
	Conc   int
	Rate   float64 // requests a second, where that tells cells apart; 0: CONC does
	Status batch.Status
	Took   time.Duration
	Result *batch.Result // nil where there is none
	Notes  []string      // the result's, and what of its files could not be read

	USDPerMillion, USDPerMillionOut *float64 // tokens, all and output
	TokensPerJoule                  *float64

	Audit  []Setting       // the client's own account, key by key
	Series *Series         // nil where no requests were kept
	Server []scrape.Sample // looks at the server's metrics over the run
	Power  []power.Sample  // what the GPUs drew, second by second
}

// At is what tells the cell from the others: 16, or 64 at 2.5/s.
func (c Cell) At() string {
	if c.Rate > 0 {
		return fmt.Sprintf("%d at %g/s", c.Conc, c.Rate)
	}
	return strconv.Itoa(c.Conc)
}

// result returns the cell's result; an empty one where there is none.
func (c Cell) result() *batch.Result {
	if c.Result == nil {
		return new(batch.Result)
	}
	return c.Result
}

// Figure returns a figure of the cell by its key in the result file; nil where it was
// not measured.
func (c Cell) Figure(key string) *float64 {
	if c.Result == nil {
		return nil
	}
	return figures.ByKey(key).Of(c.Result)
}

// Baseline is the hardware's points of this combination, in order of CONC.
type Baseline struct {
	Name, Hardware string
	Points         []baselines.Point
	Differences    []string // between its workload and the batch's
}

// Setting is one line of a list of settings.
type Setting struct{ Key, Value string }

// Read reads a batch folder, result files and requests.
func Read(dir string, o Options) (*Report, error) {
	f, err := batch.Open(dir)
	if err != nil {
		return nil, err
	}
	head := Head{Dir: dir, Mode: f.Summary.Mode, Combination: f.Summary.Combination, Time: f.Summary.Time}
	r := &Report{Head: head, Options: o, folder: f}
	counts := map[batch.Status]int{}
	for _, c := range f.Cells {
		counts[c.Status]++
		cell, err := r.cell(c)
		if err != nil {
			return nil, err
		}
		r.Cells = append(r.Cells, cell)
	}
	for _, s := range []batch.Status{batch.Passed, batch.Failed, batch.Incomplete, batch.Imported} {
		if counts[s] > 0 {
			r.Counts = append(r.Counts, fmt.Sprintf("%d %s", counts[s], s))
		}
	}
	return r, nil
}

func (r *Report) cell(c batch.ReadCell) (Cell, error) {
	cell := Cell{Conc: c.Conc, Rate: c.Rate, Status: c.Status, Took: c.Took}
	if c.Result == nil {
		return cell, nil
	}
	res := c.Result
	r.head(res)
	r.accuracy(c.Cell, res)
	cell.Result, cell.Notes = res, res.Notes
	var err error
	if cell.Audit, err = flat(res.ClientAudit); err != nil {
		return cell, fmt.Errorf("%s: client_audit: %w", c.File, err)
	}
	if res.Baseline != nil {
		r.baseline(c.Cell, res.Baseline)
	}
	if p := res.Performance; p != nil {
		gpus := float64(max(1, res.Args.TP))
		cell.USDPerMillion = perMillion(r.Options.GPUHourUSD, deref(p.TputPerGPU))
		cell.USDPerMillionOut = perMillion(r.Options.GPUHourUSD, p.OutputThroughput/gpus)
		cell.TokensPerJoule = perJoule(r.Options.GPUWatts, deref(p.TputPerGPU))
	}
	kept, err := r.folder.Requests(c.Cell)
	switch {
	case err == nil:
		cell.Series = newSeries(kept, res.Performance)
	case !errors.Is(err, fs.ErrNotExist):
		cell.Notes = append(slices.Clip(cell.Notes), "its requests cannot be drawn: "+err.Error())
	}
	if looks, err := r.folder.Server(c.Cell); err == nil && json.Unmarshal(looks, &cell.Server) != nil {
		cell.Server = nil // no list of looks
	}
	if drawn, err := r.folder.Power(c.Cell); err == nil && json.Unmarshal(drawn, &cell.Power) != nil {
		cell.Power = nil
	}
	return cell, nil
}

// head takes what is common to the batch from the first result that has it.
func (r *Report) head(res *batch.Result) {
	a := res.Args
	if r.Model != "" {
		return
	}
	r.Model, r.Backend, r.Label = a.Model, a.Backend, a.Label
	r.Embedded = a.Embedded()
	if a.BackendVersion != "" {
		r.Backend += " " + a.BackendVersion
	}
	recorded := func(option *float64, name string) {
		if *option == 0 {
			*option, _ = strconv.ParseFloat(a.Settings[name], 64)
		}
	}
	recorded(&r.Options.GPUHourUSD, "GPU_HOUR_USD")
	recorded(&r.Options.GPUWatts, "GPU_WATTS")
	settings, err := flat(mustJSON(a))
	if err == nil {
		// These differ from cell to cell: the table has them.
		r.Settings = slices.DeleteFunc(settings, func(s Setting) bool {
			return s.Value == "" || s.Key == "max_concurrency" || s.Key == "num_prompts" || s.Key == "warmup_requests" ||
				s.Key == "started_at"
		})
	}
}

// baseline takes what the batch was compared with: the whole curve where the
// baseline is a shipped one, else its points at the cells that were measured,
// which their results hold.
func (r *Report) baseline(cell matrix.Cell, c *baselines.Comparison) {
	if c.MedianE2E == nil || c.TputPerGPU == nil { // it has no point for this cell
		return
	}
	if r.Baseline == nil {
		r.Baseline = &Baseline{Name: c.Name, Hardware: c.Hardware, Differences: c.Differences}
		if h, err := baselines.LoadHardware(c.Name); err == nil {
			for _, p := range h.Points {
				if p.ISL == r.ISL && p.OSL == r.OSL {
					r.Baseline.Points = append(r.Baseline.Points, p)
				}
			}
		}
	}
	at := func(p baselines.Point) bool { return p.Conc == cell.Conc }
	if c.Interactivity != nil && !slices.ContainsFunc(r.Baseline.Points, at) {
		r.Baseline.Points = append(r.Baseline.Points, baselines.Point{ISL: cell.ISL, OSL: cell.OSL, Conc: cell.Conc,
			MedianE2E: *c.MedianE2E, Interactivity: *c.Interactivity, TputPerGPU: *c.TputPerGPU})
	}
}

// perMillion returns the price of a million tokens in USD, as InferenceMAX counts
// it: a GPU's hour over the tokens it makes in an hour.
func perMillion(gpuHourUSD, tokensPerSecond float64) *float64 {
	if gpuHourUSD <= 0 || tokensPerSecond <= 0 {
		return nil
	}
	return some(gpuHourUSD / 3600 / tokensPerSecond * 1e6)
}

// perJoule returns the tokens for a joule at the stated power.
func perJoule(watts, tokensPerSecond float64) *float64 {
	if watts <= 0 || tokensPerSecond <= 0 {
		return nil
	}
	return some(tokensPerSecond / watts)
}

// front marks the cells on the Pareto front of tok/s/GPU over the figure x. A
// cell that failed is neither on the front nor beats anything.
func front(cells []Cell, x string, better pareto.Better) []bool {
	at := func(c Cell) (p pareto.Point, counts bool) {
		across, up := c.Figure(x), c.Figure("tput_per_gpu")
		if c.Status == batch.Failed || up == nil || across == nil {
			return p, false
		}
		return pareto.Point{X: *across, Y: *up}, true
	}
	var points []pareto.Point
	for _, c := range cells {
		if p, counts := at(c); counts {
			points = append(points, p)
		}
	}
	best := pareto.Front(points, better)
	on := make([]bool, len(cells))
	for i, c := range cells {
		p, counts := at(c)
		on[i] = counts && slices.Contains(best, p)
	}
	return on
}

// deref returns a figure, 0 where there is none.
func deref(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

func some(v float64) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	return &v
}

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return b
}

// flat lists the single values of a JSON object in their order, and those of
// objects within it under outer.inner.
func flat(raw json.RawMessage) ([]Setting, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var o map[string]json.RawMessage
	if err := json.Unmarshal(raw, &o); err != nil {
		return nil, err
	}
	var out []Setting
	for _, k := range orderedKeys(raw) {
		var v any
		if err := json.Unmarshal(o[k], &v); err != nil {
			return nil, err
		}
		switch v := v.(type) {
		case map[string]any:
			inner, err := flat(o[k])
			if err != nil {
				return nil, err
			}
			for _, s := range inner {
				out = append(out, Setting{k + "." + s.Key, s.Value})
			}
		case nil:
			out = append(out, Setting{k, "–"})
		case float64:
			out = append(out, Setting{k, number(v)})
		default:
			out = append(out, Setting{k, fmt.Sprint(v)})
		}
	}
	return out, nil
}

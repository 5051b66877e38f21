// Package compare lays two batches side by side, cell by cell: the ratio of
// each figure with a confidence interval, and a verdict only where the
// difference is significant.
//
// What may not be compared is refused with the reason: different models,
// different workloads, a cell that failed. Figures that the client limited show
// their ratio and get no verdict. The interval comes from one of two sources. Four or more passes
// a side (several batch folders) are tested by golang.org/x/perf/benchmath;
// else the requests of the cells are resampled (see bootstrap.go). Resampling
// sees the noise within a run, not what changes from one start of a server to
// the next: where that matters, repeat the passes.
package compare

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"slices"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
)

// Verdict is what the data allow to say of one figure.
type Verdict string

const (
	Better   Verdict = "better"
	Worse    Verdict = "worse"
	Alike    Verdict = "no difference shown" // which does not prove that there is none
	Untested Verdict = "untested"            // too few passes, and too few requests or none kept
)

// Options says how sure a verdict must be.
type Options struct {
	Confidence float64 // of all intervals together; 0 means 0.95
}

// Comparison is two sides laid side by side.
type Comparison struct {
	A, B       []string `json:"-"` // the folders of each side
	Confidence float64  `json:"confidence"`
	Cells      []Cell   `json:"cells"`
}

// Cell is one cell of a comparison.
type Cell struct {
	Name    string       `json:"cell"` // isl=1024/osl=1024/conc=16
	Refused string       `json:"refused,omitempty"`
	Marks   []batch.Mark `json:"marks,omitempty"` // of either side
	Method  string       `json:"method,omitempty"`
	Notes   []string     `json:"notes,omitempty"` // what else differs between the sides
	Figures []Figure     `json:"figures,omitempty"`
}

// Figure is one figure of a cell on both sides.
type Figure struct {
	Key     string   `json:"key"` // as in a result file
	Higher  bool     `json:"higher_is_better"`
	A       float64  `json:"a"`
	B       float64  `json:"b"`
	Ratio   float64  `json:"ratio"` // B/A
	Low     *float64 `json:"low"`   // of the ratio; nil where it has no bound or was not tested
	High    *float64 `json:"high"`
	Verdict Verdict  `json:"verdict"`
}

// Regress is by how much B is worse, relative to A: 0.03 is 3 % fewer tokens
// a second or 3 % more milliseconds; negative where B is better.
func (f Figure) Regress() float64 {
	if f.Higher {
		return 1 - f.Ratio
	}
	return f.Ratio - 1
}

// compared are the figures that are compared, in order.
var compared = func() (out []figures.Figure) {
	for _, f := range figures.Table {
		if f.In(figures.Compare) {
			out = append(out, f)
		}
	}
	return out
}()

// Folders compares the passes of side A with those of side B.
func Folders(a, b []*batch.Folder, o Options) (*Comparison, error) {
	if o.Confidence == 0 {
		o.Confidence = 0.95
	}
	if len(a) == 0 || len(b) == 0 {
		return nil, errors.New("compare: give at least one batch folder a side")
	}
	if err := apart(a, b); err != nil {
		return nil, err
	}
	c := &Comparison{Confidence: o.Confidence}
	for _, f := range a {
		c.A = append(c.A, f.Dir)
	}
	for _, f := range b {
		c.B = append(c.B, f.Dir)
	}
	var pairs []pair
	for _, cell := range cellsOf(append(slices.Clone(a), b...)) {
		p := pair{cell, collect(a, cell), collect(b, cell), Cell{Name: cell.Name()}}
		if p.Refused, p.Notes = p.check(); p.Refused == "" {
			p.Marks = p.marks()
		}
		pairs = append(pairs, p)
	}
	tests := 0
	for _, p := range pairs {
		if p.Refused == "" {
			tests += p.tests()
		}
	}
	for _, p := range pairs {
		if p.Refused == "" {
			if err := p.compare(1-o.Confidence, tests); err != nil {
				return nil, err
			}
		}
		c.Cells = append(c.Cells, p.Cell)
	}
	return c, nil
}

// apart is an error where a folder is on both sides: a gate that compares a
// batch with itself is always passed.
func apart(a, b []*batch.Folder) error {
	for _, f := range a {
		if slices.ContainsFunc(b, f.Same) {
			return fmt.Errorf("%s is on both sides: a batch does not differ from itself", f.Dir)
		}
	}
	return nil
}

// pass is one measurement of a cell.
type pass struct {
	folder *batch.Folder
	cell   batch.ReadCell
}

type pair struct {
	cell matrix.Cell
	a, b []pass
	Cell
}

// cellsOf lists the cells of all folders, each once, in order of appearance.
func cellsOf(fs []*batch.Folder) []matrix.Cell {
	var out []matrix.Cell
	for _, f := range fs {
		for _, c := range f.Cells {
			if !slices.ContainsFunc(out, func(o matrix.Cell) bool { return same(o, c.Cell) }) {
				out = append(out, c.Cell)
			}
		}
	}
	return out
}

func same(a, b matrix.Cell) bool { return a.Same(b) }

func collect(fs []*batch.Folder, cell matrix.Cell) []pass {
	var out []pass
	for _, f := range fs {
		for _, c := range f.Cells {
			if same(c.Cell, cell) {
				out = append(out, pass{f, c})
			}
		}
	}
	return out
}

// tests returns how many figures of the pair resampling may judge.
func (p *pair) tests() (n int) {
	for _, f := range compared {
		if f.Sample != nil && len(values(f, p.a)) > 0 && len(values(f, p.b)) > 0 {
			n++
		}
	}
	return n
}

// minPasses is the number of passes a side from which the U-test can reject
// at 5 %. A higher confidence needs more: with fewer no interval has an end, and
// nothing is judged.
const minPasses = 4

// evidence is what tells a difference from chance. The zero evidence tells
// nothing.
type evidence struct {
	passes bool // there are enough of them a side
	a, b   side // their requests, else
}

// evidence finds out what there is, and says so in the pair's Method.
func (p *pair) evidence() (e evidence, err error) {
	if why := p.limited(); why != "" {
		p.Method = "ratio only: " + why
		return e, nil
	}
	if len(p.a) >= minPasses && len(p.b) >= minPasses {
		p.Method = fmt.Sprintf("benchmath over %d and %d passes", len(p.a), len(p.b))
		return evidence{passes: true}, nil
	}
	ra, errA := requests(p.a)
	rb, errB := requests(p.b)
	switch err := errors.Join(errA, errB); {
	case errors.Is(err, fs.ErrNotExist):
		p.Method = "ratio only: no requests kept, and fewer than 4 passes a side"
		return e, nil
	case err != nil:
		return e, err
	}
	rng := rand.New(rand.NewPCG(1, uint64(p.cell.Conc))) // the same folders give the same table
	p.Method = fmt.Sprintf("block bootstrap over %d and %d requests", len(ra), len(rb))
	return evidence{a: draw(rng, ra, p.cell.Conc), b: draw(rng, rb, p.cell.Conc)}, nil
}

// compare fills in the figures. The bootstrap's alpha is divided among all
// tests of the table (Bonferroni), so that a table of 40 unchanged figures shows
// a change once in 20 tables, not twice in each. Passes are judged as benchstat
// does, each figure at alpha: few passes can do no better.
func (p *pair) compare(alpha float64, tests int) error {
	e, err := p.evidence()
	if err != nil {
		return err
	}
	for i, fig := range compared {
		a, b := values(fig, p.a), values(fig, p.b)
		if len(a) == 0 || len(b) == 0 {
			continue
		}
		f := Figure{Key: fig.Key, Higher: fig.Better == figures.Higher, A: median(a), B: median(b), Verdict: Untested}
		f.Ratio = f.B / f.A
		switch {
		case e.passes && len(a) >= minPasses && len(b) >= minPasses:
			low, high, _ := passInterval(a, b, alpha)
			f.judge(low, high)
		case e.a.resolves(i) && e.b.resolves(i):
			f.judge(interval(e.a, e.b, i, f.Ratio, alpha/float64(tests)))
		}
		p.Figures = append(p.Figures, f)
	}
	return nil
}

// judge gives a verdict where the interval leaves 1 out. A low end of 0 is none.
func (f *Figure) judge(low, high float64) {
	if low > 0 && !math.IsInf(low, 1) {
		f.Low = &low
	}
	if !math.IsInf(high, 0) {
		f.High = &high
	}
	switch {
	case f.Low == nil && f.High == nil: // an interval without ends says nothing
	case low > 1 == f.Higher && (low > 1 || high < 1):
		f.Verdict = Better
	case low > 1 || high < 1:
		f.Verdict = Worse
	default:
		f.Verdict = Alike
	}
}

// values lists what a figure is in every pass that has it. A ratio needs values
// above 0.
func values(f figures.Figure, ps []pass) (out []float64) {
	for _, p := range ps {
		if v := f.Of(p.cell.Result); v != nil && *v > 0 {
			out = append(out, *v)
		}
	}
	return out
}

// requests reads the successful requests of all passes, each pass in the
// order of sending, without the gaps between their tokens.
func requests(ps []pass) ([]stats.Timing, error) {
	var out []stats.Timing
	for _, p := range ps {
		kept, err := p.folder.Requests(p.cell.Cell)
		if err != nil {
			return nil, err
		}
		var ts []stats.Timing
		for _, t := range kept.Timings {
			if t.Err != "" {
				continue
			}
			t.ITL = stats.Gaps{} // the most of what is kept, and not needed
			ts = append(ts, t)
		}
		slices.SortStableFunc(ts, func(a, b stats.Timing) int { return cmp.Compare(a.Sent, b.Sent) })
		out = append(out, ts...)
	}
	return out, nil
}

package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"inferbench/harness/matrix"
	"inferbench/harness/textfile"
)

// PlanName is the file of a batch that says what was to run, and on what. It
// is what a batch is resumed from.
const PlanName = "plan.json"

// Plan is what a batch set out to do and how far it has come. It is written
// before the first cell and after each.
type Plan struct {
	ISL      int       `json:"isl"`
	OSL      int       `json:"osl"`
	Scenario string    `json:"scenario_name,omitempty"` // then ISL and OSL are 0
	Mode     string    `json:"mode"`
	Time     time.Time `json:"time"`
	Conc     []int     `json:"conc"`            // of its cells, in order
	Prompts  []int     `json:"prompts"`         // of each of them
	Rates    []float64 `json:"rates,omitempty"` // of each, where that tells them apart
	Server   Server    `json:"server"`          // that it runs on
	Settings Settings  `json:"settings"`        // that differ from their defaults, secrets left out

	// Inputs are the SHA-256 of what settings name, by setting: a baseline or a
	// data file is read anew when a batch is resumed, and must be the same.
	Inputs map[string]string `json:"inputs,omitempty"`

	Outcomes []Outcome `json:"outcomes"` // of the cells that have ended; nil in a plan of before there were any
	Ended    bool      `json:"ended"`    // nothing is being written any more
}

// Outcome is how a cell of a plan ended.
type Outcome struct {
	Conc   int     `json:"conc"`
	Rate   float64 `json:"rate,omitempty"`
	Status Status  `json:"status"`
	Took   float64 `json:"took_s"` // seconds
}

// Settings are settings by name, as they were written.
type Settings = map[string]string

// Server is who answered when the batch began.
type Server struct {
	Model   string `json:"model"`
	Backend string `json:"backend"`
	Version string `json:"backend_version"`
}

// add makes a cell part of the plan.
func (p *Plan) add(c matrix.Cell) {
	p.Conc, p.Prompts = append(p.Conc, c.Conc), append(p.Prompts, c.NumPrompts)
	if c.Rate > 0 {
		p.Rates = append(p.Rates, c.Rate)
	}
}

// Cells returns the plan's cells, in order.
func (p Plan) Cells() []matrix.Cell {
	var out []matrix.Cell
	for i, conc := range p.Conc {
		c := matrix.Cell{Combination: p.combination(), Conc: conc}
		if i < len(p.Prompts) {
			c.NumPrompts = p.Prompts[i]
		}
		if i < len(p.Rates) {
			c.Rate = p.Rates[i]
		}
		out = append(out, c)
	}
	return out
}

func (p Plan) combination() matrix.Combination {
	return matrix.Combination{ISL: p.ISL, OSL: p.OSL, Scenario: p.Scenario}
}

// WritePlan gives the batch its plan: what its header says, and on what it runs
// and with what. From then on the plan is written with each summary.
func (b *Batch) WritePlan(server Server, settings Settings, inputs map[string]string) error {
	h := b.header
	p := &Plan{ISL: h.ISL, OSL: h.OSL, Scenario: h.Scenario, Mode: h.Mode, Time: h.Time, Server: server,
		Settings: settings, Inputs: inputs}
	for _, c := range h.Cells {
		p.add(c)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.plan = p
	return b.save("")
}

// writePlan writes the plan with what has ended so far. It wants the mutex held.
func (b *Batch) writePlan(ended bool) error {
	p := b.plan
	p.Outcomes, p.Ended = []Outcome{}, ended
	for _, c := range b.header.Cells {
		if o, ok := b.done[c]; ok {
			p.Outcomes = append(p.Outcomes, Outcome{c.Conc, c.Rate, o.status, o.took.Seconds()})
		}
	}
	j, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return fmt.Errorf("plan of %s: %w", b.Dir, err)
	}
	return b.write(PlanName, append(j, '\n'))
}

// summary returns what the plan says of the batch; false for a plan of before there
// were outcomes in it.
func (p Plan) summary() (s Summary, ok bool) {
	if p.Outcomes == nil {
		return s, false
	}
	s = Summary{Combination: p.combination(), Mode: p.Mode, Time: p.Time.Local(),
		Cells: len(p.Conc), Ended: p.Ended}
	for _, o := range p.Outcomes {
		s.lines = append(s.lines, ReadCell{Cell: matrix.Cell{Combination: s.Combination, Conc: o.Conc, Rate: o.Rate},
			Status: o.Status, Took: time.Duration(o.Took * float64(time.Second))})
	}
	return s, true
}

// ReadPlan reads a batch's plan.
func ReadPlan(dir string) (*Plan, error) {
	file := filepath.Join(dir, PlanName)
	p := new(Plan)
	err := textfile.ReadJSON(file, p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: it has no %s, which a batch is resumed from", dir, PlanName)
	}
	if err != nil {
		return nil, err
	}
	if p.Scenario == "" && (p.ISL < 1 || p.OSL < 1) || len(p.Conc) == 0 || len(p.Conc) != len(p.Prompts) {
		return nil, fmt.Errorf("%s: it names no cells", file)
	}
	return p, nil
}

// Unfinished lists the cells of a batch that a resumed sweep is to run. With
// none named by conc they are those that have neither passed nor failed, and
// those that failed for no fault of the configuration: the server had gone, or
// the result could not be written. Any other that failed runs again where conc
// names it. One that passed never does, unless its result file is gone: it is an
// error where conc names such ones alone, since to measure them again is to begin a
// new batch. All of a batch's CONC may be named, as by a variable that was exported
// for the sweep: then what is left of them runs.
func Unfinished(dir string, conc []int) ([]matrix.Cell, error) {
	p, err := ReadPlan(dir)
	if err != nil {
		return nil, err
	}
	f, err := Open(dir)
	if err != nil {
		return nil, err
	}
	state := func(c matrix.Cell) *ReadCell {
		if i := slices.IndexFunc(f.Cells, func(r ReadCell) bool { return r.Same(c) }); i >= 0 {
			return &f.Cells[i]
		}
		return nil
	}
	for _, n := range conc {
		if !slices.Contains(p.Conc, n) {
			return nil, fmt.Errorf("CONC=%d is no cell of %s, which has %v", n, dir, p.Conc)
		}
	}
	var out []matrix.Cell
	var passed []string
	for _, c := range p.Cells() {
		s := state(c)
		named := slices.Contains(conc, c.Conc)
		if named && s != nil && s.Status == Passed && !s.Again() {
			passed = append(passed, strconv.Itoa(c.Conc))
			continue
		}
		if named || len(conc) == 0 && (s == nil || s.Again()) {
			out = append(out, c)
		}
	}
	if len(out) == 0 && len(passed) > 0 && len(passed) < len(p.Cells()) {
		return nil, fmt.Errorf("CONC=%s of %s has PASSED: begin a new batch to measure it again",
			strings.Join(passed, ","), dir)
	}
	return out, nil
}

// Reopen opens a batch to run some of its cells (again). What is left of an
// earlier run of these is removed, so that nothing old stands for them. It is
// an error while another process runs the batch.
func Reopen(dir string, again []matrix.Cell) (b *Batch, err error) {
	held, err := lock(dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			held.Close()
		}
	}()
	p, err := ReadPlan(dir)
	if err != nil {
		return nil, err
	}
	f, err := Open(dir)
	if err != nil {
		return nil, err
	}
	b = &Batch{Dir: strings.TrimRight(dir, "/"), lock: held, done: map[matrix.Cell]outcome{},
		header: Header{Combination: f.Summary.Combination, Mode: p.Mode, Time: f.Summary.Time, Cells: p.Cells()}}
	var old []string
	for _, c := range f.Cells {
		i := slices.IndexFunc(b.header.Cells, func(h matrix.Cell) bool { return h.Conc == c.Conc && h.Rate == c.Rate })
		if i < 0 {
			continue
		}
		cell := b.header.Cells[i]
		if !slices.Contains(again, cell) {
			if c.Status == Passed || c.Status == Failed {
				b.done[cell] = outcome{c.Status, c.Took}
			}
			continue
		}
		if c.Status == Passed && !c.Again() { // by another process, since the cells were chosen
			return nil, fmt.Errorf("%s of %s has PASSED meanwhile: begin a new batch to measure it again", cell.Name(), dir)
		}
		old = append(old, c.File, filepath.Join(dir, RequestsFileName(cell)), filepath.Join(dir, ServerFileName(cell)))
	}
	// Plan and summary first: they must not speak of a cell whose files are gone.
	b.plan = p
	if err := b.save(""); err != nil {
		return nil, err
	}
	for _, file := range old {
		if err := os.Remove(file); file != "" && err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("make room for what runs again: %w", err)
		}
	}
	return b, nil
}

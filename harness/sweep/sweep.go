// Package sweep takes the cells of a sweep along their way: score → measure →
// audit → judge → keep, so that each ends with one true status in its batch.
//
// [Sweep.Accuracy] scores a cell, [Sweep.Serve] measures it. The sweep remembers
// what it has done, so that both judge by the same accuracy result. Who selects
// the cells, shows progress, prints tables and submits is package suite.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"inferbench/baselines"
	"inferbench/harness/batch"
	"inferbench/harness/hint"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/shard"
	"inferbench/harness/workload"
)

// Version is the suite's own version, as CHANGELOG.md lists it and as every
// result records it.
const Version = "0.1.0"

// Config is what a sweep is made from.
type Config struct {
	Settings settings.Settings
	Target   *server.Server // a server that is ready, see [server.Server.Wait]
	Watch    Watcher        // told what happens; nil for nobody
	Shards   *shard.Group   // who shares the load; nil for nobody. See [Follow]
	Begin    time.Time

	Mode         settings.Mode        // acc: no cell's speed is measured
	Cells        []matrix.Cell        // in the order in which they run
	AccuracyOnly map[matrix.Cell]bool // those whose speed is not measured
}

// Watcher is told what happens while it happens. Its methods are called from
// one goroutine at a time and must return at once.
type Watcher interface {
	Accuracy(cell matrix.Cell, done, total int)
	Serving(cell matrix.Cell, p load.Progress)
	Ended(cell matrix.Cell, r *batch.Result)

	// Fetching says how many bytes have come of a data file that accuracy is
	// measured on; total is -1 where that is not known.
	Fetching(cell matrix.Cell, file string, got, total int64)
}

// Sweep is an open sweep. Its cells run one after another: they share a server.
type Sweep struct {
	Config
	hardware *baselines.Hardware
	probing  *probe // nil but in [Sweep.Probe]
	sessions recordings
	batches  map[matrix.Combination]*batch.Batch

	mu     sync.Mutex // guards states
	states map[matrix.Cell]*state
	scores map[matrix.Cell]*Accuracy // by combination and CONC, of those that other cells may stand on

	known canaryAnswers
}

// state is what is known of a cell so far.
type state struct {
	accuracy *Accuracy
	passes   int           // that were begun
	unbooked time.Duration // time spent that the batch has not been told of
	result   *batch.Result // the last one written
	blocks   []block       // see [Sweep.Block]
}

// Open checks that the sweep can be run at all and makes its batch folders. The
// error is one line; nothing is left behind when there is one.
func Open(ctx context.Context, c Config) (*Sweep, error) {
	sw := &Sweep{Config: c, batches: map[matrix.Combination]*batch.Batch{}, states: map[matrix.Cell]*state{},
		scores: map[matrix.Cell]*Accuracy{}, known: newCanaryAnswers()}
	if sw.Watch == nil {
		sw.Watch = nobody{}
	}
	var err error
	if sw.hardware, err = baselines.LoadHardware(c.Settings.Results.HardwareBaseline); err != nil {
		return nil, fmt.Errorf("HW_BASELINE: %w", err)
	}
	if name := c.Settings.Accuracy.Baseline; name != "" {
		if _, err := baselines.LoadAccuracy(name); err != nil {
			return nil, fmt.Errorf("ACC_BASELINE: %w", err)
		}
	}
	for _, cell := range sw.Cells {
		if n := cell.ISL + cell.OSL; sw.Target.MaxLen > 0 && n > sw.Target.MaxLen && sw.measures(cell) {
			err := fmt.Errorf("%s: ISL+OSL is %d, but %s takes %d tokens in all", cell.Name(), n, sw.Target.Model,
				sw.Target.MaxLen)
			return nil, hint.New(err, server.LongerContext)
		}
	}
	if err := sw.readable(ctx); err != nil {
		return nil, err
	}
	if err := sw.openBatches(); err != nil {
		return nil, err
	}
	return sw, nil
}

// readable opens the file that the load comes from, where it comes from one, so that a
// fault in it ends the sweep before accuracy is scored for nothing.
func (sw *Sweep) readable(ctx context.Context) error {
	i := slices.IndexFunc(sw.Cells, sw.measures)
	if i < 0 {
		return nil
	}
	if k := sw.Settings.Replay.Kind; k != nil && k.File {
		_, _, err := sw.traces(ctx)
		return err
	}
	if !sw.kind().File {
		return nil
	}
	plan := sw.plan(pass{Cell: sw.Cells[i]})
	plan.Workload.N = 1 // of the others' tokens none are counted yet
	_, _, _, err := load.Open(ctx, sw.Target, plan)
	return err
}

func (sw *Sweep) openBatches() error {
	byCombination := map[matrix.Combination][]matrix.Cell{}
	for _, c := range sw.Cells {
		byCombination[c.Combination] = append(byCombination[c.Combination], c)
		sw.states[c] = &state{}
	}
	for combo, cells := range byCombination {
		b, err := sw.openBatch(combo, cells)
		if err != nil {
			return err
		}
		sw.batches[combo] = b
	}
	return nil
}

// Add makes one more cell part of the sweep and of its batch.
func (sw *Sweep) Add(c matrix.Cell) error {
	b := sw.batches[c.Combination]
	if b == nil {
		return fmt.Errorf("%s: %w", c.Name(), ErrNotSelected)
	}
	sw.mu.Lock()
	if sw.states[c] == nil {
		sw.states[c] = &state{}
		sw.Cells = append(sw.Cells, c)
	}
	sw.mu.Unlock()
	return b.Add(c)
}

// Batches lists the sweep's batches, in the order in which they run.
func (sw *Sweep) Batches() []*batch.Batch {
	var out []*batch.Batch
	for _, c := range sw.Cells {
		if b := sw.batches[c.Combination]; !slices.Contains(out, b) {
			out = append(out, b)
		}
	}
	return out
}

// Batch is the batch of the cell's combination.
func (sw *Sweep) Batch(c matrix.Cell) *batch.Batch { return sw.batches[c.Combination] }

// Scored is how the cell's accuracy run ended; nil where there was none.
func (sw *Sweep) Scored(c matrix.Cell) *Accuracy {
	sw.mu.Lock()
	defer sw.mu.Unlock()
	return sw.states[c].accuracy
}

// Result is the cell's last result; nil where there is none.
func (sw *Sweep) Result(c matrix.Cell) *batch.Result {
	sw.mu.Lock()
	defer sw.mu.Unlock()
	return sw.states[c].result
}

// Hardware is the hardware baseline that cells are compared with.
func (sw *Sweep) Hardware() *baselines.Hardware { return sw.hardware }

// measures reports whether the cell's speed will be measured.
func (sw *Sweep) measures(c matrix.Cell) bool {
	return sw.Mode != settings.ModeAcc && !sw.AccuracyOnly[c]
}

// ErrNotSelected is the error for a cell that the sweep was not opened with.
var ErrNotSelected = errors.New("the cell is not part of this sweep")

// enter is what every door does first: it finds the cell's state and refuses to
// go on after an interrupt.
func (sw *Sweep) enter(ctx context.Context, c matrix.Cell) (*state, error) {
	sw.mu.Lock()
	defer sw.mu.Unlock()
	st, ok := sw.states[c]
	switch {
	case !ok:
		return nil, fmt.Errorf("%s: %w", c.Name(), ErrNotSelected)
	case ctx.Err() != nil:
		return nil, ErrInterrupted
	}
	return st, nil
}

// ErrInterrupted is the error of a cell that was cut off, or never begun, because
// the user stopped the sweep.
var ErrInterrupted = errors.New("interrupted")

// finish writes a cell's result and books its status.
func (sw *Sweep) finish(c matrix.Cell, st *state, r *batch.Result) error {
	b := sw.batches[c.Combination]
	st.result = r
	took := st.unbooked
	st.unbooked = 0
	if sw.Target.Loopback {
		r.Mark(batch.Embedded)
	}
	if sw.synthetic() {
		r.Mark(batch.Synthetic)
	}
	sw.Watch.Ended(c, r)
	if r.Status == batch.Incomplete {
		return b.Record(c, r.Status, took) // no result file for half a cell
	}
	if err := b.WriteResult(sw.Settings.Results.Filename, c, *r); err != nil {
		// Without its file the cell has no result, whatever was measured.
		r.Status, r.Reason = batch.Failed, hint.Line(err)
		return errors.Join(err, b.Record(c, batch.Failed, took))
	}
	return b.Record(c, r.Status, took)
}

// args is what it takes to repeat the cell.
func (sw *Sweep) args(c matrix.Cell, p load.Plan) batch.Args {
	s, t := sw.Settings, sw.Target
	a := batch.Args{Model: t.Model, Backend: t.Dialect.Name, BackendVersion: t.Version, BaseURL: t.BaseURL,
		Endpoint: "/v1/completions", DatasetName: p.Workload.Kind.Name, DatasetPath: p.Workload.Path,
		RandomInputLen: c.ISL, RandomOutputLen: c.OSL, RandomRangeRatio: p.Workload.RangeRatio,
		MaxConcurrency: c.Conc, NumPrompts: c.NumPrompts, WarmUp: p.WarmUp, Seed: s.Workload.Seed, TP: s.Server.TP,
		Mode:          string(sw.Mode),
		ClientVersion: Version, GoVersion: runtime.Version(), StartedAt: sw.Begin.Format(time.RFC3339),
		AccuracyMaxLength: s.Accuracy.MaxLength, Settings: s.Given}
	if k := s.Replay.Kind; k != nil {
		rules, _ := s.Rules(c.Conc)
		a.Scenario, a.DatasetName, a.DatasetPath = c.Scenario, k.Name, s.Workload.Path
		a.WarmUp, a.Seed = rules.WarmUp, rules.Seed
	}
	a.Label, a.Remarks = s.Results.Label, s.Results.Remarks
	a.Server, _ = batch.Section(t.About) // texts and numbers, which JSON has
	if p.Chat {
		a.Endpoint = "/v1/chat/completions"
	}
	if v, ok := p.ExtraBody["temperature"]; !ok || !workload.LeavesOut(v) {
		a.Temperature = &p.Temperature
	}
	a.RequestRate = batch.Rate(p.Rate)
	if t.Loopback {
		a.EngineProfile = s.Engine.Profile
	}
	return a
}

// Close ends the batches: cells without a record become INCOMPLETE. It is an error
// when a cell did not pass, so that the exit code can say so (see [Sweep.verdict]).
func (sw *Sweep) Close() error {
	var errs []error
	for _, b := range sw.batches {
		errs = append(errs, b.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return sw.verdict()
}

type nobody struct{}

func (nobody) Fetching(matrix.Cell, string, int64, int64) {}
func (nobody) Accuracy(matrix.Cell, int, int)             {}
func (nobody) Serving(matrix.Cell, load.Progress)         {}
func (nobody) Ended(matrix.Cell, *batch.Result)           {}

// Package sweep runs the cells of one `go test` invocation: settings → matrix →
// (workload → load → stats | accuracy) → verdict against baselines → batch.
//
// The root package's tests are its doors: TestAccuracy calls [Sweep.Accuracy]
// for a cell, TestServing and BenchmarkServing call [Sweep.Serve]. The sweep
// remembers what it has done, so that every door gates on the same accuracy
// result and each cell ends with one true status in its batch.
package sweep

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"time"

	"inferbench/baselines"
	"inferbench/harness/batch"
	"inferbench/harness/hint"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/report"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/shard"
)

// Version is the suite's own version, as CHANGELOG.md lists it and as every
// result records it.
const Version = "0.1.0"

// Config is what a sweep is made from.
type Config struct {
	Settings settings.Settings
	Target   *server.Server // a server that is ready, see [server.Server.Wait]
	Plan     Plan           // which cells `go test` selects
	Watch    Watcher        // told what happens; nil for nobody
	Shards   *shard.Group   // who shares the load; nil for nobody. See [Follow]

	// Limit is when `go test` will kill this process, counted from Begin; zero
	// is never.
	Limit time.Duration
	Begin time.Time
	Count int // passes over each cell (-count); 0 is 1
}

// Watcher is told what happens while it happens. Its methods are called from
// one goroutine at a time and must return at once.
type Watcher interface {
	Accuracy(cell matrix.Cell, done, total int)
	Serving(cell matrix.Cell, p load.Progress)
	Ended(cell matrix.Cell, r *batch.Result)
}

// FetchWatcher is a [Watcher] that also wants to know how many bytes have come
// of a data file that accuracy is measured on; total is -1 where that is not
// known.
type FetchWatcher interface {
	Fetching(cell matrix.Cell, file string, got, total int64)
}

// Sweep is an open sweep. Its cells run one after another: they share a server.
type Sweep struct {
	Config
	mode     settings.Mode
	hardware *baselines.Hardware
	batches  map[matrix.Combination]*batch.Batch
	cells    []matrix.Cell
	budget   *budget

	mu     sync.Mutex
	states map[matrix.Cell]*state
	stop   error // why no further cell may run
}

// state is what is known of a cell so far.
type state struct {
	accuracy *Accuracy
	passes   int           // that were begun
	unbooked time.Duration // time spent that the batch has not been told of
	result   *batch.Result // the last one written
}

// Effective is the mode that a command line really asks for: a -run pattern
// that leaves out every performance cell makes perf and submit an accuracy run.
func Effective(mode settings.Mode, sel matrix.Selection, plan Plan) settings.Mode {
	for _, combo := range sel.Combinations() {
		for _, c := range sel.Cells(combo) {
			if plan.Serving(c.Name()) {
				return mode
			}
		}
	}
	return settings.ModeAcc
}

// Selected lists the cells that a command line selects, in the order in which
// they run: combination by combination, CONC ascending as given.
func Selected(s settings.Settings, plan Plan) []matrix.Cell {
	var out []matrix.Cell
	for _, combo := range s.Selection.Combinations() {
		for _, c := range s.Selection.Cells(combo) {
			serving := plan.Serving(c.Name()) && s.Mode != settings.ModeAcc
			if serving || plan.Accuracy(c.Name()) {
				out = append(out, c)
			}
		}
	}
	return out
}

// Misses is the error for a command line that asks for the suite's tests but
// selects no cell: package testing would call that a success.
func Misses(s settings.Settings, plan Plan) error {
	if !plan.asks() || len(Selected(s, plan)) > 0 {
		return nil
	}
	var names []string
	for _, combo := range s.Selection.Combinations() {
		for _, c := range s.Selection.Cells(combo) {
			if plan.Serving(c.Name()) {
				return errors.New("nothing would run: mode acc measures no speed, and only that was asked for")
			}
			names = append(names, c.Name())
		}
	}
	return fmt.Errorf("nothing would run: -run, -bench and -skip leave none of the cells that the settings name: %s", strings.Join(names, ", "))
}

// Open checks that the sweep can be run at all and makes its batch folders. The
// error is one line; nothing is left behind when there is one.
func Open(ctx context.Context, c Config) (*Sweep, error) {
	sw := &Sweep{Config: c, mode: Effective(c.Settings.Mode, c.Settings.Selection, c.Plan),
		batches: map[matrix.Combination]*batch.Batch{}, states: map[matrix.Cell]*state{}}
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
	sw.cells = Selected(c.Settings, c.Plan)
	for _, cell := range sw.cells {
		if n := cell.ISL + cell.OSL; sw.Target.MaxLen > 0 && n > sw.Target.MaxLen && sw.serves(cell) {
			return nil, fmt.Errorf("%s: ISL+OSL is %d, but %s takes %d tokens in all",
				cell.Name(), n, sw.Target.Model, sw.Target.MaxLen)
		}
	}
	if sw.budget, err = sw.newBudget(ctx); err != nil {
		return nil, err
	}
	if err := sw.openBatches(); err != nil {
		return nil, err
	}
	return sw, nil
}

func (sw *Sweep) openBatches() error {
	byCombination := map[matrix.Combination][]matrix.Cell{}
	for _, c := range sw.cells {
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

// Cells lists the sweep's cells in order.
func (sw *Sweep) Cells() []matrix.Cell { return sw.cells }

// Mode is the mode in effect, see [Effective].
func (sw *Sweep) Mode() settings.Mode { return sw.mode }

// serves reports whether the cell's speed will be measured.
func (sw *Sweep) serves(c matrix.Cell) bool {
	return sw.mode != settings.ModeAcc && sw.Plan.Serving(c.Name())
}

// ErrNotSelected is the error for a cell that the sweep was not opened with.
var ErrNotSelected = errors.New("the cell is not part of this sweep")

// enter is what every door does first: it finds the cell's state and refuses to
// go on after an interrupt or when the time will not do.
func (sw *Sweep) enter(ctx context.Context, c matrix.Cell) (*state, error) {
	sw.mu.Lock()
	defer sw.mu.Unlock()
	st, ok := sw.states[c]
	switch {
	case !ok:
		return nil, fmt.Errorf("%s: %w", c.Name(), ErrNotSelected)
	case ctx.Err() != nil:
		return nil, ErrInterrupted
	case sw.stop != nil:
		return nil, sw.stop
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
	r.Reason = hint.Add(r.Reason)
	sw.Watch.Ended(c, r)
	if r.Status == batch.Incomplete {
		return b.Record(c, r.Status, took) // no result file for half a cell
	}
	if err := b.WriteResult(sw.Settings.Results.Filename, c, r); err != nil {
		// Without its file the cell has no result, whatever was measured.
		r.Status, r.Reason = batch.Failed, hint.Add(err.Error())
		return errors.Join(hint.Err(err), b.Record(c, batch.Failed, took))
	}
	return b.Record(c, r.Status, took)
}

// args is what it takes to repeat the cell.
func (sw *Sweep) args(c matrix.Cell, p load.Plan) batch.Args {
	s, t := sw.Settings, sw.Target
	a := batch.Args{Model: t.Model, Backend: t.Dialect.Name, BackendVersion: t.Version, BaseURL: t.BaseURL,
		Endpoint: "/v1/completions", DatasetName: string(p.Workload.Kind), DatasetPath: p.Workload.Path,
		RandomInputLen: c.ISL, RandomOutputLen: c.OSL, RandomRangeRatio: p.Workload.RangeRatio,
		MaxConcurrency: c.Conc, NumPrompts: c.NumPrompts, WarmUp: p.WarmUp, Seed: s.Workload.Seed, TP: s.Server.TP, Mode: string(sw.mode),
		ClientVersion: Version, GoVersion: runtime.Version(), StartedAt: sw.Begin.Format(time.RFC3339),
		AccuracyMaxLength: s.Accuracy.MaxLength, Settings: s.Given}
	if p.Chat {
		a.Endpoint = "/v1/chat/completions"
	}
	if p.Rate > 0 {
		a.RequestRate = &p.Rate
	}
	if t.Loopback {
		a.EngineProfile = s.Engine.Profile
	}
	return a
}

// Close ends the batches: cells without a record become INCOMPLETE, and each
// batch gets its report. It is an error when a cell did not pass, so that the
// exit code can say so (see [Sweep.verdict]).
func (sw *Sweep) Close() error {
	var errs []error
	for _, b := range sw.batches {
		errs = append(errs, b.Close())
		errs = append(errs, report.Write(b.Dir, report.Options{GPUHourUSD: sw.Settings.Results.GPUHourUSD, GPUWatts: sw.Settings.Results.GPUWatts}))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return sw.verdict()
}

type nobody struct{}

func (nobody) Accuracy(matrix.Cell, int, int)     {}
func (nobody) Serving(matrix.Cell, load.Progress) {}
func (nobody) Ended(matrix.Cell, *batch.Result)   {}

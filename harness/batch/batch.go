// Package batch is the folder that one combination of a sweep leaves behind:
// its result files and summary.txt. It is the one place that writes results.
//
// Every file appears whole or not at all: it is written beside its place and
// renamed. summary.txt is rewritten after every cell, so a killed process
// leaves a true one. The package knows nothing of servers or of HTTP.
package batch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"inferbench/harness/hint"
	"inferbench/harness/matrix"
)

// Status is how a cell ended.
type Status string

const (
	Passed     Status = "PASSED"
	Failed     Status = "FAILED"
	Incomplete Status = "INCOMPLETE" // never ran, or was cut off, because the sweep was stopped
	Imported   Status = "IMPORTED"   // taken from another tool's file: no verdict of ours stands behind it
)

// Header is what a batch's summary says at its top.
type Header struct {
	matrix.Combination
	Mode  string
	Time  time.Time
	Cells []matrix.Cell // all that are to run, in order
}

// Batch is an open batch folder. Its methods may be called from any goroutine.
type Batch struct {
	Dir    string // as it was created: a path a person can paste
	header Header
	lock   *os.File // until Close: two processes must not run one batch

	mu   sync.Mutex // guards plan and done, and the writing of both
	plan *Plan      // nil until it has one; what is imported never has
	done map[matrix.Cell]outcome
}

type outcome struct {
	status Status
	took   time.Duration
}

// Create makes the folder batch_isl…_osl…_yyyymmdd_hhmmss in root, and in it a
// summary that has no cell yet. A folder of that very second gets a number.
func Create(root string, h Header) (*Batch, error) {
	if err := os.MkdirAll(root, 0o755); err != nil {
		return nil, hint.Folder(fmt.Errorf("results folder (RESULTS_DIR): %w", err), "RESULTS_DIR")
	}
	name := fmt.Sprintf("batch_%s_%s", h.Combination.Name(), h.Time.Format("20060102_150405"))
	dir := filepath.Join(root, name)
	err := os.Mkdir(dir, 0o755)
	for n := 2; os.IsExist(err) && n < 100; n++ {
		dir = filepath.Join(root, fmt.Sprintf("%s_%d", name, n))
		err = os.Mkdir(dir, 0o755)
	}
	if err != nil {
		return nil, hint.Folder(fmt.Errorf("batch folder (RESULTS_DIR): %w", err), "RESULTS_DIR")
	}
	held, err := lock(dir)
	if err != nil {
		return nil, hint.Folder(fmt.Errorf("batch folder (RESULTS_DIR): %w", err), "RESULTS_DIR")
	}
	b := &Batch{Dir: dir, header: h, lock: held, done: map[matrix.Cell]outcome{}}
	if err := b.write("summary.txt", []byte(b.summary(""))); err != nil {
		return nil, b.Abandon(err)
	}
	return b, nil
}

// Abandon removes a batch that could not even begin, for want of space say, and
// returns err, which is why, with what to do other than to go on with it.
func (b *Batch) Abandon(err error) error {
	os.RemoveAll(b.Dir)
	b.lock.Close()
	if diskFull(err) {
		return hint.New(err, "free some space, or choose another folder with RESULTS_DIR")
	}
	return err
}

// Add makes one more cell part of the batch. One that is part of it already stays
// as it is.
func (b *Batch) Add(cell matrix.Cell) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if slices.Contains(b.header.Cells, cell) {
		return nil
	}
	b.header.Cells = append(slices.Clip(b.header.Cells), cell)
	if p := b.plan; p != nil {
		p.add(cell)
	}
	return b.save("")
}

// WriteResult writes a cell's result file. An empty name means the cell's own
// (see [matrix.Cell.FileName]), or [matrix.Cell.VerdictName] where there are no
// figures, so that whoever reads all result_*.json finds figures in each; of an
// earlier pass the other one goes.
func (b *Batch) WriteResult(name string, cell matrix.Cell, r Result) error {
	other := ""
	if name == "" {
		name, other = cell.FileName(), cell.VerdictName()
		if r.Performance == nil {
			name, other = other, name
		}
	}
	j, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("result of %s: %w", cell.Name(), err)
	}
	if err := b.write(name, append(j, '\n')); err != nil || other == "" {
		return err
	}
	if err := os.Remove(filepath.Join(b.Dir, other)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("result of %s: %w", cell.Name(), err)
	}
	return nil
}

// WriteFile writes another file of the batch, whole or not at all.
func (b *Batch) WriteFile(name string, content []byte) error { return b.write(name, content) }

// Record notes how a cell ended and rewrites the summary. A cell that ran more
// than once (-count) stays FAILED once any run failed; its times add up.
func (b *Batch) Record(cell matrix.Cell, status Status, took time.Duration) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := b.done[cell]
	if o.status != Failed {
		o.status = status
	}
	o.took += took
	b.done[cell] = o
	return b.save("")
}

// save writes the plan, which others read, and the summary, which people do. An
// end ends both. It wants the mutex held.
func (b *Batch) save(end string) error {
	if b.plan != nil {
		if err := b.writePlan(end != ""); err != nil {
			return err
		}
	}
	return b.write("summary.txt", []byte(b.summary(end)))
}

// Close writes the summary's last block. Cells without a record are INCOMPLETE,
// and any such cell makes the block say that the sweep was interrupted. From
// then on another process may resume the batch.
func (b *Batch) Close() error {
	defer b.lock.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	end := "Multi-Concurrency Test Complete!"
	for _, c := range b.header.Cells {
		o, ok := b.done[c]
		if !ok {
			b.done[c] = outcome{status: Incomplete}
		}
		if !ok || o.status == Incomplete {
			end = "Interrupted"
		}
	}
	return b.save(end)
}

// Count tells how many cells ended in a status.
func (b *Batch) Count(s Status) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count(s)
}

// Cells lists all cells of the batch, in order, also those that a resumed sweep
// does not run.
func (b *Batch) Cells() []matrix.Cell { return b.header.Cells }

// Status returns how a cell ended; empty for one that has not.
func (b *Batch) Status(cell matrix.Cell) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.done[cell].status
}

func (b *Batch) count(s Status) int {
	n := 0
	for _, o := range b.done {
		if o.status == s {
			n++
		}
	}
	return n
}

const rule = "============================================\n"

// summary returns the text of summary.txt; without an end it stops after the cells
// that have ended.
func (b *Batch) summary(end string) string {
	var w strings.Builder
	h := b.header
	head, cells := fmt.Sprintf("ISL: %d, OSL: %d", h.ISL, h.OSL), fmt.Sprintf("ISL=%d OSL=%d", h.ISL, h.OSL)
	if h.Scenario != "" {
		head, cells = "Scenario: "+h.Scenario, "SCENARIO="+h.Scenario
	}
	fmt.Fprintf(&w, "Multi-Concurrency Test Results\n%s\nMode: %s\nTime: %s\n%s\n", head, h.Mode,
		h.Time.Format(time.ANSIC), rule)
	for i, c := range h.Cells {
		o, ok := b.done[c]
		if !ok {
			continue
		}
		rate := ""
		if c.Rate > 0 {
			rate = fmt.Sprintf(" REQUEST_RATE=%g", c.Rate)
		}
		fmt.Fprintf(&w, "[%d/%d] %s CONC=%d%s: %s", i+1, len(h.Cells), cells, c.Conc, rate, o.status)
		if o.status != Incomplete && (o.status != Imported || o.took > 0) { // not every tool tells
			fmt.Fprintf(&w, " (%.0fs)", o.took.Seconds())
		}
		w.WriteByte('\n')
	}
	if end == "" {
		return w.String()
	}
	fmt.Fprintf(&w, "\n%s%s\n%sTotal tests: %d\nPassed: %d\nFailed: %d\n", rule, end, rule, len(h.Cells), b.count(Passed),
		b.count(Failed))
	if n := b.count(Incomplete); n > 0 {
		fmt.Fprintf(&w, "Incomplete: %d\n", n)
	}
	fmt.Fprintf(&w, "\nResults saved in: %s/\n%s", b.Dir, rule)
	return w.String()
}

func (b *Batch) write(name string, content []byte) error {
	return b.advise(write(b.Dir, name, content))
}

func write(dir, name string, content []byte) error {
	if err := renameio.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(dir, name), err)
	}
	return nil
}

// advise returns err, a failure to write one of the batch's files, with what to
// do about it.
func (b *Batch) advise(err error) error {
	switch {
	case diskFull(err):
		return hint.New(err, "free some space, then go on with make resume BATCH="+b.Dir)
	case errors.Is(err, fs.ErrNotExist):
		return hint.New(err, "the batch's folder was moved or removed while it ran: begin a new batch")
	}
	return hint.Folder(err, "RESULTS_DIR")
}

func diskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

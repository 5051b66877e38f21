// Package history lays all batches below some folders side by side, and rows of
// other tools' files beside them: what was measured when, with which flags, and what
// was best so far. It reads and draws; nothing of it measures.
package history

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"inferbench/harness/batch"
	"inferbench/harness/convert"
	"inferbench/harness/figures"
	"inferbench/harness/matrix"
)

// History is what was found.
type History struct {
	Entries []Entry // in order of time
	Skipped []error // of folders and rows that look like results and cannot be read
}

// Entry is a batch, or a curve of another tool's file.
type Entry struct {
	Dir      string // the batch folder, or the file
	Foreign  bool   // of another tool's file
	Time     time.Time
	Label    string
	Model    string
	Server   string // and its version
	Hardware string // of another tool's row; of a batch what its server says, or nothing
	matrix.Combination
	GPUs   int
	Cells  int // that were to run
	Points []Point
	// Differs are the flags of the server, and the settings, in which the entry is
	// not like all others of the same model, server and lengths: name=value.
	Differs []string

	flags map[string]string
}

// Point is a cell with its figures; nil for those that were not measured.
type Point struct {
	Conc      int
	Status    batch.Status
	Marks     []batch.Mark
	Tput      *float64 // tok/s/GPU
	User      *float64 // tok/s/user
	E2E, TTFT *float64 // E2EL p50 and TTFT p99 in ms
	// Ours over the hardware baseline's; nil where there is none.
	TputRatio, E2ERatio *float64
}

// Counts reports whether the point's figures stand.
func (p Point) Counts() bool { return p.Status != batch.Failed && p.Tput != nil }

// Read reads all batches below folders, and files of other tools. A folder that is
// given must be there; what lies below and cannot be read is skipped and counted.
func Read(paths []string) (*History, error) {
	h := new(History)
	var dirs []string
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			dirs = append(dirs, find(path)...)
			continue
		}
		entries, skipped, err := foreign(path)
		if err != nil {
			return nil, err
		}
		h.Entries = append(h.Entries, entries...)
		h.Skipped = append(h.Skipped, skipped...)
	}
	seen := map[string]bool{}
	dirs = slices.DeleteFunc(dirs, func(dir string) bool { // one that lies below two of the folders counts once
		whole, err := filepath.Abs(dir)
		if err == nil {
			whole, err = filepath.EvalSymlinks(whole)
		}
		twice := err == nil && seen[whole]
		seen[whole] = true
		return twice
	})
	entries, errs := make([]*Entry, len(dirs)), make([]error, len(dirs))
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, dir := range dirs {
		group.Go(func() error {
			entries[i], errs[i] = entry(dir)
			return nil
		})
	}
	_ = group.Wait()
	for i := range dirs {
		if errs[i] != nil {
			h.Skipped = append(h.Skipped, errs[i])
		} else {
			h.Entries = append(h.Entries, *entries[i])
		}
	}
	if len(h.Entries) == 0 {
		err := fmt.Errorf("no batch in %s", strings.Join(paths, ", "))
		return nil, errors.Join(err, errors.Join(h.Skipped...))
	}
	slices.SortStableFunc(h.Entries, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	h.differences()
	return h, nil
}

// deepest is how many folders below one that is given are looked into.
const deepest = 6

// find lists the folders below root that look like batches. Hidden folders and
// those of installed packages are not looked into, nor what lies in a batch.
func find(root string) (out []string) {
	root = filepath.Clean(root)
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		rel, _ := filepath.Rel(root, path)
		name := d.Name()
		if rel != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata" ||
			strings.Count(rel, string(filepath.Separator)) >= deepest) {
			return fs.SkipDir
		}
		if looksLikeABatch(path) {
			out = append(out, path)
			return fs.SkipDir
		}
		return nil
	})
	return out
}

// looksLikeABatch reports whether a folder has what a batch has.
func looksLikeABatch(dir string) bool {
	for _, name := range []string{batch.PlanName, "summary.txt"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	found, _ := fs.Glob(os.DirFS(dir), "result_*.json")
	return len(found) > 0
}

// entry reads a batch.
func entry(dir string) (*Entry, error) {
	f, err := batch.Open(dir)
	if err != nil {
		return nil, err
	}
	e := &Entry{Dir: dir, Time: f.Summary.Time, Combination: f.Summary.Combination,
		Cells: max(f.Summary.Cells, len(f.Cells))}
	for _, c := range f.Cells {
		p := Point{Conc: c.Conc, Status: c.Status}
		if c.Result != nil {
			e.describe(c.Result)
			p.take(c.Result)
		}
		e.Points = append(e.Points, p)
	}
	if e.Model == "" { // no cell has ended yet
		if p, err := batch.ReadPlan(dir); err == nil {
			e.Model, e.Label = p.Server.Model, p.Settings["LABEL"]
			e.Server = strings.TrimSpace(p.Server.Backend + " " + p.Server.Version)
		}
	}
	return e, nil
}

// describe takes what a batch's cells have in common, from the first that tells.
func (e *Entry) describe(r *batch.Result) {
	if e.Model != "" {
		return
	}
	a := r.Args
	e.Model, e.Label, e.GPUs = a.Model, a.Label, a.TP
	e.Server = strings.TrimSpace(a.Backend + " " + a.BackendVersion)
	e.flags = flags(a)
	if a.Embedded() && a.EngineProfile != "" {
		e.flags["profile"] = a.EngineProfile
	}
	if e.Time.IsZero() {
		e.Time, _ = time.Parse(time.RFC3339, a.StartedAt)
	}
}

// take takes a cell's figures.
func (p *Point) take(r *batch.Result) {
	of := func(key string) *float64 { return figures.ByKey(key).Of(r) }
	p.Marks = r.Marks
	p.Tput, p.User, p.E2E, p.TTFT = of("tput_per_gpu"), of("interactivity"), of("median_e2el_ms"), of("p99_ttft_ms")
	if r.Baseline != nil {
		p.TputRatio, p.E2ERatio = r.Baseline.TputRatio, r.Baseline.E2ERatio
	}
}

// foreign reads the rows of another tool's file, as `make import` does, and makes
// a curve of those that are one sweep.
func foreign(file string) (out []Entry, skipped []error, err error) {
	runs, left, err := convert.Read(file, convert.Hints{})
	if err != nil {
		return nil, nil, err
	}
	if len(left) > 0 {
		skipped = append(skipped, fmt.Errorf("%s: %d rows: %s", file, len(left), convert.Reasons(left)))
	}
	at := map[string]int{}
	for _, run := range runs {
		a := run.Result.Args
		e := Entry{Dir: file, Foreign: true, Time: run.Date, Label: run.Tool,
			Combination: matrix.Combination{ISL: a.RandomInputLen, OSL: a.RandomOutputLen},
			Hardware:    cmp.Or(a.Settings["hardware"], a.Settings["hw"])}
		e.describe(&run.Result)
		e.Label = strings.TrimSpace(run.Tool + " " + strings.Join(words(a.Settings, "precision", "spec_decoding"), " "))
		key := fmt.Sprint(e.Time, e.Model, e.Server, e.Combination, e.GPUs, a.Settings)
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key] = i
			out = append(out, e)
		}
		p := Point{Conc: a.MaxConcurrency, Status: batch.Imported}
		p.take(&run.Result)
		out[i].Points, out[i].Cells = append(out[i].Points, p), out[i].Cells+1
	}
	for i := range out {
		slices.SortFunc(out[i].Points, func(a, b Point) int { return cmp.Compare(a.Conc, b.Conc) })
	}
	return out, skipped, nil
}

// words are the values of some settings that are there.
func words(settings map[string]string, names ...string) (out []string) {
	for _, n := range names {
		if v := settings[n]; v != "" && v != "none" {
			out = append(out, v)
		}
	}
	return out
}

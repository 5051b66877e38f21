package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"

	"inferbench/harness/batch"
	"inferbench/harness/compare"
	"inferbench/harness/figures"
	"inferbench/harness/hint"
	"inferbench/harness/matrix"
	"inferbench/harness/report"
	"inferbench/harness/settings"
	"inferbench/harness/sweep"
	"inferbench/harness/textfile"
)

// ABFile is the file, in the batches of both servers, in which an A/B comparison
// keeps its blocks and its answer.
const ABFile = "ab.json"

// AB is what ABFile holds.
type AB struct {
	A          ABSide         `json:"a"`
	B          ABSide         `json:"b"`
	Pairs      int            `json:"pairs"` // of blocks, a cell
	Blocks     []ABBlocks     `json:"blocks"`
	Comparison []compare.Cell `json:"comparison"` // of the cells that are through
}

// ABSide is one of the two servers.
type ABSide struct {
	URL   string `json:"url"`
	Batch string `json:"batch"` // its folder
}

// ABBlocks is a pair of blocks: the same requests, on one server and then on the
// other.
type ABBlocks struct {
	Conc  int         `json:"conc"`
	First string      `json:"first"` // A or B
	A     sweep.Block `json:"a"`
	B     sweep.Block `json:"b"`
}

// CompareServers measures two servers by blocks in turn and compares them, and
// writes what it finds to w. flags has their addresses as words, but for one that is
// resumed. The exit code is 0 when they were compared, 1 when that was cut short
// or the client was the limit, 2 when nothing could be run.
func CompareServers(flags *flag.FlagSet, w io.Writer) int {
	begin := time.Now()
	keepWriting()
	ctx, stop := stopped()
	defer stop()
	ab := &abRun{w: w, begin: begin}
	if err := ab.load(flags); err != nil {
		return refuse(ctx, err)
	}
	if err := ab.open(ctx); err != nil {
		ab.disconnect()
		return refuse(ctx, err)
	}
	defer ab.disconnect()
	return ab.run(ctx)
}

// abRun is a comparison that goes on.
type abRun struct {
	w     io.Writer
	begin time.Time
	sides [2]*abSide // A, B
	combo matrix.Combination
	cells []matrix.Cell // all of them
	file  AB
}

// abSide is one server of it.
type abSide struct {
	name string // A or B
	set  settings.Settings
	*sweep.Sweep
	through map[matrix.Cell]bool // that an earlier process ended
	ends    []func()
}

// load reads the settings of both servers, and what an earlier process measured.
func (ab *abRun) load(flags *flag.FlagSet) error {
	addresses, give := flags.Args(), "base-url"
	if dir := flags.Lookup("resume").Value.String(); dir != "" && len(addresses) == 0 {
		if err := ab.read(dir); err != nil {
			return err
		}
		addresses, give = []string{ab.file.A.Batch, ab.file.B.Batch}, "resume"
	}
	if len(addresses) != 2 || addresses[0] == "" || addresses[1] == "" {
		return errors.New("want the addresses of two servers, as make ab A=http://host1:8888 B=http://host2:8888")
	}
	for i, address := range addresses {
		if err := flags.Set(give, address); err != nil {
			return err
		}
		set, err := settings.Load(flags, os.Environ(), ".env")
		if err != nil {
			return err
		}
		if i == 0 {
			for _, note := range set.Notes {
				fmt.Fprintln(os.Stderr, "inferbench:", note)
			}
		}
		ab.sides[i] = &abSide{name: string(rune('A' + i)), set: set, through: map[matrix.Cell]bool{}}
	}
	a, b := ab.sides[0].set, ab.sides[1].set
	if a.Server.BaseURL == b.Server.BaseURL {
		fmt.Fprintf(os.Stderr, "inferbench: A and B are both %s: whatever differs is chance\n", a.Server.BaseURL)
	}
	return ab.check(a)
}

// check holds the settings to what blocks in turn can do.
func (ab *abRun) check(set settings.Settings) error {
	combos := set.Selection.Combinations()
	switch {
	case set.Embedded():
		return errors.New("want the addresses of two servers: make engine starts one of ours")
	case len(combos) != 1:
		return errors.New("two servers are compared at one pair of lengths: give ISL and OSL")
	case set.Replay.Kind != nil:
		return errors.New("blocks in turn are of single requests: leave the sessions of DATASET out")
	case set.Mode != settings.ModePerf:
		return fmt.Errorf("MODE=%s: blocks in turn measure speed, and submit nothing", set.Mode)
	case set.Shard.Count > 1:
		return errors.New("two servers are compared from one machine: leave SHARD out")
	case set.Shape.Precision > 0 || set.Shape.Duration > 0:
		return errors.New("PAIRS says how many blocks there are, and NUM_PROMPTS how long they are: leave PRECISION and " +
			"DURATION out")
	}
	ab.combo, ab.cells = combos[0], set.Selection.Cells(combos[0])
	ab.file.Pairs = set.Pairs
	if set.Resume == "" {
		return nil
	}
	plan, err := batch.ReadPlan(set.Resume)
	if err == nil {
		ab.cells = plan.Cells()
	}
	return err
}

// read reads what an earlier process measured.
func (ab *abRun) read(dir string) error {
	path := filepath.Join(dir, ABFile)
	err := textfile.ReadJSON(path, &ab.file)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: it has no %s, so it is no comparison of servers: make resume goes on with a sweep", dir,
			ABFile)
	}
	if err != nil {
		return err
	}
	if ab.file.A.Batch == "" || ab.file.B.Batch == "" {
		return fmt.Errorf("%s: it names no batches", path)
	}
	beside := filepath.Dir(filepath.Clean(dir)) // both lie in one folder, wherever that is now
	for _, s := range []*ABSide{&ab.file.A, &ab.file.B} {
		s.Batch = filepath.Join(beside, filepath.Base(s.Batch))
	}
	return nil
}

// open waits for both servers and opens their batches.
func (ab *abRun) open(ctx context.Context) error {
	tty, plain := progressOutput()
	configs := [2]sweep.Config{}
	for i, s := range ab.sides {
		t, disconnect, err := connect(ctx, &s.set, plain)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		s.ends = append(s.ends, disconnect)
		configs[i] = sweep.Config{Settings: s.set, Target: t, Begin: ab.begin, Mode: settings.ModePerf}
	}
	if a, b := configs[0].Target.Model, configs[1].Target.Model; a != b {
		return fmt.Errorf("two models, %s at A and %s at B: their speeds are not compared; let both serve it by one "+
			"name, or set MODEL to one that both have", a, b)
	}
	if err := accuracyReady(ctx, ab.sides[0].set); err != nil {
		return err
	}
	watch, unwatch, err := watcher(ctx, ab.sides[0].set, configs[0].Target, tty, plain, ab.cells, commandLine{})
	if err != nil {
		return err
	}
	ab.sides[0].ends = append(ab.sides[0].ends, unwatch)
	for i, s := range ab.sides {
		configs[i].Watch = watch
		if err := s.open(ctx, configs[i], ab.cells); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	ab.file.A = ABSide{ab.sides[0].set.Server.BaseURL, ab.sides[0].dir()}
	ab.file.B = ABSide{ab.sides[1].set.Server.BaseURL, ab.sides[1].dir()}
	return ab.save()
}

// open opens a side's batch, with the requests that an earlier process kept.
func (s *abSide) open(ctx context.Context, c sweep.Config, cells []matrix.Cell) error {
	c.Cells = cells
	kept := map[matrix.Cell]*batch.Requests{}
	if dir := s.set.Resume; dir != "" {
		f, err := batch.Open(dir)
		if err != nil {
			return err
		}
		c.Cells = nil
		for _, cell := range cells {
			if s.through[cell] = f.Status(cell.Conc) == batch.Passed; s.through[cell] {
				continue
			}
			c.Cells = append(c.Cells, cell)
			if r, err := f.Requests(cell); err == nil {
				kept[cell] = r
			}
		}
	}
	var err error
	if s.Sweep, err = sweep.Open(ctx, c); err != nil {
		return err
	}
	for cell, r := range kept {
		s.Earlier(cell, r)
	}
	return nil
}

// dir is the side's batch folder.
func (s *abSide) dir() string {
	if b := s.Batches(); len(b) > 0 {
		return b[0].Dir
	}
	return s.set.Resume
}

func (ab *abRun) disconnect() {
	for _, s := range ab.sides {
		if s == nil {
			continue
		}
		for _, end := range s.ends {
			end()
		}
		s.ends = nil
	}
}

// run measures what is left, and ends both batches.
func (ab *abRun) run(ctx context.Context) int {
	var err error
	for _, c := range ab.cells {
		if err = ab.cell(ctx, c); err != nil {
			break
		}
	}
	for _, s := range ab.sides {
		s.Close() // which cells FAILED has been said
		results := s.set.Results
		err = errors.Join(err, report.Write(s.dir(), report.Options{GPUHourUSD: results.GPUHourUSD,
			GPUWatts: results.GPUWatts}))
	}
	if len(ab.file.Comparison) > 0 {
		c := compare.Comparison{A: []string{ab.file.A.URL}, B: []string{ab.file.B.URL}, Confidence: 0.95,
			Cells: ab.file.Comparison}
		err = errors.Join(err, c.WriteText(ab.w))
		for _, cell := range c.Cells {
			fmt.Fprintln(ab.w, sentence(cell))
		}
	}
	fmt.Fprintf(ab.w, "Batches: A %s/, B %s/\n", ab.file.A.Batch, ab.file.B.Batch)
	if ctx.Err() != nil {
		err = errors.New("interrupted")
	}
	if err != nil {
		fmt.Fprintln(ab.w, "inferbench:", hint.Line(hint.New(err, "to go on: make ab RESUME="+ab.file.A.Batch)))
		return 1
	}
	if slices.ContainsFunc(ab.file.Comparison, undecided) {
		return 1
	}
	return 0
}

// cell measures the pairs of a cell that are left, and compares them all.
func (ab *abRun) cell(ctx context.Context, c matrix.Cell) error {
	done := ab.blocks(c)
	if len(done) >= ab.file.Pairs && ab.compared(c) {
		return nil
	}
	for _, s := range ab.sides {
		if s.through[c] {
			continue
		}
		if err := s.Ready(ctx, c); err != nil {
			return s.failed(ctx, c, len(done), err)
		}
	}
	requests := max((c.NumPrompts+ab.file.Pairs-1)/ab.file.Pairs, c.Conc)
	for number := len(done); number < ab.file.Pairs; number++ {
		pair, err := ab.pair(ctx, c, number, requests)
		if err != nil {
			return err
		}
		ab.file.Blocks = append(ab.file.Blocks, pair)
		if err := ab.save(); err != nil {
			return err
		}
		fmt.Fprintf(ab.w, "CONC %d, pair %d of %d: %s\n", c.Conc, number+1, ab.file.Pairs, pair)
	}
	for _, s := range ab.sides {
		if s.through[c] {
			continue
		}
		r, err := s.EndBlocks(ctx, c, nil)
		if err == nil && r.Status != batch.Passed {
			err = errors.New(r.Reason)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", s.name, c.Name(), err)
		}
	}
	var pairs []compare.Pair
	for _, p := range ab.blocks(c) {
		pairs = append(pairs, compare.Pair{A: p.A.Result(), B: p.B.Result()})
	}
	ab.file.Comparison = append(ab.file.Comparison, compare.Paired(c, pairs, compare.Options{}))
	return ab.save()
}

// pair measures a block on either server, in an order that chance gives: the same
// for the same SEED.
func (ab *abRun) pair(ctx context.Context, c matrix.Cell, number, requests int) (ABBlocks, error) {
	first := rand.New(rand.NewPCG(uint64(ab.sides[0].set.Workload.Seed), uint64(number))).IntN(2)
	out := ABBlocks{Conc: c.Conc, First: ab.sides[first].name}
	for _, i := range []int{first, 1 - first} {
		s := ab.sides[i]
		b, err := s.Block(ctx, c, number, requests)
		if err != nil {
			return out, s.failed(ctx, c, number, err)
		}
		if i == 0 {
			out.A = *b
		} else {
			out.B = *b
		}
	}
	return out, nil
}

// failed ends a cell of which no more is measured on a side, and says why.
func (s *abSide) failed(ctx context.Context, c matrix.Cell, pairs int, err error) error {
	if ctx.Err() == nil {
		_, unwritten := s.EndBlocks(ctx, c, err)
		err = errors.Join(err, unwritten)
	}
	return fmt.Errorf("%s (%s): %s after %d pairs: %w", s.name, s.set.Server.BaseURL, c.Name(), pairs, err)
}

// blocks are the pairs of a cell so far.
func (ab *abRun) blocks(c matrix.Cell) (out []ABBlocks) {
	for _, p := range ab.file.Blocks {
		if p.Conc == c.Conc {
			out = append(out, p)
		}
	}
	return out
}

func (ab *abRun) compared(c matrix.Cell) bool {
	for _, done := range ab.file.Comparison {
		if done.Name == c.Name() {
			return true
		}
	}
	return false
}

// save writes what there is into both batches.
func (ab *abRun) save() error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(ab.file); err != nil {
		return err
	}
	for _, s := range ab.sides {
		if err := renameio.WriteFile(filepath.Join(s.dir(), ABFile), text.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// String is a pair in a few words.
func (p ABBlocks) String() string {
	var out []string
	for _, key := range []string{"tput_per_gpu", "median_e2el_ms"} {
		f := figures.ByKey(key)
		a, b := f.Of(p.A.Result()), f.Of(p.B.Result())
		if a == nil || b == nil || *a == 0 {
			continue
		}
		out = append(out, fmt.Sprintf("%s A %s, B %s (%+.1f %%)", f.LabelUnit(), f.Print(a), f.Print(b), 100*(*b / *a - 1)))
	}
	return strings.Join(out, "; ")
}

// undecided reports whether no figure of a cell could be judged.
func undecided(c compare.Cell) bool {
	return !slices.ContainsFunc(c.Figures, func(f compare.Figure) bool { return f.Verdict != compare.Untested })
}

// sentence says in which figures B differs from A.
func sentence(c compare.Cell) string {
	var out []string
	rest := 0
	for _, f := range c.Figures {
		if f.Verdict != compare.Better && f.Verdict != compare.Worse {
			rest++
			continue
		}
		out = append(out, fmt.Sprintf("%s in %s (%+.1f %%)", f.Verdict, figures.ByKey(f.Key).Label(), 100*(f.Ratio-1)))
	}
	switch {
	case undecided(c):
		return fmt.Sprintf("%s: nothing can be said of B beside A (%s).", c.Name, c.Method)
	case out == nil:
		return c.Name + ": no figure of B was shown to differ from A's."
	}
	return fmt.Sprintf("%s: B is %s; of %d other figures no difference was shown.", c.Name, strings.Join(out, ", "), rest)
}

package suite

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/renameio/v2"

	"inferbench/harness/batch"
	"inferbench/harness/capacity"
	"inferbench/harness/hint"
	"inferbench/harness/matrix"
	"inferbench/harness/report"
	"inferbench/harness/settings"
	"inferbench/harness/sweep"
	"inferbench/harness/textfile"
)

// SearchFile is the file of a batch in which a search keeps its probes and its
// answer.
const SearchFile = "search.json"

// Searched is what SearchFile holds.
type Searched struct {
	Limits string           `json:"limits"` // as SLO has them
	Probes []capacity.Probe `json:"probes"`
	Answer string           `json:"answer"` // empty while it goes on
	Found  bool             `json:"found"`
}

// Search looks for the most requests in flight, or with a REQUEST_RATE for the most
// requests a second, that keep the limits of SLO, one cell of a batch a probe, and
// writes what it finds to w. The exit code is 0 when it found a load that keeps them
// beside one, at most a tenth above it, that does not; 1 when it did not, 2 when
// nothing could be run.
func Search(flags *flag.FlagSet, w io.Writer) int {
	begin := time.Now()
	keepWriting()
	ctx, stop := stopped()
	defer stop()
	set, err := settings.Load(flags, os.Environ(), ".env")
	for _, note := range set.Notes {
		fmt.Fprintln(os.Stderr, "inferbench:", note)
	}
	s := &searcher{w: w, known: map[float64]capacity.Probe{}}
	if err == nil {
		err = s.prepare(&set)
	}
	if err != nil {
		return refuse(ctx, err)
	}
	tty, plain := progressOutput()
	if err := accuracyReady(ctx, set); err != nil {
		return refuse(ctx, err)
	}
	t, disconnect, err := connect(ctx, &set, plain)
	if err != nil {
		return refuseWith(ctx, set, err)
	}
	defer disconnect()
	watch, unwatch, err := watcher(ctx, set, t, tty, plain, nil, commandLine{})
	if err != nil {
		return refuseWith(ctx, set, err)
	}
	defer unwatch()
	s.config = sweep.Config{Settings: set, Target: t, Watch: watch, Begin: begin, Mode: settings.ModePerf}
	return s.run(ctx)
}

// searcher is a search that goes on.
type searcher struct {
	w      io.Writer
	config sweep.Config
	cell   matrix.Cell  // what all probes have in common
	byRate bool         // they differ by their request rate, not by CONC
	sweep  *sweep.Sweep // nil until the first probe that must be measured
	known  map[float64]capacity.Probe
	file   Searched
}

// prepare checks that the settings name one search, and reads what an earlier
// process found of it.
func (s *searcher) prepare(set *settings.Settings) error {
	combos := set.Selection.Combinations()
	switch {
	case len(set.Shape.Limits) == 0:
		return errors.New("SLO is empty: say which limits the load must keep, as make search SLO=\"ttft:p99<500 " +
			"tpot:p99<50\"")
	case set.Mode != settings.ModePerf:
		return fmt.Errorf("MODE=%s: a search measures speed, and submits nothing", set.Mode)
	case len(combos) != 1:
		return errors.New("a search is of one pair of lengths: give ISL and OSL")
	case len(set.Selection.Conc) > 1:
		return errors.New("CONC names the load that a search begins with: give one, or none for 4")
	case set.Shape.Trace:
		return errors.New("a search varies CONC, or REQUEST_RATE, and a TRACE has its own times: leave TRACE out")
	case set.Replay.Kind != nil && set.Shape.Rate > 0:
		return errors.New("sessions keep CONC of them live: leave REQUEST_RATE out")
	case set.Shape.Precision > 0:
		return errors.New("a search ends each probe when its limits are decided: leave PRECISION out")
	case set.Shard.Count > 1:
		return errors.New("a search runs on one machine: leave SHARD out")
	}
	s.cell, s.byRate = matrix.Cell{Combination: combos[0]}, set.Shape.Rate > 0
	if s.byRate {
		s.cell.Conc = s.mostInFlight(set)
	}
	for _, l := range set.Shape.Limits {
		s.file.Limits = strings.TrimSpace(s.file.Limits + " " + l.String())
	}
	if set.Resume == "" {
		return nil
	}
	path := filepath.Join(set.Resume, SearchFile)
	var was Searched
	err := textfile.ReadJSON(path, &was)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: it has no %s, so it is no search: make resume goes on with a sweep", set.Resume, SearchFile)
	}
	switch {
	case err != nil:
		return err
	case was.Limits != s.file.Limits:
		return fmt.Errorf("%s was a search for %q: that is what it goes on with, not %q", set.Resume, was.Limits,
			s.file.Limits)
	}
	for _, p := range was.Probes {
		s.known[p.Load] = p
	}
	return s.readCells(set.Resume)
}

// mostInFlight is the CONC of probes that differ by their rate: as it is given, else
// what they begin with, and more where the rate wants more.
func (s *searcher) mostInFlight(set *settings.Settings) int {
	if conc := set.Selection.Conc; len(conc) == 1 {
		return conc[0]
	}
	if set.Shape.Uncapped = true; set.Given != nil {
		set.Given["CONC_CAP"] = "false"
	}
	return matrix.Concurrencies[len(matrix.Concurrencies)-1]
}

// at is the cell of a load, and loadOf the load of a cell.
func (s *searcher) at(load float64) matrix.Cell {
	c := s.cell
	if s.byRate {
		c.Rate = load
	} else {
		c.Conc = int(load)
	}
	return c
}

func (s *searcher) loadOf(c matrix.Cell) float64 {
	if s.byRate {
		return c.Rate
	}
	return float64(c.Conc)
}

// varies names what changes from probe to probe: CONC or REQUEST_RATE.
func (s *searcher) varies() string {
	if s.byRate {
		return "REQUEST_RATE"
	}
	return "CONC"
}

// readCells reads the probes that were measured, but not noted any more when the
// process that made them ended.
func (s *searcher) readCells(dir string) error {
	f, err := batch.Open(dir)
	if err != nil {
		return err
	}
	for _, c := range f.Cells {
		load := s.loadOf(c.Cell)
		if _, ok := s.known[load]; !ok && c.Status == batch.Passed && c.Result != nil && len(c.Result.SLO) > 0 {
			s.known[load] = capacity.Probe{Load: load, Verdict: capacity.Together(c.Result.SLO), Judgements: c.Result.SLO,
				Requests: c.Result.SLO[0].Requests, ClientLimited: c.Result.Marked(batch.ClientLimited)}
		}
	}
	return nil
}

// run searches, and ends the batch as a sweep is ended.
func (s *searcher) run(ctx context.Context) int {
	o := capacity.Options{Varies: s.varies(), Whole: true}
	set := s.config.Settings
	switch {
	case s.byRate: // a rate can be told to within less than a tenth
		o.Whole, o.Start, o.Tolerance = false, set.Shape.Rate, 0.03
		o.Least, o.Most = o.Start/64, o.Start*1024
	case len(set.Selection.Conc) == 1:
		o.Start = float64(set.Selection.Conc[0])
	}
	a, err := capacity.Search(ctx, o, s.probe)
	if err == nil {
		s.file.Answer, s.file.Found = a.String(), a.Found()
		err = s.save()
	}
	if s.sweep != nil {
		s.sweep.Close() // cells that FAILED are part of the answer
		for _, b := range s.sweep.Batches() {
			results := s.config.Settings.Results
			err = errors.Join(err, report.Write(b.Dir, report.Options{GPUHourUSD: results.GPUHourUSD,
				GPUWatts: results.GPUWatts}))
		}
	}
	s.writeTable(a)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(s.w, "inferbench:", hint.Line(hint.New(errors.New("interrupted"),
			"to go on: make search RESUME="+s.dir())))
		return 1
	case err != nil:
		fmt.Fprintln(s.w, "inferbench:", hint.Line(err))
		return 1
	}
	fmt.Fprintln(s.w, strings.ToUpper(a.String()[:1])+a.String()[1:]+".")
	if !a.Found() {
		return 1
	}
	return 0
}

// probe measures a load, unless an earlier process has.
func (s *searcher) probe(ctx context.Context, load float64) (capacity.Probe, error) {
	p, ok := s.known[load]
	if !ok {
		if err := s.open(ctx, s.at(load)); err != nil {
			return p, err
		}
		var err error
		if p, err = s.sweep.Probe(ctx, s.at(load)); err != nil {
			return p, err
		}
	}
	fmt.Fprintf(s.w, "%s %g: %s\n", s.varies(), load, p)
	p.Load = load
	s.file.Probes = append(s.file.Probes, p)
	return p, s.save()
}

// open opens the sweep, and with it the batch, with its first cell.
func (s *searcher) open(ctx context.Context, first matrix.Cell) (err error) {
	if s.sweep != nil {
		return nil
	}
	c := s.config
	cell, _ := sweep.ProbeCell(first, c.Settings.Selection.NumPrompts, c.Settings.Shape.Limits)
	c.Cells = []matrix.Cell{cell}
	s.sweep, err = sweep.Open(ctx, c)
	return err
}

// dir is the batch's folder; that of the batch to resume before it is open.
func (s *searcher) dir() string {
	if s.sweep == nil {
		return s.config.Settings.Resume
	}
	return s.sweep.Batches()[0].Dir
}

func (s *searcher) save() error {
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // a limit has a < in it
	enc.SetIndent("", "  ")
	if err := enc.Encode(s.file); err != nil {
		return err
	}
	return renameio.WriteFile(filepath.Join(s.dir(), SearchFile), text.Bytes(), 0o644)
}

// writeTable writes the probes by load.
func (s *searcher) writeTable(a *capacity.Answer) {
	if len(a.Probes) == 0 {
		return
	}
	limits := s.config.Settings.Shape.Limits
	tab := tabwriter.NewWriter(s.w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(tab, "\n%s\trequests\ttok/s/GPU\t", s.varies())
	for _, l := range limits {
		fmt.Fprintf(tab, "%s\t", l)
	}
	fmt.Fprintln(tab, "limits\t")
	throughput := s.throughput()
	for _, p := range a.Sorted() {
		fmt.Fprintf(tab, "%g\t%d\t%s\t", p.Load, p.Requests, cmp.Or(throughput[p.Load], "-"))
		for i := range limits {
			value := "-"
			if i < len(p.Judgements) && p.Judgements[i].Value != nil {
				value = strconv.FormatFloat(*p.Judgements[i].Value, 'g', 4, 64)
			}
			fmt.Fprintf(tab, "%s\t", value)
		}
		limited := ""
		if p.ClientLimited {
			limited = " (client-limited)"
		}
		fmt.Fprintf(tab, "%s%s\t\n", p.Verdict, limited)
	}
	tab.Flush()
	fmt.Fprintf(s.w, "%d requests in all. Batch: %s/\n", a.Requests(), s.dir())
}

// throughput is that of each cell that has one, by load, as the result files have
// it: also those of an earlier process.
func (s *searcher) throughput() map[float64]string {
	out := map[float64]string{}
	f, err := batch.Open(s.dir())
	if err != nil {
		return out
	}
	for _, c := range f.Cells {
		if r := c.Result; r != nil && r.Performance != nil && r.Performance.TputPerGPU != nil {
			out[s.loadOf(c.Cell)] = fmt.Sprintf("%.1f", *r.Performance.TputPerGPU)
		}
	}
	return out
}

// Package power measures what the server's GPUs draw beside a pass: from
// nvidia-smi or amd-smi run here, from a file that such a tool writes elsewhere,
// or from the page of a DCGM exporter.
//
// A [Watch] gathers readings, each with the time at which it was taken. Energy is
// integrated as InferenceX does it (utils/aggregate_power.py): a GPU's readings
// are joined by straight lines, and what lies below them within the measured
// window is its energy. Where the readings do not allow that, there is no figure,
// and the reasons are told.
package power

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"inferbench/harness/stats"
)

// Reading is one look at one GPU. What was not told is nil.
type Reading struct {
	At          time.Time
	GPU         string   // its index, with what tells it from those of another source
	Watts       float64  // drawn; NaN where only the counter was told
	Joules      *float64 // that its own counter has counted
	Temperature *float64 // °C
	SMClock     *float64 // MHz
	Utilization *float64 // share, 0 to 1
	index, uuid string   // of a page, which has both
}

func (r Reading) drawn() bool { return !math.IsNaN(r.Watts) }

// Collector gathers readings until ctx is done. The error says why it ended
// before that, or what was wrong with what it was told.
type Collector interface {
	Collect(ctx context.Context, add func(Reading)) error
	Name() string // of what tells: nvidia-smi, the file, the page
}

const (
	every  = time.Second // between looks
	past   = 2 * every   // how long is looked after the run, so that the last readings lie past its end
	early  = 10 * time.Second
	maxGap = 3 * time.Second // between two readings of a GPU
	maxOff = 0.05            // how far the GPUs' own counters may be from what was integrated
	slack  = time.Second / 2 // of when such a counter was read
)

// patience is how long is waited for the first reading; a test waits less.
var patience = 5 * time.Second

// Idle is the reason where a tool of this machine showed that its GPUs did nothing.
const Idle = "the GPUs of this machine were idle all the time: the server's are elsewhere"

// Watch gathers readings while a pass runs.
type Watch struct {
	from   []Collector
	gpus   []string // that count, by index; nil: all
	roles  []string // those that prefill, where others decode; nil: all do both
	cancel context.CancelFunc
	done   sync.WaitGroup
	news   chan struct{} // there are readings that nobody has looked at

	mu       sync.Mutex // guards what follows
	readings []Reading
	ended    int      // collectors
	why      []string // they ended, or told no more
	silent   bool     // there was no reading when the run began
	start    time.Time
}

// Start begins to gather, of the GPUs of the given indices or UUIDs; of all where
// there are none.
func Start(ctx context.Context, gpus []string, from ...Collector) *Watch {
	ctx, cancel := context.WithCancel(ctx)
	w := &Watch{from: from, gpus: gpus, cancel: cancel, news: make(chan struct{}, 1)}
	since := time.Now().Add(-early)
	for i, c := range from {
		w.done.Go(func() {
			err := c.Collect(ctx, func(r Reading) {
				if !r.At.After(since) || !w.counts(r) {
					return
				}
				if len(from) > 1 {
					r.GPU = fmt.Sprintf("%d/%s", i, r.GPU)
				}
				w.add(r)
			})
			w.mu.Lock()
			if w.ended++; err != nil {
				w.why = append(w.why, fmt.Sprintf("%s: %v", c.Name(), err))
			}
			w.mu.Unlock()
			w.tell()
		})
	}
	return w
}

func (w *Watch) counts(r Reading) bool {
	return w.gpus == nil || slices.Contains(w.gpus, cmp.Or(r.index, r.GPU)) || slices.Contains(w.gpus, r.uuid)
}

// Apart says which of the GPUs prefill, by index, UUID or SOURCE/INDEX, the source
// counted from 0; SOURCE/ alone is all of its. The others decode. Call it before Stop.
func (w *Watch) Apart(prefill []string) { w.roles = prefill }

// prefills reports whether a reading is of a GPU that prefills.
func (w *Watch) prefills(r Reading) bool {
	return slices.ContainsFunc(w.roles, func(name string) bool {
		whole := strings.HasSuffix(name, "/")
		return name == r.GPU || name == r.index || name == r.uuid || whole && strings.HasPrefix(r.GPU, name)
	})
}

// byRole fills in the energy of the GPUs that prefill and of those that decode; the
// reason is why they cannot be told apart.
func (w *Watch) byRole(p *stats.Power, run window, s *stats.Summary) (reason string) {
	var prefill, decode []Reading
	for _, r := range w.readings {
		if w.prefills(r) {
			prefill = append(prefill, r)
		} else {
			decode = append(decode, r)
		}
	}
	const named = "of the GPUs that were sampled POWER_PREFILL_GPUS names "
	switch {
	case prefill == nil:
		return named + "none"
	case decode == nil:
		return named + "all"
	}
	of, gpus, _ := integrate(prefill, run)
	rest, others, _ := integrate(decode, run)
	p.SpendApart(of, gpus, rest, others, s)
	return ""
}

func (w *Watch) add(r Reading) {
	w.mu.Lock()
	w.readings = append(w.readings, r)
	w.mu.Unlock()
	w.tell()
}

func (w *Watch) tell() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// Ready waits until there is a reading of power, at most five seconds: call it before
// the run's clock starts.
func (w *Watch) Ready(ctx context.Context) {
	w.wait(ctx, patience, func() bool { return w.drawn() || w.ended == len(w.from) })
	w.mu.Lock()
	defer w.mu.Unlock()
	w.silent = !w.drawn()
}

// drawn reports whether there is a reading of power: a counter's alone is none. The
// caller holds mu.
func (w *Watch) drawn() bool { return slices.ContainsFunc(w.readings, Reading.drawn) }

// wait waits until enough, called with the lock held, is true.
func (w *Watch) wait(ctx context.Context, most time.Duration, enough func() bool) {
	late := time.NewTimer(most)
	defer late.Stop()
	for {
		w.mu.Lock()
		ok := enough()
		w.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-w.news:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// Measuring says that the measured run began at start. Only the first call
// counts.
func (w *Watch) Measuring(start time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.start.IsZero() {
		w.start = start
	}
}

// Stop gathers until two seconds past the run's end, or until every GPU has a
// reading there, and says what the run of s took. wanted is the number of the
// server's GPUs. It returns nil for a run that never began. Every process that
// was started has ended when it returns.
func (w *Watch) Stop(ctx context.Context, s *stats.Summary, wanted int) (*stats.Power, []Sample) {
	w.mu.Lock()
	run := window{start: w.start}
	w.mu.Unlock()
	if run.start.IsZero() || s == nil || !(s.Duration > 0) {
		w.cancel()
		w.done.Wait()
		return nil, nil
	}
	run.start = run.start.Round(0) // by the time of day, as readings are
	run.end = run.start.Add(time.Duration(s.Duration * float64(time.Second)))
	w.wait(ctx, max(0, time.Until(run.end))+past+every, func() bool {
		return run.within(w.readings) || w.ended == len(w.from) || w.silent && !w.drawn()
	})
	w.cancel()
	w.done.Wait() // for why they ended
	return w.report(run, s, wanted), timeline(w.readings, run)
}

func (w *Watch) report(run window, s *stats.Summary, wanted int) *stats.Power {
	names := make([]string, len(w.from))
	for i, c := range w.from {
		names[i] = c.Name()
	}
	p := &stats.Power{Reasons: []string{}, From: strings.Join(names, ", "), Schema: stats.PowerSchema}
	joules, gpus, reasons := integrate(w.readings, run)
	p.GPUs = gpus
	switch {
	case gpus == 0:
		reasons = append(reasons, "no power of any GPU was told")
	case gpus != wanted:
		reasons = append(reasons, fmt.Sprintf("%d GPUs were sampled, but TP is %d: POWER_GPUS names those of the server",
			gpus, wanted))
	}
	if gpus > 0 && w.guessed() && idle(w.readings, run) {
		reasons = append(reasons, Idle)
	}
	if len(reasons) > 0 {
		p.Reasons = append(reasons, w.why...)
		return p
	}
	p.Valid = true
	p.Spend(joules, gpus, s)
	if w.roles != nil {
		if reason := w.byRole(p, run, s); reason != "" {
			return &stats.Power{Reasons: []string{reason}, From: p.From, GPUs: gpus, Schema: stats.PowerSchema}
		}
	}
	p.Throttled = throttled(w.readings, run)
	return p
}

// guessed reports whether nobody said that what tells of GPUs tells of the server's.
func (w *Watch) guessed() bool {
	return slices.ContainsFunc(w.from, func(c Collector) bool {
		_, here := c.(*Tool)
		return here
	})
}

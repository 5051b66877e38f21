// Package progress shows a running sweep on a terminal: how far it and the
// running cell are, when they will be done, tokens per second now, TTFT so far,
// failures. It draws between the measurements' own reports, four times a
// second, and computes nothing per token; what it costs the client is measured
// in docs/reading-results.md.
package progress

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
)

// Live is a live view of a sweep. Its methods make it a sweep's Watcher.
type Live struct {
	o Options

	mu       sync.Mutex // guards all below
	est      *estimate
	ended    map[matrix.Cell]batch.Status
	shown    *view
	stuck    bool      // the terminal takes no output
	quiet    time.Time // when the last view was taken down
	last     load.Progress
	rate     float64 // output tok/s over the last second or so
	lastRate load.Progress
	pace     Pace   // of the accuracy run
	scored   string // what its line says
	cellLeft countdown
	allLeft  countdown
}

// view is what is on the terminal for one cell: four lines. What they say is
// read by the goroutines that draw, and must not make them wait: moving a bar
// waits for its drawing.
type view struct {
	screen      *mpb.Progress
	cell, sweep *mpb.Bar
	others      []*mpb.Bar // lines of text alone
	phase       string
	says        atomic.Pointer[lines]
}

// lines are the texts beside the bars.
type lines struct{ title, cellBefore, cellAfter, figures, sweepBefore, sweepAfter string }

// New returns a live view of a sweep on the options' terminal.
func New(o Options) *Live {
	return &Live{o: o, est: newEstimate(o.Cells, o.Count), ended: map[matrix.Cell]batch.Status{}}
}

// settle is how long the terminal is left to others after a cell has ended:
// its result is being printed then.
const settle = 400 * time.Millisecond

// Accuracy shows how many documents are scored.
func (l *Live) Accuracy(c matrix.Cell, done, total int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scored = fmt.Sprintf("%d/%d requests%s", done, total, l.pace.Left(c, done, total, time.Now()))
	l.show(c, "accuracy", done, total)
	if done == total {
		l.takeDown("")
	}
}

// Fetching shows how much of a data file has come.
func (l *Live) Fetching(c matrix.Cell, file string, got, total int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scored = fmt.Sprintf("%s, %d KiB", file, got>>10)
	l.show(c, "fetching", int(got>>10), int(max(total, got)>>10))
	if got == total {
		l.takeDown("")
	}
}

// Serving shows how far the pass is.
func (l *Live) Serving(c matrix.Cell, p load.Progress) {
	l.mu.Lock()
	defer l.mu.Unlock()
	phase := "benchmark"
	if p.WarmUp {
		phase = "warm-up"
	} else {
		l.est.running(c, p.Done, p.Elapsed)
	}
	if p.Elapsed < l.lastRate.Elapsed || p.WarmUp != l.lastRate.WarmUp {
		l.lastRate = load.Progress{WarmUp: p.WarmUp}
		l.rate = 0
	}
	if d := p.Elapsed - l.lastRate.Elapsed; d >= time.Second {
		l.rate = float64(p.OutputTokens-l.lastRate.OutputTokens) / d.Seconds()
		l.lastRate = p
	}
	l.last = p
	l.show(c, phase, p.Done, p.Total)
}

// Ended takes the view down and leaves a line of how the cell ended.
func (l *Live) Ended(c matrix.Cell, r *batch.Result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended[c] = r.Status
	l.est.ended(c)
	if r.Performance == nil {
		l.est.skip(c)
	}
	line := endedLine(c, r)
	if l.o.Bench {
		line = ""
	}
	l.takeDown(line)
}

// endedLine says how a cell ended, with the figures of the final table.
func endedLine(c matrix.Cell, r *batch.Result) string {
	parts := []string{c.Name() + ": " + r.Standing()}
	of := []*batch.Result{r}
	for _, f := range figures.Shown(figures.OnTerminal(of), of) {
		parts = append(parts, strings.TrimSpace(f.Label()+" "+f.Print(f.Of(r))+" "+f.Unit))
	}
	return strings.Join(parts, " · ") + "\n"
}

// takeDown takes the view off the terminal, where it is on it, and writes a line
// that stays.
func (l *Live) takeDown(line string) {
	v := l.shown
	if l.stuck || v == nil && line == "" {
		return
	}
	l.shown, l.quiet = nil, time.Now()
	if v != nil {
		for _, b := range append(v.others, v.cell, v.sweep) {
			b.Abort(true)
		}
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if v != nil {
			v.screen.Wait()
		}
		fmt.Fprint(l.o.TTY, line)
	}()
	select {
	case <-gone:
	case <-time.After(takeDownLimit):
		l.stuck = true // a terminal that takes no output (Ctrl+S): the sweep goes on without a view
	}
}

// takeDownLimit is how long a terminal may take to draw the last time.
const takeDownLimit = 2 * time.Second

// show puts up the view where it is not up, and moves its bars.
func (l *Live) show(c matrix.Cell, phase string, done, total int) {
	if l.stuck || time.Since(l.quiet) < settle {
		return
	}
	if l.shown != nil && l.shown.phase != phase {
		l.takeDown("")
		l.quiet = time.Time{}
	}
	says := &lines{l.o.Title, c.Name() + " " + phase + " ", " " + l.cellLine(c, phase), l.figuresLine(phase),
		l.sweepLine(), " " + l.etaLine(c)}
	if l.shown == nil {
		l.shown = l.putUp(phase, says)
	}
	l.shown.says.Store(says)
	l.shown.cell.SetTotal(int64(max(total, done, 1))+1, false) // never complete: it is taken down
	l.shown.cell.SetCurrent(int64(done))
	l.shown.sweep.SetCurrent(int64(len(l.ended)))
}

func (l *Live) putUp(phase string, says *lines) *view {
	v := &view{phase: phase}
	v.says.Store(says)
	v.screen = mpb.New(mpb.WithConsoleWriter(newWindow(l.o.TTY)), mpb.WithWidth(40),
		mpb.WithRefreshRate(250*time.Millisecond))
	text := func(of func(*lines) string) decor.Decorator {
		return decor.Any(func(decor.Statistics) string { return of(v.says.Load()) })
	}
	bar := mpb.BarStyle().Lbound("▕").Filler("█").Tip("█").Padding(" ").Rbound("▏")
	line := func(of func(*lines) string) {
		v.others = append(v.others, v.screen.New(1<<40, mpb.NopStyle(), mpb.PrependDecorators(text(of))))
	}
	line(func(s *lines) string { return s.title })
	v.cell = v.screen.New(1<<40, bar, mpb.PrependDecorators(text(func(s *lines) string { return s.cellBefore })),
		mpb.AppendDecorators(text(func(s *lines) string { return s.cellAfter })))
	line(func(s *lines) string { return s.figures })
	v.sweep = v.screen.New(int64(len(l.o.Cells))+1, bar,
		mpb.PrependDecorators(text(func(s *lines) string { return s.sweepBefore })),
		mpb.AppendDecorators(text(func(s *lines) string { return s.sweepAfter })))
	return v
}

func (l *Live) cellLine(c matrix.Cell, phase string) string {
	if phase == "accuracy" || phase == "fetching" {
		return l.scored
	}
	p := l.last
	switch {
	case p.Total == 0:
		return fmt.Sprintf("%d requests, %s", p.Done, p.Elapsed.Round(time.Second))
	case p.Done >= p.Total && !p.WarmUp:
		return fmt.Sprintf("%d/%d requests, checking what was answered", p.Done, p.Total)
	case p.Done == 0:
		return fmt.Sprintf("%d/%d requests, ? left", p.Done, p.Total)
	}
	left := l.cellLeft.show(c.Name()+phase, p.Elapsed*time.Duration(p.Total-p.Done)/time.Duration(p.Done))
	return fmt.Sprintf("%d/%d requests, %s left", p.Done, p.Total, short(left))
}

func (l *Live) figuresLine(phase string) string {
	if phase == "accuracy" || phase == "fetching" {
		return ""
	}
	p := l.last
	rate := l.rate
	if s := p.Elapsed.Seconds(); rate == 0 && s > 0 {
		rate = float64(p.OutputTokens) / s
	}
	// Failures come first, since a narrow terminal cuts the line's end off.
	parts := []string{fmt.Sprintf("%d failed", p.Failed), fmt.Sprintf("%.0f output tok/s now", rate)}
	if p.TTFT.P50 > 0 {
		parts = append(parts, fmt.Sprintf("TTFT p50 %s p99 %s", millis(p.TTFT.P50), millis(p.TTFT.P99)))
	}
	parts = append(parts, fmt.Sprintf("%d in flight", p.InFlight))
	return strings.Join(parts, " · ") + sessions(p, " · ")
}

func (l *Live) sweepLine() string {
	failed := 0
	for _, s := range l.ended {
		if s != batch.Passed {
			failed++
		}
	}
	line := fmt.Sprintf("sweep: %d of %d cells ended", len(l.ended), len(l.o.Cells))
	if failed > 0 {
		line += fmt.Sprintf(", %d not passed", failed)
	}
	return line + " "
}

func (l *Live) etaLine(running matrix.Cell) string {
	done := l.last.Done
	if l.last.WarmUp {
		done = 0
	}
	if left, ok := l.est.left(running, done); ok {
		return "about " + short(l.allLeft.show("", left)) + " left"
	}
	return "time left not known yet"
}

func millis(d time.Duration) string { return fmt.Sprintf("%.3g ms", d.Seconds()*1e3) }

func short(d time.Duration) string {
	if d < time.Minute {
		return fmt.Sprintf("%.0fs", d.Seconds())
	}
	return d.Round(time.Second).String()
}

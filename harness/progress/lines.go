package progress

import (
	"fmt"
	"io"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
)

// Lines is a [sweep.Watcher] that writes a plain line every few seconds, for output
// that is no terminal.
type Lines struct {
	W     io.Writer
	Every time.Duration // default 5 s

	last time.Time
	pace Pace
}

func (l *Lines) due() bool {
	every := l.Every
	if every == 0 {
		every = 5 * time.Second
	}
	if l.last.IsZero() {
		l.last = time.Now() // what ends sooner needs no line of progress
	}
	if time.Since(l.last) < every {
		return false
	}
	l.last = time.Now()
	return true
}

// Accuracy says how many requests are scored.
func (l *Lines) Accuracy(c matrix.Cell, done, total int) {
	left := l.pace.Left(c, done, total, time.Now())
	if l.due() {
		fmt.Fprintf(l.W, "%s: accuracy: %d of %d requests%s\n", c.Name(), done, total, left)
	}
}

// Fetching says how much of a data file has come, and of how much where that is
// known.
func (l *Lines) Fetching(c matrix.Cell, file string, got, total int64) {
	of := ""
	if total > 0 {
		of = fmt.Sprintf(" of %d", total>>10)
	}
	if l.due() {
		fmt.Fprintf(l.W, "%s: fetching %s: %d%s KiB\n", c.Name(), file, got>>10, of)
	}
}

// Serving says how far the pass is.
func (l *Lines) Serving(c matrix.Cell, p load.Progress) {
	if !l.due() {
		return
	}
	phase := "benchmark"
	if p.WarmUp {
		phase = "warm-up"
	}
	rate := ""
	if s := p.Elapsed.Seconds(); s > 0 {
		rate = fmt.Sprintf(", %.0f output tok/s", float64(p.OutputTokens)/s)
	}
	if p.TTFT.P50 > 0 {
		rate += fmt.Sprintf(", TTFT p50 %.3g ms p99 %.3g ms so far", p.TTFT.P50.Seconds()*1e3, p.TTFT.P99.Seconds()*1e3)
	}
	of := ""
	if p.Total > 0 { // else only DURATION ends the run
		of = fmt.Sprintf(" of %d", p.Total)
	}
	fmt.Fprintf(l.W, "%s: %s: %d%s requests, %d in flight, %d failed%s%s\n", c.Name(), phase, p.Done, of, p.InFlight,
		p.Failed, sessions(p, ", "), rate)
}

// sessions says how a replay stands; "" where there is none.
func sessions(p load.Progress, before string) string {
	s := p.Sessions
	if s == nil {
		return ""
	}
	out := fmt.Sprintf("%s%d sessions ended", before, s.Ended)
	if s.HitRate != nil {
		out += fmt.Sprintf("%s%.0f %% of input from the cache", before, 100**s.HitRate)
	}
	return out
}

// Ended says how the cell ended.
func (l *Lines) Ended(c matrix.Cell, r *batch.Result) {
	reason := ""
	if r.Reason != "" {
		reason = ": " + r.Reason
	}
	fmt.Fprintf(l.W, "%s: %s%s\n", c.Name(), r.Status, reason)
}

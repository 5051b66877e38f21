package progress

import (
	"io"
	"os"

	"inferbench/harness/batch"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/sweep"
)

// Options say what is shown, and where.
type Options struct {
	Way   string        // of showing it, as the setting PROGRESS names it: live, lines, none, or auto
	TTY   *os.File      // the terminal; nil where there is none
	Plain io.Writer     // takes lines
	Title string        // whose figures these are: the model, the server and its address
	Cells []matrix.Cell // of the sweep
	Count int           // how often each is measured
	// Bench is true where go test prints a benchmark's name and, later, its figures
	// on one line: nothing that stays may be written between them.
	Bench bool
}

// Choose returns the way of showing progress that the options name; auto is live
// where there is a terminal that can be drawn on, and lines otherwise.
func Choose(o Options) sweep.Watcher {
	switch {
	case o.Way == "none":
		return All{}
	case o.TTY != nil && (o.Way == "live" || o.Way != "lines" && os.Getenv("TERM") != "dumb"):
		return New(o)
	}
	return &Lines{W: o.Plain}
}

// All tells several watchers.
type All []sweep.Watcher

// Accuracy tells all of them.
func (a All) Accuracy(c matrix.Cell, done, total int) {
	for _, w := range a {
		w.Accuracy(c, done, total)
	}
}

// Fetching tells all of them.
func (a All) Fetching(c matrix.Cell, file string, got, total int64) {
	for _, w := range a {
		w.Fetching(c, file, got, total)
	}
}

// Serving tells all of them.
func (a All) Serving(c matrix.Cell, p load.Progress) {
	for _, w := range a {
		w.Serving(c, p)
	}
}

// Ended tells all of them.
func (a All) Ended(c matrix.Cell, r *batch.Result) {
	for _, w := range a {
		w.Ended(c, r)
	}
}

package progress

import (
	"io"
	"os"

	"inferbench/harness/batch"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/sweep"
)

// Choose is the way of showing progress that the setting PROGRESS names: live,
// lines, none, or auto, which is live where there is a terminal (tty is nil
// where there is none) and lines otherwise. Lines go to plain.
func Choose(setting string, tty *os.File, plain io.Writer, cells []matrix.Cell, count int) sweep.Watcher {
	switch {
	case setting == "none":
		return All{}
	case tty != nil && setting != "lines":
		return New(tty, cells, count)
	}
	return &Lines{W: plain}
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

package accuracy

import (
	"context"
	"fmt"
	"io"
	"os"

	"inferbench/harness/corpus"
)

// Ready reads all that the task will need, before any server is asked, and
// refuses what cannot be measured. Data files that are not in the cache are
// fetched now. With own the server is the embedded engine, for which the suite
// has data of its own.
func Ready(ctx context.Context, o Options, own bool) error {
	task, err := Lookup(o.Task)
	if err != nil {
		return err
	}
	if b := o.Baseline; b != nil && b.Task != task.Name() {
		return fmt.Errorf("ACC_BASELINE=%s is of the task %s, but ACC_TASK is %s", b.Name, b.Task, task.Name())
	}
	o.defaults()
	if err := task.Ready(ctx, o, own); err != nil {
		return fmt.Errorf("accuracy: %w", err)
	}
	return nil
}

// Missing lists the data files that the task will have to fetch.
func Missing(o Options, own bool) (files []corpus.File) {
	task, err := Lookup(o.Task)
	if err != nil || own {
		return nil
	}
	for _, f := range task.Needs() {
		if o.Files[f.Setting] == "" && !o.Cache.Has(f) {
			files = append(files, f)
		}
	}
	return files
}

// Fetch brings the data files of every task into the cache and tells w of each.
func Fetch(ctx context.Context, w io.Writer, c corpus.Cache) error {
	done := map[string]bool{}
	for _, t := range tasks {
		for _, f := range t.Needs() {
			if len(f.Sources) == 0 || done[f.Base] {
				continue
			}
			done[f.Base] = true
			b, err := c.Get(ctx, f)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%s: %d bytes, SHA-256 %s\n", c.Path(f), len(b), f.SHA256)
		}
	}
	return nil
}

// DataSize is how many bytes of data files the task reads; those of the suite's
// own, with own, are too small to count.
func DataSize(o Options, own bool) (bytes int64) {
	task, err := Lookup(o.Task)
	if err != nil {
		return 0
	}
	for _, f := range task.Needs() {
		if path := o.Files[f.Setting]; path != "" {
			if info, err := os.Stat(path); err == nil {
				bytes += info.Size()
			}
		} else if !own {
			bytes += f.Size
		}
	}
	return bytes
}

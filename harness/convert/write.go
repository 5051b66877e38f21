package convert

import (
	"encoding/json"
	"slices"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
)

// Write writes the runs as batch folders in root and returns the folders. A
// batch holds what may stand in one sweep: one combination of lengths, one
// model, one kind of hardware, and whatever else the files tell of how it was
// served and asked. A cell that was run again is another pass, in a folder of
// its own.
func Write(root string, runs []Imported) ([]string, error) {
	var dirs []string
	for _, sweep := range sweeps(runs) {
		dir, err := writeBatch(root, sweep)
		if err != nil {
			return dirs, err
		}
		dirs = append(dirs, dir)
	}
	return dirs, nil
}

// sweeps sorts runs into batches, in the order in which each begins.
func sweeps(runs []Imported) (out [][]Imported) {
	var keys []string
	for _, r := range runs {
		key := r.identity()
		i := 0
		for i < len(out) && (keys[i] != key || slices.ContainsFunc(out[i], func(o Imported) bool {
			return o.cell().Conc == r.cell().Conc
		})) {
			i++
		}
		if i == len(out) {
			keys, out = append(keys, key), append(out, nil)
		}
		out[i] = append(out[i], r)
	}
	return out
}

// identity is whatever tells of a run what it ran on and what was sent, but for
// the load.
func (r Imported) identity() string {
	a := r.Result.Args
	a.MaxConcurrency, a.NumPrompts, a.StartedAt = 0, 0, ""
	b, _ := json.Marshal(a) // numbers and texts
	return r.Tool + r.run + string(b)
}

func writeBatch(root string, runs []Imported) (string, error) {
	h := batch.Header{Combination: runs[0].cell().Combination, Mode: batch.ImportMode, Time: time.Now()}
	slices.SortStableFunc(runs, func(a, b Imported) int { return a.cell().Conc - b.cell().Conc })
	var cells []matrix.Cell
	for _, r := range runs {
		cells = append(cells, r.cell())
		if !r.Date.IsZero() {
			h.Time = r.Date
		}
	}
	h.Cells = cells
	b, err := batch.Create(root, h)
	if err != nil {
		return "", err
	}
	if err := fill(b, runs); err != nil {
		return "", b.Abandon(err)
	}
	return b.Dir, nil
}

func fill(b *batch.Batch, runs []Imported) error {
	for _, r := range runs {
		if err := b.WriteResult("", r.cell(), r.Result); err != nil {
			return err
		}
		if r.Timings != nil {
			if err := b.WriteRequests(r.cell(), r.Timings, r.Duration); err != nil {
				return err
			}
		}
		if err := b.Record(r.cell(), r.Result.Status, r.Duration); err != nil {
			return err
		}
	}
	return b.Close()
}

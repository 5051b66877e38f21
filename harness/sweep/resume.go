package sweep

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/hint"
	"inferbench/harness/matrix"
)

// server is who answers now.
func (sw *Sweep) server() batch.Server {
	return batch.Server{Model: sw.Target.Model, Backend: sw.Target.Dialect.Name, Version: sw.Target.Version}
}

// openBatch makes a combination's batch folder, or opens the one to resume
// after checking that the same server and model answer, and that the baseline and
// the files it was run with are what they were.
func (sw *Sweep) openBatch(combo matrix.Combination, cells []matrix.Cell) (*batch.Batch, error) {
	dir := sw.Settings.Resume
	inputs, err := sw.inputs()
	if err != nil {
		return nil, err
	}
	if dir == "" {
		b, err := batch.Create(sw.Settings.Results.Dir, batch.Header{
			Combination: combo, Mode: string(sw.Mode), Time: sw.Begin, Cells: cells})
		if err != nil {
			return nil, err
		}
		if err := b.WritePlan(sw.server(), sw.Settings.Given, inputs); err != nil {
			return nil, b.Abandon(err)
		}
		return b, nil
	}
	p, err := batch.ReadPlan(dir)
	if err != nil {
		return nil, err
	}
	if now := sw.server(); now != p.Server {
		return nil, fmt.Errorf("%s was run on %s, but %s is %s: a batch is of one server; begin a new one",
			dir, describe(p.Server), sw.Target.BaseURL, describe(now))
	}
	if string(sw.Mode) != p.Mode { // the settings are the batch's: only -run can do that
		return nil, fmt.Errorf("%s is a batch of mode %s, but this run would be of mode %s: let -run select its "+
			"TestServing too", dir, p.Mode, sw.Mode)
	}
	for _, name := range slices.Sorted(maps.Keys(p.Inputs)) {
		if inputs[name] != p.Inputs[name] {
			return nil, fmt.Errorf("%s: what %s names has changed since the batch began: put it back, or begin a "+
				"new batch", dir, name)
		}
	}
	return batch.Reopen(dir, cells)
}

func describe(s batch.Server) string {
	return fmt.Sprintf("%s (%s %s)", s.Model, s.Backend, s.Version)
}

// verdict is the error for a sweep in which a cell did not pass; nil where all
// did. Of a resumed batch it is on all its cells, as its summary is, also those
// that this process did not run.
func (sw *Sweep) verdict() error {
	total, failed, incomplete := 0, 0, 0
	var earlier []string
	for _, b := range sw.batches {
		for _, c := range b.Cells() {
			total++
			s := b.Status(c)
			switch s {
			case batch.Failed:
				failed++
			case batch.Incomplete:
				incomplete++
			}
			if _, ran := sw.states[c]; !ran && s != batch.Passed {
				earlier = append(earlier, fmt.Sprintf("CONC=%d %s", c.Conc, s))
			}
		}
	}
	if failed+incomplete == 0 {
		return nil
	}
	err := fmt.Errorf("of %d cells %d failed and %d did not finish", total, failed, incomplete)
	do, readErr := sw.goOn()
	if readErr != nil {
		return errors.Join(err, readErr)
	}
	if len(earlier) > 0 { // one batch, then: a sweep resumes no more
		err = fmt.Errorf("%s: %w; from before this run: %s", sw.Settings.Resume, err, strings.Join(earlier, ", "))
	}
	return hint.New(err, do)
}

// goOn returns the commands that go on with the cells of the batches that have not ended;
// "" where it would run nothing.
func (sw *Sweep) goOn() (string, error) {
	var resume []string
	begin := "go on with "
	for _, b := range sw.Batches() {
		left, err := batch.Unfinished(b.Dir, nil)
		if err != nil {
			return "", err
		}
		for _, c := range left {
			if b.Status(c) == batch.Failed {
				begin = "see to the server or the disk, then go on with "
			}
		}
		if len(left) > 0 {
			resume = append(resume, "make resume BATCH="+b.Dir)
		}
	}
	if len(resume) == 0 {
		return "", nil
	}
	return begin + strings.Join(resume, ", then "), nil
}

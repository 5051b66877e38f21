package suite

import (
	"errors"
	"fmt"
	"strings"

	"inferbench/harness/matrix"
	"inferbench/harness/settings"
)

// selection is what of the matrix runs.
type selection struct {
	plan  plan
	mode  settings.Mode // in effect: see [choose]
	cells []matrix.Cell // in the order in which they run
}

// choose lists the cells that settings and a command line select: combination
// by combination, CONC ascending as given. A -run pattern that leaves out every
// performance cell makes perf and submit an accuracy run.
func choose(s settings.Settings, p plan) selection {
	out := selection{plan: p, mode: settings.ModeAcc}
	for _, c := range all(s) {
		if p.serving(c.Name()) {
			out.mode = s.Mode
		}
	}
	for _, c := range all(s) {
		if out.measures(c) || p.accuracy(c.Name()) {
			out.cells = append(out.cells, c)
		}
	}
	return out
}

// all lists the cells that the settings name.
func all(s settings.Settings) (cells []matrix.Cell) {
	for _, combo := range s.Selection.Combinations() {
		cells = append(cells, s.Selection.Cells(combo)...)
	}
	return cells
}

// measures reports whether the cell's speed is measured.
func (s selection) measures(c matrix.Cell) bool {
	return s.mode != settings.ModeAcc && s.plan.serving(c.Name())
}

// measured lists the cells whose speed is measured.
func (s selection) measured() (out []matrix.Cell) {
	for _, c := range s.cells {
		if s.measures(c) {
			out = append(out, c)
		}
	}
	return out
}

// conc lists the CONC of a combination's cells.
func (s selection) conc(combo matrix.Combination) (all []int) {
	for _, c := range s.cells {
		if c.Combination == combo {
			all = append(all, c.Conc)
		}
	}
	return all
}

// accuracyOnly are the others.
func (s selection) accuracyOnly() map[matrix.Cell]bool {
	out := map[matrix.Cell]bool{}
	for _, c := range s.cells {
		out[c] = !s.measures(c)
	}
	return out
}

// misses is the error for a command line that asks for the suite's tests but
// selects no cell, or has settings and asks for none of the tests: package testing
// would call that a success.
func (s selection) misses(set settings.Settings, line commandLine) error {
	switch {
	case len(s.cells) > 0:
		return nil
	case !s.plan.asks() && line.settings:
		return errors.New("nothing would run: -run, -bench and -skip leave none of TestAccuracy, TestServing and " +
			"BenchmarkServing")
	case !s.plan.asks():
		return nil // another package's test, of ./... say
	}
	var names []string
	for _, c := range all(set) {
		if s.plan.serving(c.Name()) {
			return errors.New("nothing would run: mode acc measures no speed, and only that was asked for")
		}
		names = append(names, c.Name())
	}
	return fmt.Errorf("nothing would run: -run, -bench and -skip leave none of the cells that the settings name: %s",
		strings.Join(names, ", "))
}

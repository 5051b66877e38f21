package history

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
)

// Best is what was best so far in one cell: the entries with the most tok/s/GPU and
// with the lowest E2EL p50.
type Best struct {
	Model string
	matrix.Cell
	Tput, E2E *Leader // nil where nothing was measured
}

// Leader is a point and the entry that it is of.
type Leader struct {
	Entry *Entry
	Point Point
}

// Bests returns what was best so far in each cell of each model, of the batches:
// rows of other tools' files stand for no run of ours.
func (h *History) Bests() []Best {
	var out []Best
	at := map[string]int{}
	for i := range h.Entries {
		e := &h.Entries[i]
		for _, p := range e.Points {
			if e.Foreign || !p.Counts() {
				continue
			}
			cell := matrix.Cell{Combination: e.Combination, Conc: p.Conc}
			key := fmt.Sprint(e.Model, "\x00", cell)
			k, ok := at[key]
			if !ok {
				k = len(out)
				at[key] = k
				out = append(out, Best{Model: e.Model, Cell: cell})
			}
			b := &out[k]
			if b.Tput == nil || *p.Tput > *b.Tput.Point.Tput {
				b.Tput = &Leader{e, p}
			}
			if p.E2E != nil && (b.E2E == nil || *p.E2E < *b.E2E.Point.E2E) {
				b.E2E = &Leader{e, p}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Best) int {
		return cmp.Or(cmp.Compare(a.Model, b.Model), cmp.Compare(a.Scenario, b.Scenario),
			cmp.Compare(a.ISL, b.ISL), cmp.Compare(a.OSL, b.OSL),
			cmp.Compare(a.Conc, b.Conc))
	})
	return out
}

// Most is the entry's point with the most tok/s/GPU; nil where none counts.
func (e *Entry) Most() *Point {
	return e.top(func(a, b Point) bool { return *a.Tput > *b.Tput })
}

// Fastest is the entry's point with the lowest E2EL p50; nil where none counts.
func (e *Entry) Fastest() *Point {
	return e.top(func(a, b Point) bool { return a.E2E != nil && (b.E2E == nil || *a.E2E < *b.E2E) })
}

func (e *Entry) top(before func(a, b Point) bool) *Point {
	var best *Point
	for i, p := range e.Points {
		if p.Counts() && (best == nil || before(p, *best)) {
			best = &e.Points[i]
		}
	}
	return best
}

// Before returns, for each entry, its throughput over that of the entry before it
// of the same model and lengths: the geometric mean over the CONC that both
// measured. It is nil for the first, and where the two share no cell.
func (h *History) Before() []*float64 {
	out := make([]*float64, len(h.Entries))
	last := map[string]*Entry{}
	for i := range h.Entries {
		e := &h.Entries[i]
		if e.Foreign || e.Most() == nil {
			continue
		}
		key := fmt.Sprint(e.Model, "\x00", e.Combination)
		if was := last[key]; was != nil {
			out[i] = ratio(e, was)
		}
		last[key] = e
	}
	return out
}

func ratio(e, was *Entry) *float64 {
	sum, n := 0.0, 0
	for _, p := range e.Points {
		for _, q := range was.Points {
			if p.Conc == q.Conc && p.Counts() && q.Counts() && *p.Tput > 0 && *q.Tput > 0 {
				sum += math.Log(*p.Tput / *q.Tput)
				n++
			}
		}
	}
	if n == 0 {
		return nil
	}
	r := math.Exp(sum / float64(n))
	return &r
}

// Status is how many of the entry's cells passed: "5/5", or "3/5 2 FAILED".
func (e *Entry) Status() string {
	var order []batch.Status
	others := map[batch.Status]int{}
	for _, p := range e.Points {
		if p.Status != batch.Passed && p.Status != "" {
			if others[p.Status] == 0 {
				order = append(order, p.Status)
			}
			others[p.Status]++
		}
	}
	if others[batch.Imported] == len(e.Points) && len(e.Points) > 0 {
		return fmt.Sprintf("%d imported", len(e.Points))
	}
	out := fmt.Sprintf("%d/%d", e.passed(), e.Cells)
	for _, word := range order {
		out += fmt.Sprintf(" %d %s", others[word], word)
	}
	return out
}

// passed counts the cells that passed.
func (e *Entry) passed() (n int) {
	for _, p := range e.Points {
		if p.Status == batch.Passed {
			n++
		}
	}
	return n
}

// fine reports whether every cell passed, or is another tool's.
func (e *Entry) fine() bool {
	n := e.passed()
	for _, p := range e.Points {
		if p.Status == batch.Imported {
			n++
		}
	}
	return n == e.Cells
}

// What says what the entry is of, for people: its label, and how its flags differ.
func (e *Entry) What() string {
	return strings.Join(slices.DeleteFunc([]string{e.Label, strings.Join(e.Differs, " ")}, func(s string) bool {
		return s == ""
	}), " · ")
}

// On is the model and what served it.
func (e *Entry) On() string {
	parts := []string{e.Model, e.Server, e.Hardware}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " · ")
}

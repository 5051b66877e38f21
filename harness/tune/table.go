package tune

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"inferbench/harness/batch"
	"inferbench/harness/capacity"
	"inferbench/harness/figures"
	"inferbench/harness/matrix"
	"inferbench/harness/pareto"
)

// Row is a cell of an arm that was measured.
type Row struct {
	Arm  *Tried
	Cell batch.ReadCell

	user, e2e bool // on the front of tok/s/GPU over interactivity, over E2EL
}

// figure is a figure of the row by its key; nil where there is none.
func (r Row) figure(key string) *float64 { return figures.ByKey(key).Of(r.Cell.Result) }

// counts reports whether the cell's figures stand.
func (r Row) counts() bool { return Stands(r.Cell) }

// Stands reports whether a cell's figures stand: it passed, or it FAILED for nothing
// but the limits of SLO, which here is an answer.
func Stands(c batch.ReadCell) bool {
	return c.Status == batch.Passed || missedSLO(c.Result)
}

func missedSLO(r *batch.Result) bool {
	return r != nil && strings.HasPrefix(r.Reason, capacity.MissedReason)
}

// keeps reports whether the cell keeps the limits of SLO, or of GOODPUT in most
// requests; false where there are none.
func (r Row) keeps() bool {
	if len(r.Cell.Result.SLO) > 0 { // which is a gate
		return r.Cell.Status == batch.Passed
	}
	share := r.figure("slo_attainment")
	return r.counts() && share != nil && *share >= enough
}

// enough is the share of requests that must keep the limits of GOODPUT.
const enough = 0.95

// Rows reads the measured cells of all arms.
func (s *State) Rows() ([]Row, error) {
	var out []Row
	for i := range s.Arms {
		folders, err := s.Batches(s.Arms[i])
		if err != nil {
			return nil, err
		}
		for _, f := range folders {
			for _, c := range f.Cells {
				if c.Result != nil && c.Result.Performance != nil {
					out = append(out, Row{Arm: &s.Arms[i], Cell: c})
				}
			}
		}
	}
	return out, nil
}

// WriteTable writes, for each pair of lengths, the measured cells with the Pareto
// fronts, and which is best with its exact command; then what failed, and why.
func (s *State) WriteTable(w io.Writer) error {
	rows, err := s.Rows()
	if err != nil {
		return err
	}
	var combos []matrix.Combination
	for _, r := range rows {
		if !slices.Contains(combos, r.Cell.Combination) {
			combos = append(combos, r.Cell.Combination)
		}
	}
	for _, combo := range combos {
		var some []Row
		for _, r := range rows {
			if r.Cell.Combination == combo {
				some = append(some, r)
			}
		}
		markFronts(some)
		fmt.Fprintf(w, "\n%s: %d cells of %d commands\n", combo.Title(), len(some), len(s.Arms))
		writeRows(w, some)
		s.writeBest(w, some)
	}
	s.writeFailed(w)
	fmt.Fprintf(w, "\nAll of it: %s/\n", s.Dir)
	return nil
}

// markFronts marks the rows that no other beats.
func markFronts(rows []Row) {
	mark := func(x string, better pareto.Better, set func(*Row)) {
		var points []pareto.Point
		at := func(r Row) (pareto.Point, bool) {
			across, up := r.figure(x), r.figure("tput_per_gpu")
			if !r.counts() || across == nil || up == nil {
				return pareto.Point{}, false
			}
			return pareto.Point{X: *across, Y: *up}, true
		}
		for _, r := range rows {
			if p, ok := at(r); ok {
				points = append(points, p)
			}
		}
		front := pareto.Front(points, better)
		for i := range rows {
			if p, ok := at(rows[i]); ok && slices.Contains(front, p) {
				set(&rows[i])
			}
		}
	}
	mark("interactivity", pareto.High, func(r *Row) { r.user = true })
	mark("median_e2el_ms", pareto.Low, func(r *Row) { r.e2e = true })
}

// front says on which fronts the row is.
func (r Row) front() string {
	switch {
	case r.user && r.e2e:
		return "both"
	case r.user:
		return "tok/s/user"
	case r.e2e:
		return "E2EL"
	}
	return "-"
}

// columns are the figures that a table of arms shows.
var columns = []string{"tput_per_gpu", "interactivity", "median_e2el_ms", "p99_ttft_ms"}

func writeRows(w io.Writer, rows []Row) {
	slices.SortStableFunc(rows, func(a, b Row) int { // the most throughput first, what does not count last
		up := func(r Row) float64 {
			if v := r.figure("tput_per_gpu"); v != nil && r.counts() {
				return *v
			}
			return -1
		}
		return cmp.Compare(up(b), up(a))
	})
	tab := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(tab, "CONC\t")
	for _, key := range columns {
		fmt.Fprintf(tab, "%s\t", figures.ByKey(key).LabelUnit())
	}
	fmt.Fprintf(tab, "front\t  command\n")
	for _, r := range rows {
		fmt.Fprintf(tab, "%d\t", r.Cell.Conc)
		for _, key := range columns {
			fmt.Fprintf(tab, "%s\t", figures.ByKey(key).Print(r.figure(key)))
		}
		fmt.Fprintf(tab, "%s\t  %s%s\n", r.front(), r.Arm.Name, standing(r.Cell.Result))
	}
	tab.Flush()
}

// standing is how a cell ended, where that is not simply PASSED.
func standing(r *batch.Result) string {
	if missedSLO(r) {
		return ": SLO missed" + batch.InBrackets(r.Marks)
	}
	if word := r.Standing(); word != string(batch.Passed) {
		return ": " + word
	}
	return ""
}

// writeBest names the best rows for latency, throughput and SLO.
func (s *State) writeBest(w io.Writer, rows []Row) {
	all := func(Row) bool { return true }
	s.best(w, "Lowest latency", rows, "median_e2el_ms", all)
	s.best(w, "Most throughput", rows, "tput_per_gpu", all)
	for _, r := range rows {
		if len(r.Cell.Result.SLO) > 0 || r.figure("slo_attainment") != nil {
			if !s.best(w, "Most throughput that keeps the SLO", rows, "tput_per_gpu", Row.keeps) {
				fmt.Fprintln(w, "None keeps the SLO.")
			}
			return
		}
	}
	fmt.Fprintln(w, `No SLO was given: with SLO="ttft:p99<500 tpot:p99<50", the best that keeps it is named too.`)
}

func (s *State) best(w io.Writer, what string, rows []Row, key string, may func(Row) bool) bool {
	f := figures.ByKey(key)
	var best *Row
	for i, r := range rows {
		v := r.figure(key)
		if v == nil || !r.counts() || !may(r) {
			continue
		}
		if best == nil || (f.Better == figures.Higher) == (*v > *best.figure(key)) && *v != *best.figure(key) {
			best = &rows[i]
		}
	}
	if best == nil {
		return false
	}
	unit := f.Unit
	if unit == "" {
		unit = f.Label()
	} else {
		unit += " " + f.Label()
	}
	fmt.Fprintf(w, "%s: %s at CONC %d, %s %s%s\n    %s\n", what, best.Arm.Name, best.Cell.Conc, f.Print(best.figure(key)),
		unit, standing(best.Cell.Result), strings.ReplaceAll(best.Arm.Line(s.Port), "\n", "\n    "))
	return true
}

// writeFailed lists the arms that failed, each with the last lines of its server's
// log where that did not stay up.
func (s *State) writeFailed(w io.Writer) {
	for _, a := range s.Arms {
		if a.Status != batch.Failed {
			continue
		}
		fmt.Fprintf(w, "\nFAILED %s: %s\n", a.Name, a.Reason)
		for _, line := range a.Log {
			fmt.Fprintf(w, "    | %s\n", line)
		}
		fmt.Fprintf(w, "    %s\n", strings.ReplaceAll(a.Line(s.Port), "\n", "\n    "))
	}
}

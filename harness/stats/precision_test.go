package stats_test

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine/schedule"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
)

// simulated is a workload on a profile in virtual time, the requests in the order
// in which they were sent, and how long it took with its warm-up.
func simulated(p *schedule.Profile, w schedule.Workload) (ts []stats.Timing, measured, all time.Duration) {
	sim := schedule.Simulate(p, w)
	for _, r := range sim.Requests {
		ts = append(ts, stats.Timing{Sent: r.Sent, First: r.First, Last: r.Last, Done: r.Last, OutputTokens: r.Output,
			InputTokens: r.Input})
	}
	slices.SortStableFunc(ts, func(a, b stats.Timing) int { return cmp.Compare(a.Sent, b.Sent) })
	for i := range ts {
		ts[i].Index = i
	}
	warm := w
	warm.Prompts, warm.WarmUp = w.WarmUp, 0
	return ts, sim.Duration, sim.Duration + schedule.Simulate(p, warm).Duration
}

// ended is a workload that is ended early, as the client would; found is nil where
// it was not.
func ended(p *schedule.Profile, w schedule.Workload, asked float64) (ts []stats.Timing, measured, all time.Duration, found *stats.Precision) {
	whole, measured, all := simulated(p, w)
	byEnd := slices.SortedStableFunc(slices.Values(whole), func(a, b stats.Timing) int { return cmp.Compare(a.Last, b.Last) })
	s := &stats.Stopper{Conc: w.Conc, Most: w.Prompts, Asked: asked}
	for n := 1; n <= len(byEnd); n++ {
		at := byEnd[n-1].Last
		enough := s.Enough(n, func() []stats.Timing {
			return slices.SortedStableFunc(slices.Values(byEnd[:n]), func(a, b stats.Timing) int { return a.Index - b.Index })
		})
		if !enough {
			continue
		}
		w.Prompts = 0
		for _, t := range whole {
			if t.Sent < at {
				w.Prompts++
			}
		}
		ts, _, all = simulated(p, w)
		ts, measured = s.Steady(ts)
		return ts, measured, all, s.Found()
	}
	return whole, measured, all, nil
}

// three are throughput and the medians of E2EL and TTFT.
func three(ts []stats.Timing, measured time.Duration) [3]float64 {
	s := stats.Run{Timings: ts, Duration: measured}.Summary()
	return [3]float64{*s.TotalThroughput, *s.E2EL.Median, *s.TTFT.Median}
}

// The fifteen cells of the competition at a B200's pace end in a third of the time.
// Prints the table of docs/search.md.
func TestPrecisionOfTheCompetitionsCells(t *testing.T) {
	p, err := schedule.LoadProfile("b200-dsr1-fp4")
	require.NoError(t, err)
	var table strings.Builder
	table.WriteString("| ISL | OSL | CONC | requests | of | time | tok/s | E2EL p50 | TTFT p50 | drifting |\n" +
		"| --: | --: | --: | --: | --: | --: | --: | --: | --: | --- |\n")
	var full, early time.Duration
	for _, c := range matrix.Standard {
		for _, conc := range []int{4, 8, 16, 32, 64} {
			w := schedule.Workload{ISL: c.ISL, OSL: c.OSL, Conc: conc, Prompts: matrix.NumPrompts(c.OSL, conc), WarmUp: 2 * conc, Ratio: 1, Seed: 1}
			ts, measured, took := simulated(p, w)
			want := three(ts, measured)
			ts, measured, sooner, found := ended(p, w, 0.02)
			got := three(ts, measured)
			full, early = full+took, early+sooner
			row, drifting := fmt.Sprintf("| %d | %d | %d | %d |", c.ISL, c.OSL, conc, w.Prompts), ""
			if found != nil {
				row = fmt.Sprintf("| %d | %d | %d | %d |", c.ISL, c.OSL, conc, found.StoppedAfter)
				drifting = strings.Join(found.Drifting, ", ")
			}
			row += fmt.Sprintf(" %d | %.0f %% |", w.Prompts, 100*sooner.Seconds()/took.Seconds())
			for i := range want {
				off := got[i]/want[i] - 1
				row += fmt.Sprintf(" %+.1f %% |", 100*off+0)
				if drifting == "" {
					assert.LessOrEqual(t, math.Abs(off), 0.02, row)
				}
			}
			fmt.Fprintln(&table, strings.ReplaceAll(row, "-0.0 %", "+0.0 %"), drifting, "|")
		}
	}
	fmt.Fprintf(&table, "\nIn all %s in place of %s: %.0f %%.\n", early.Round(time.Second), full.Round(time.Second), 100*early.Seconds()/full.Seconds())
	assert.LessOrEqual(t, early, full/3)
	golden(t, "precision", table.String())
}

// golden holds what was found to what stands in docs/search.md between two marks.
func golden(t *testing.T, name, found string) {
	t.Helper()
	const page = "../../docs/search.md"
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->"
	before, rest, ok := strings.Cut(string(text), begin)
	require.True(t, ok, begin)
	was, after, ok := strings.Cut(rest, end)
	require.True(t, ok, end)
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+begin+found+end+after), 0o644))
		return
	}
	assert.Equal(t, was, found, "docs/search.md: make precision writes it anew")
}

// Of a thousand cells that end early, at least 93 % have the true figure in their
// interval, for each of the figures. The truth is what many more requests show.
func TestPrecisionHolds(t *testing.T) {
	p, err := schedule.LoadProfile("b200-dsr1-fp4")
	require.NoError(t, err)
	seeds := 50
	if testing.Short() {
		seeds = 3
	}
	cells, kept := 0, [3]int{}
	var table strings.Builder
	table.WriteString("| ISL | OSL | CONC | cells | ended early | requests, of CONC×50 | tok/s | E2EL p50 | TTFT p50 |\n| --: | --: | --: | --: | --: | --: | --: | --: | --: |\n")
	for _, lengths := range [][2]int{{1024, 128}, {1024, 1024}, {8192, 256}} {
		for _, conc := range []int{4, 8, 16, 32, 64} {
			w := schedule.Workload{ISL: lengths[0], OSL: lengths[1], Conc: conc, Prompts: 20000, WarmUp: 2 * conc, Ratio: 0.8, Seed: 1}
			ts, measured, _ := simulated(p, w)
			truth := three(ts, measured)
			w.Prompts = 50 * conc
			early, in, requests := 0, [3]int{}, 0
			for seed := range 2 * seeds {
				w.Seed = uint64(seed + 1000)
				ts, measured, _, found := ended(p, w, 0.02)
				if found == nil {
					requests += w.Prompts
					continue
				}
				early++
				requests += found.StoppedAfter
				got := three(ts, measured)
				for i, half := range []float64{found.HalfWidths.Throughput, found.HalfWidths.E2EL, found.HalfWidths.TTFT} {
					if math.Abs(truth[i]-got[i]) <= half*got[i] {
						in[i]++
					}
				}
			}
			cells += early
			fmt.Fprintf(&table, "| %d | %d | %d | %d | %d | %.0f %% |", w.ISL, w.OSL, conc, 2*seeds, early, 100*float64(requests)/float64(2*seeds*w.Prompts))
			for i, n := range in {
				kept[i] += n
				if early == 0 {
					fmt.Fprintf(&table, " - |")
					continue
				}
				fmt.Fprintf(&table, " %.0f %% |", 100*float64(n)/float64(early))
			}
			fmt.Fprintln(&table)
		}
	}
	if !testing.Short() {
		assert.GreaterOrEqual(t, cells, 1000)
	}
	fmt.Fprintf(&table, "\nOf %d cells that ended early the truth was within the interval of throughput in %.1f %%, of E2EL p50 in %.1f %%, of TTFT p50 in %.1f %%.\n", cells,
		100*float64(kept[0])/float64(cells), 100*float64(kept[1])/float64(cells), 100*float64(kept[2])/float64(cells))
	for _, n := range kept {
		assert.GreaterOrEqual(t, float64(n), 0.93*float64(cells))
	}
	if !testing.Short() {
		golden(t, "coverage", table.String())
	} else {
		t.Log(table.String())
	}
}

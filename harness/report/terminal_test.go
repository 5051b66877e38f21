package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

func terminalRows(slo bool) []Row {
	var rows []Row
	for i, conc := range []int{4, 8, 16, 32, 64} {
		v := func(x float64) *float64 { x *= float64(i + 1); return &x }
		p := &stats.Summary{TputPerGPU: v(3555.66),
			TTFT: stats.Dist{Median: v(0.238), P99: v(1.5)}, TPOT: stats.Dist{Median: v(0.0789), P99: v(0.1)},
			E2EL: stats.Dist{Median: v(10407), P99: v(11999)}}
		if slo {
			p.Goodput = &stats.Goodput{Request: 12.5, Attainment: 0.975}
		}
		rows = append(rows, Row{Conc: conc, Accuracy: "2.0784 PASSED", Result: &batch.Result{Status: batch.Passed, Performance: p,
			Baseline: &baselines.Comparison{TputRatio: v(1.2), E2ERatio: v(0.5)}}})
	}
	return rows
}

func rendered(t *testing.T, rows []Row, width int) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, WriteTable(&b, rows, "B200", width))
	return b.String()
}

func TestTheTableOnATerminalOfEightyColumns(t *testing.T) {
	rows := terminalRows(false)[:2]
	assert.Equal(t, `                                   vs    TTFT    TPOT    E2EL     vs
CONC       accuracy  tok/s/GPU   B200  p50 ms  p50 ms  p50 ms   B200  result
   4  2.0784 PASSED       3556  1.20x  0.2380  0.0789   10407  0.50x  PASSED
   8  2.0784 PASSED       7111  2.40x  0.4760  0.1578   20814  1.00x  PASSED
`, rendered(t, rows, 80))
	rows[0].Accuracy = "2.0784 NOT_RUN"
	rows[1].Result.Mark(batch.ClientLimited)
	assert.Equal(t, `                              vs    TTFT    TPOT    E2EL
CONC  accuracy  tok/s/GPU   B200  p50 ms  p50 ms  p50 ms  result
   4    2.0784       3556  1.20x  0.2380  0.0789   10407  PASSED
       NOT_RUN
   8    2.0784       7111  2.40x  0.4760  0.1578   20814  PASSED
                                                          (client-limited)
`, rendered(t, rows, 80), "marks are never left out")
}

func TestTheTableFitsItsTerminal(t *testing.T) {
	marked := func(rows []Row) []Row {
		rows[1].Result.Mark(batch.ClientLimited)
		rows[2].Result.Mark(batch.AccuracyNotRun)
		rows[2].Accuracy = "2.0784 NOT_RUN"
		rows[3].Accuracy = "2.0784 PASSED (at CONC 4)"
		rows[4].Result = nil
		return rows
	}
	for name, rows := range map[string][]Row{"plain": terminalRows(false), "slo": terminalRows(true), "marked": marked(terminalRows(true))} {
		widest := -1
		for _, width := range []int{1000, 200, 120, 100, 80, 60, 50} {
			text := rendered(t, rows, width)
			for line := range strings.Lines(text) {
				assert.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), width, "%s at %d:\n%s", name, width, text)
			}
			for _, must := range []string{"CONC", "accuracy", "tok/s/GPU", "result", "3556", "PASSED"} {
				assert.Contains(t, text, must, "%s at %d", name, width)
			}
			columns := strings.Count(text, "p50") + strings.Count(text, "p99")
			if widest < 0 {
				widest = columns
				assert.Equal(t, 6, columns, "%s: wide enough for all:\n%s", name, text)
			}
			assert.LessOrEqual(t, columns, widest, "%s: less room, not more figures", name)
			widest = columns
		}
	}
}

package report

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
	"inferbench/harness/testdata/browsertest"
)

// oddBatch has what a page is seldom made for: more cells than colours, answers
// of one token and so no gaps, names that are script, words that do not break.
func oddBatch(t *testing.T) string {
	t.Helper()
	combo := matrix.Combination{ISL: 64, OSL: 1}
	var cells []matrix.Cell
	for i := range 12 {
		cells = append(cells, matrix.Cell{Combination: combo, Conc: 1 << i, NumPrompts: 40})
	}
	b, err := batch.Create(t.TempDir(), batch.Header{Combination: combo, Mode: "perf", Time: time.Now(), Cells: cells})
	require.NoError(t, err)
	for i, c := range cells {
		var ts []stats.Timing
		for n := range c.NumPrompts {
			sent := time.Duration(n) * time.Millisecond
			end := sent + time.Duration(c.Conc)*time.Millisecond
			ts = append(ts, stats.Timing{Index: n, Sent: sent, First: end, Last: end, Done: end, Chunks: 1, InputTokens: 64, OutputTokens: 1})
		}
		sum := stats.Run{Timings: ts, Duration: time.Second, GPUs: 1}.Summary()
		r := batch.Result{Status: batch.Passed, Performance: &sum, Args: batch.Args{
			Model: strings.Repeat("long</script><script>document.title=1</script>", 6), RandomInputLen: 64, RandomOutputLen: 1, MaxConcurrency: c.Conc, NumPrompts: 40,
		}}
		if i == 0 {
			r.Status, r.Reason = batch.Failed, strings.Repeat("http://127.0.0.1:9/v1/completions/", 10)
		}
		require.NoError(t, b.WriteResult("", c, r))
		require.NoError(t, b.WriteRequests(c, ts, time.Second))
		require.NoError(t, b.Record(c, r.Status, time.Second))
	}
	require.NoError(t, b.Close())
	return b.Dir
}

func TestOddBatchInABrowser(t *testing.T) {
	dir := oddBatch(t)
	require.NoError(t, Write(dir, Options{}))
	p := browsertest.Open(t, "file://"+filepath.Join(dir, HTMLName), 390, false)
	p.Screenshot("report-odd")
	assert.Zero(t, p.Overflow())
	assert.Contains(t, browsertest.Eval[string](p, `document.title`), "<script>", "a name is text")
	assert.Equal(t, "c-intvty c-tpot c-itl c-itls c-heat c-fail", browsertest.Eval[string](p, `[...document.querySelectorAll("figure[hidden] canvas")].map((c) => c.id).join(" ")`), "no chart without a point")
	assert.Equal(t, 12, browsertest.Eval[int](p, `new Set(Chart.getChart("c-ttft").data.datasets.map((d) => d.borderColor + d.borderDash)).size`), "every line has a look of its own")
	assert.LessOrEqual(t, browsertest.Eval[int](p, `(() => { const s = document.getElementById("configurations").parentElement; return s.scrollWidth - s.clientWidth })()`), 0)
	assert.Empty(t, p.Axe())
	assert.Empty(t, p.Errors())
}

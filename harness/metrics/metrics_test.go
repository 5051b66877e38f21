package metrics

import (
	"bytes"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
)

func TestMetricsOfARunningSweep(t *testing.T) {
	e, err := Listen("127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, e.Close()) })
	cell := matrix.Cell{Combination: matrix.Combination{ISL: 16, OSL: 8}, Conc: 4}
	e.Accuracy(cell, 3, 62)
	e.Serving(cell, load.Progress{Sent: 12, Done: 8, Failed: 1, InFlight: 4, Total: 200, OutputTokens: 64, TTFTP50: 86 * time.Millisecond, TTFTP99: 201 * time.Millisecond})
	e.Ended(cell, &batch.Result{Status: batch.Passed, Performance: &stats.Summary{TputPerGPU: new(344.5)}})

	resp, err := http.Get(e.URL())
	require.NoError(t, err)
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	problems, err := promlint.New(bytes.NewReader(page)).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems, "names, help and labels are as Prometheus asks")
	for _, line := range []string{
		`inferbench_accuracy_documents{conc="4",isl="16",osl="8",state="done"} 3`,
		`inferbench_requests{conc="4",isl="16",osl="8",phase="benchmark",state="in_flight"} 4`,
		`inferbench_requests{conc="4",isl="16",osl="8",phase="benchmark",state="failed"} 1`,
		`inferbench_output_tokens{conc="4",isl="16",osl="8",phase="benchmark"} 64`,
		`inferbench_ttft_seconds{conc="4",isl="16",osl="8",percentile="99"} 0.201`,
		`inferbench_cells_ended_total{status="PASSED"} 1`,
		`inferbench_result{conc="4",isl="16",key="tput_per_gpu",osl="8"} 344.5`,
	} {
		assert.Contains(t, string(page), line+"\n")
	}
	assert.NotContains(t, string(page), "interactivity", "a figure that was not measured is not there")

	_, err = Listen(e.addr)
	assert.ErrorContains(t, err, "METRICS_LISTEN: listen tcp")
}

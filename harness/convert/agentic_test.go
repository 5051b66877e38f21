package convert

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
)

// sessionBatch is a batch of one cell of sessions: three turns that succeeded and one
// that did not.
func sessionBatch(t *testing.T) *batch.Folder {
	t.Helper()
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	turn := func(at, ttft, took, in, out, hits int) stats.Timing {
		return stats.Timing{Sent: ms(at), First: ms(at + ttft), Last: ms(at + took), Done: ms(at + took), Chunks: out, InputTokens: in,
			OutputTokens: out, Turn: &stats.Turn{Number: 1, Blocks: 4, Hits: hits}}
	}
	failed := turn(9000, 0, 0, 0, 0, 0)
	failed.Err, failed.Done = "HTTP 500", ms(9100)
	ts := []stats.Timing{turn(1000, 100, 600, 256, 6, 0), turn(2000, 200, 1200, 300, 11, 2), turn(4000, 300, 1300, 280, 21, 3), failed}
	run := stats.Run{Timings: ts, Duration: 10 * time.Second, GPUs: 8, Sessions: []stats.Session{{Trace: "x", Failed: true}}}
	p := run.Summary()
	cell := matrix.Cell{Combination: matrix.Combination{Scenario: "agentx"}, Conc: 8}
	b, err := batch.Create(t.TempDir(), batch.Header{Combination: cell.Combination, Mode: "perf", Time: time.Now(), Cells: []matrix.Cell{cell}})
	require.NoError(t, err)
	r := batch.Result{Status: batch.Passed, Performance: &p, Args: batch.Args{Model: "m", Backend: "vllm", TP: 8, MaxConcurrency: 8,
		DatasetName: "weka", Scenario: "agentx"}}
	require.NoError(t, b.WriteResult("", cell, r))
	require.NoError(t, b.WriteRequests(cell, ts, run.Duration))
	require.NoError(t, b.Record(cell, r.Status, time.Second))
	require.NoError(t, b.Close())
	f, err := batch.Open(b.Dir)
	require.NoError(t, err)
	return f
}

// A cell of sessions is written as InferenceX aggregates AgentX runs.
func TestAgenticAggregate(t *testing.T) {
	id := known
	id.Node.TP, id.KVOffloading, id.KVOffloadBackend, id.CPUDRAM = 8, "dram", "hicache", 2000
	files, left, err := Aggregates(t.TempDir(), []*batch.Folder{sessionBatch(t)}, id)
	require.NoError(t, err)
	assert.Empty(t, left)
	b, err := os.ReadFile(files[0])
	require.NoError(t, err)
	var row map[string]any
	require.NoError(t, json.Unmarshal(b, &row))
	for key, want := range map[string]any{"scenario_type": "agentic-coding", "conc": 8.0, "kv_offloading": "dram", "kv_offload_backend": "hicache",
		"allocated_cpu_dram_gb": 2000.0, "num_requests_total": 4.0, "num_requests_successful": 3.0, "is_multinode": false, "tp": 8.0} {
		assert.Equal(t, want, row[key], key)
	}
	assert.NotContains(t, row, "isl")
	accounting := row["request_accounting"].(map[string]any)
	assert.Equal(t, 1.0, accounting["records_error_dropped"])
	assert.Equal(t, map[string]any{"HTTP 500": 1.0}, accounting["error_categories"])

	at := func(path ...string) float64 {
		var v any = row["request_metrics"]
		for _, p := range path {
			v = v.(map[string]any)[p]
		}
		require.IsType(t, 0.0, v, "%v", path)
		return v.(float64)
	}
	// TPOT 0.1, 0.1, 0.05 s; E2EL/OSL 0.1, 1.2/11, 1.3/21 s; from 1 s to 5.3 s
	for _, c := range []struct {
		want float64
		path []string
	}{
		{0.2, []string{"latency", "ttft", "p50"}},
		{0.25, []string{"latency", "ttft", "p75"}},
		{0.25 / 3, []string{"latency", "itl", "mean"}},
		{0.1, []string{"latency", "tpot", "p90"}},
		{10, []string{"latency", "intvty", "p90"}},
		{12, []string{"latency", "intvty", "mean"}},
		{4.714045207910317, []string{"latency", "intvty", "std"}},
		{10, []string{"latency", "e2e_norm_intvty", "p50"}},
		{1 / (0.1 + 0.8*(1.2/11-0.1)), []string{"latency", "e2e_norm_intvty", "p90"}},
		{5.0 / 12, []string{"cache", "theoretical_cache_hit_rate"}},
		{836 / 4.3, []string{"throughput", "input", "tokens_per_second"}},
		{38 / 4.3 / 8, []string{"throughput", "per_gpu", "output_tput_tps"}},
		{874 / 4.3 / 8, []string{"throughput", "per_gpu", "total_tput_tps"}},
		{2.0 / 3, []string{"qps", "mean"}}, // ends at 1.6, 3.2 and 5.3 s: 1, 1 and 0 in windows of a second
	} {
		assert.InDelta(t, c.want, at(c.path...), 1e-9, "%v", c.path)
	}
}

package convert

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"maps"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/scrape"
	"inferbench/harness/stats"
)

// sessionBatch is a batch of one cell of sessions: three turns that succeeded and one
// that did not, after two of the warm-up.
func sessionBatch(t *testing.T) *batch.Folder {
	t.Helper()
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	turn := func(at, ttft, took, in, out, hits int) stats.Timing {
		return stats.Timing{Sent: ms(at), First: ms(at + ttft), Last: ms(at + took), Done: ms(at + took + 10), Chunks: out, InputTokens: in,
			OutputTokens: out, Turn: &stats.Turn{Number: 1, Blocks: 4, Hits: hits, Out: out + 1}}
	}
	failed := turn(9000, 0, 0, 0, 0, 0)
	failed.Err, failed.Done = "POST http://h:1/v1/chat/completions: HTTP 500: no room", ms(9100)
	ts := []stats.Timing{turn(1000, 100, 600, 256, 6, 0), turn(2000, 200, 1200, 300, 11, 2), turn(4000, 300, 1300, 280, 21, 3), failed}
	run := stats.Run{Timings: ts, Duration: 10 * time.Second, GPUs: 8, Sessions: []stats.Session{{Trace: "x", Failed: true}}, WarmUps: 2}
	return agenticBatch(t, run, batch.Result{Marks: []batch.Mark{batch.Embedded}, Scenario: &batch.Scenario{Name: "agentx",
		Reasons: []string{"too short"}}})
}

// agenticBatch is a batch of one cell, of a run of sessions at CONC 8 on 8 GPUs.
func agenticBatch(t *testing.T, run stats.Run, r batch.Result) *batch.Folder {
	t.Helper()
	p := run.Summary()
	cell := matrix.Cell{Combination: matrix.Combination{Scenario: "agentx"}, Conc: 8}
	b, err := batch.Create(t.TempDir(), batch.Header{Combination: cell.Combination, Mode: "perf", Time: time.Now(), Cells: []matrix.Cell{cell}})
	require.NoError(t, err)
	r.Status, r.Performance = batch.Passed, &p
	r.Args = batch.Args{Model: "m", Backend: "vllm", TP: 8, MaxConcurrency: 8, DatasetName: "weka", Scenario: "agentx",
		Server: json.RawMessage(`{"kv_cache_tokens":4096}`)}
	require.NoError(t, b.WriteResult("", cell, r))
	require.NoError(t, b.WriteRequests(cell, run.Timings, run.Duration))
	require.NoError(t, b.Record(cell, r.Status, time.Second))
	require.NoError(t, b.Close())
	f, err := batch.Open(b.Dir)
	require.NoError(t, err)
	return f
}

// exported is the row of a batch's only cell, on one node.
func exported(t *testing.T, f *batch.Folder) map[string]any {
	t.Helper()
	id := known
	id.Node.TP, id.KVOffloading, id.KVOffloadBackend, id.CPUDRAM = 8, "dram", "hicache", 2000
	return exportedAs(t, f, id)
}

func exportedAs(t *testing.T, f *batch.Folder, id Identity) map[string]any {
	t.Helper()
	files, left, err := Aggregates(t.TempDir(), []*batch.Folder{f}, id)
	require.NoError(t, err)
	assert.Empty(t, left)
	b, err := os.ReadFile(files[0])
	require.NoError(t, err)
	var row map[string]any
	require.NoError(t, json.Unmarshal(b, &row))
	return row
}

// A cell of sessions is written as InferenceX aggregates AgentX runs.
func TestAgenticAggregate(t *testing.T) {
	row := exported(t, sessionBatch(t))
	for key, want := range map[string]any{"scenario_type": "agentic-coding", "conc": 8.0, "kv_offloading": "dram", "num_gpus": 8.0,
		"kv_offload_backend": map[string]any{"name": "hicache"}, "allocated_cpu_dram_gb": 2000.0, "num_requests_total": 6.0,
		"num_requests_successful": 3.0, "is_multinode": false, "tp": 8.0, "kv_cache_pool_tokens": 4096.0, "power_valid": 0.0,
		"dataset":  map[string]any{"loader": "weka", "num_dataset_entries": 1.0},
		"warnings": []any{"marked embedded", "the server's own metrics were not seen", "not valid as agentx: too short"}} {
		assert.Equal(t, want, row[key], key)
	}
	for _, key := range []string{"isl", "osl", "tput_per_gpu", "median_ttft", "p99_intvty"} {
		assert.NotContains(t, row, key, "the row of a fixed length")
	}
	assert.Equal(t, map[string]any{"records_total": 6.0, "records_profiled": 3.0, "records_dropped_total": 3.0, "records_warmup_dropped": 2.0,
		"records_error_dropped": 1.0, "error_categories": map[string]any{"HTTP 500": 1.0}}, row["request_accounting"])

	at := func(path ...string) float64 {
		var v any = row["request_metrics"]
		for _, p := range path {
			v = v.(map[string]any)[p]
		}
		require.IsType(t, 0.0, v, "%v", path)
		return v.(float64)
	}
	// TPOT 0.1, 0.1, 0.05 s; E2EL/OSL 0.1, 1.2/11, 1.3/21 s; from 1 s to 5.31 s
	for _, c := range []struct {
		want float64
		path []string
	}{
		{0.2, []string{"latency", "ttft", "p50"}},
		{0.25, []string{"latency", "ttft", "p75"}},
		{0.25 / 3, []string{"latency", "itl", "mean"}},
		{0.1, []string{"latency", "tpot", "p90"}},
		{0.101, []string{"latency", "full_response_itl", "p50"}},
		{10, []string{"latency", "intvty", "p90"}},
		{12, []string{"latency", "intvty", "mean"}},
		{4.714045207910317, []string{"latency", "intvty", "std"}},
		{10, []string{"latency", "e2e_norm_intvty", "p50"}},
		{1 / (0.1 + 0.8*(1.2/11-0.1)), []string{"latency", "e2e_norm_intvty", "p90"}},
		{41 / 3.0, []string{"tokens", "output_expected", "mean"}},
		{5.0 / 12, []string{"cache", "theoretical_cache_hit_rate"}},
		{836 / 4.31, []string{"throughput", "input", "tokens_per_second"}},
		{38 / 4.31 / 8, []string{"throughput", "per_gpu", "output_tput_tps"}},
		{874 / 4.31 / 8, []string{"throughput", "per_gpu", "total_tput_tps"}},
		{2.0 / 3, []string{"qps", "mean"}}, // ends at 1.61, 3.21 and 5.31 s: 1, 1 and 0 in windows of a second
	} {
		assert.InDelta(t, c.want, at(c.path...), 1e-9, "%v", c.path)
	}
}

// Where prefill and decode have GPUs of their own, each side's tokens are over its own,
// and the row says what both have together.
func TestAgenticAggregateOfDisaggregatedServing(t *testing.T) {
	id := known
	id.Disagg, id.Router = true, "vllm-router@0.1"
	id.Prefill = Layout{TP: 2, EP: 2, DPAttention: "false", Workers: 1}
	id.Decode = Layout{TP: 3, EP: 3, DPAttention: "true", Workers: 2}
	row := exportedAs(t, sessionBatch(t), id)
	for key, want := range map[string]any{"tp": 5.0, "ep": 3.0, "dp_attention": "true", "num_gpus": 8.0, "prefill_tp": 2.0, "decode_num_workers": 2.0,
		"num_prefill_gpu": 2.0, "num_decode_gpu": 6.0, "kv_offloading": "none", "kv_offload_backend": nil, "is_multinode": true,
		"router": map[string]any{"name": "vllm-router", "version": "0.1"}} {
		assert.Equal(t, want, row[key], key)
	}
	per := row["request_metrics"].(map[string]any)["throughput"].(map[string]any)["per_gpu"].(map[string]any)
	assert.InDelta(t, 836/4.31/2, per["input_tput_tps"], 1e-9)
	assert.InDelta(t, 38/4.31/6, per["output_tput_tps"], 1e-9)
	assert.InDelta(t, 874/4.31/8, per["total_tput_tps"], 1e-9)
}

// Where the server tells where it found what it had, so does the row.
func TestAgenticRowTellsTiers(t *testing.T) {
	seen, err := json.Marshal(scrape.Report{CachedTokens: new(300.), Queried: new(1000.), PrefixHits: new(0.3),
		HitsBySource: map[string]float64{"device": 0.2, "host": 0.1}, MaxKVCache: new(0.5),
		Ranks: []scrape.Rank{{Endpoint: "http://h/metrics", Rank: "0", MaxKVCache: new(0.25)}, {Endpoint: "http://g/metrics"}}})
	require.NoError(t, err)
	run := stats.Run{Timings: []stats.Timing{{Last: time.Second, Done: time.Second, First: 1, InputTokens: 10, OutputTokens: 2}}, GPUs: 8,
		Duration: time.Second, Sessions: []stats.Session{}}
	metrics := exported(t, agenticBatch(t, run, batch.Result{ServerMetrics: seen}))["server_metrics"].(map[string]any)
	cache := metrics["cache"].(map[string]any)
	for key, want := range map[string]any{"gpu_cache_hit_rate": 0.2, "cpu_cache_hit_rate": 0.1, "external_cache_hit_rate": 0.1,
		"overall_cache_hit_rate": 0.3, "cached_tokens_by_source": map[string]any{"device": 200.0, "host": 100.0}} {
		assert.Equal(t, want, cache[key], key)
	}
	assert.Equal(t, map[string]any{"gpu_cache_hit": 200.0, "cpu_or_external_cache_hit": 100.0, "computed": 700.0,
		"raw": map[string]any{"device": 200.0, "host": 100.0}}, metrics["tokens"].(map[string]any)["prompt_by_source"])
	assert.Equal(t, 0.5, metrics["kv_cache"].(map[string]any)["gpu_usage_pct"])
	assert.Equal(t, true, metrics["present"])
	source := func(id string, kv any) any {
		return map[string]any{"id": id, "role": "combined", "gpu_kv_cache_usage_pct": kv, "prompt_tokens": nil, "generation_tokens": nil,
			"prefix_cache_hit_rate": nil}
	}
	assert.Equal(t, []any{source("combined|http://h/metrics|rank=0", 0.25), source("combined|http://g/metrics", nil)}, metrics["sources"])
}

// profiled is a run as agentx-harness wrote it down, of agentic_row.py, and what
// InferenceX's aggregation made of it.
type profiled struct {
	Hits, Blocks int
	Recorded     map[string][]int // output tokens, of each trace's turns
	Row          map[string]any
}

// run reads the requests.
func (p *profiled) run(t *testing.T) (run stats.Run) {
	t.Helper()
	f, err := os.Open("testdata/agentic/profile.jsonl.gz")
	require.NoError(t, err)
	defer f.Close()
	zip, err := gzip.NewReader(f)
	require.NoError(t, err)
	run.GPUs, run.Sessions = 8, []stats.Session{{Trace: "made-0"}}
	traces := map[string]int{"made-0": 0}
	for lines := bufio.NewScanner(zip); lines.Scan(); {
		var row struct {
			Metadata struct {
				Trace string `json:"conversation_id"`
				Turn  int    `json:"turn_index"`
				Phase string `json:"benchmark_phase"`
				Start int64  `json:"request_start_ns"`
				End   int64  `json:"request_end_ns"`
			}
			Metrics map[string]struct{ Value float64 }
			Error   *struct{ Type string }
		}
		require.NoError(t, json.Unmarshal(lines.Bytes(), &row))
		m := row.Metadata
		if m.Phase != "profiling" {
			run.WarmUps++
			continue
		}
		if _, ok := traces[m.Trace]; !ok {
			traces[m.Trace] = len(run.Sessions)
			run.Sessions = append(run.Sessions, stats.Session{Trace: m.Trace})
		}
		after := func(metric string) time.Duration {
			return time.Duration(m.Start + int64(math.Round(1e6*row.Metrics[metric].Value)))
		}
		x := stats.Timing{Index: len(run.Timings), Sent: time.Duration(m.Start), Done: time.Duration(m.End),
			Turn: &stats.Turn{Session: traces[m.Trace], Number: m.Turn + 1, Out: p.Recorded[m.Trace][m.Turn]}}
		if row.Error != nil {
			x.Err = row.Error.Type
		} else {
			x.First, x.Last, x.Chunks = after("time_to_first_token"), after("request_latency"), 1
			x.InputTokens = int(row.Metrics["input_sequence_length"].Value)
			x.OutputTokens = int(row.Metrics["output_sequence_length"].Value)
		}
		run.Timings = append(run.Timings, x)
		run.Duration = max(run.Duration, x.Done)
	}
	for i := range run.Timings { // which of them hit is not recorded, only how often all did
		if x := &run.Timings[i]; x.Err == "" {
			x.Turn.Hits, x.Turn.Blocks = p.Hits, p.Blocks
			break
		}
	}
	return run
}

// notTheirs are the keys of a row that may differ from those of InferenceX's
// aggregation, and why.
var notTheirs = map[string]string{
	"dataset.source_type":                      "says whether it was fetched",
	"dataset.hf_dataset_name":                  "likewise",
	"power_metric_schema_version":              "another of its scripts adds power",
	"power_valid":                              "likewise",
	"server_metrics.metric_count":              "the names on the page are not kept",
	"server_metrics.sources":                   "an engine's and an address's own counters are not kept",
	"server_metrics.tokens.prompt_total":       "ours is of the requests, theirs counts what was cut off and failed",
	"server_metrics.tokens.generation_total":   "likewise",
	"server_metrics.kv_cache.gpu_total_tokens": "theirs is of the server's log, which the embedded engine has not",
	"kv_cache_pool_tokens":                     "likewise",
}

// Of the same requests and counters of the server, the row is that of InferenceX's own
// aggregation, key by key, to the five decimals that it keeps.
func TestAgenticRowIsInferenceXs(t *testing.T) {
	b, err := os.ReadFile("testdata/agentic/row.json")
	require.NoError(t, err)
	var p profiled
	require.NoError(t, json.Unmarshal(b, &p))
	run := p.run(t)
	theirs, ours := map[string]any{}, map[string]any{}
	paths("", p.Row, theirs)
	number := func(key string) *float64 { return new(theirs[key].(float64)) }
	hits, queries := number("server_metrics.cache.prefix_cache_hits"), number("server_metrics.cache.prefix_cache_queries")
	seen, err := json.Marshal(scrape.Report{CachedTokens: hits, Queried: queries, PrefixHits: new(*hits / *queries),
		MaxKVCache: number("server_metrics.kv_cache.gpu_usage_pct")})
	require.NoError(t, err)
	paths("", exported(t, agenticBatch(t, run, batch.Result{ServerMetrics: seen})), ours)
	for _, own := range []string{"hw", "image", "model", "infmax_model_prefix", "precision", "recipe_fingerprint", "conc", "ep",
		"framework", "dp_attention", "spec_decoding"} {
		require.Contains(t, ours, own)
		delete(ours, own) // of the test's identity
		delete(theirs, own)
	}
	figures := 0
	for key := range merge(theirs, ours) {
		if notTheirs[key] != "" {
			continue
		}
		if want, ok := theirs[key].(float64); ok {
			figures++
			got, ok := ours[key].(float64)
			assert.True(t, ok && math.Abs(got-want) <= 0.5001e-5, "%s: %v, theirs %v", key, ours[key], want)
			continue
		}
		assert.Equal(t, theirs[key], ours[key], key)
		assert.Equal(t, has(theirs, key), has(ours, key), key)
	}
	t.Logf("%d figures of %d requests are InferenceX's", figures, len(run.Timings)+run.WarmUps)
	assert.Greater(t, figures, 75)
	for key := range notTheirs {
		assert.True(t, has(theirs, key) || has(ours, key), "%s is in neither row", key)
	}
}

func has(m map[string]any, key string) bool { _, ok := m[key]; return ok }

func merge(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// paths puts the leaves of an object under their paths; an object or list without any
// is a leaf.
func paths(path string, v any, into map[string]any) {
	o, ok := v.(map[string]any)
	if !ok || len(o) == 0 && path != "" {
		into[path] = v
		return
	}
	for k, v := range o {
		paths(strings.TrimPrefix(path+"."+k, "."), v, into)
	}
}

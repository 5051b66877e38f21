package convert

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/compare"
)

// Files that the tools wrote, in the shared folder beside the checkout.
const cases = "../../../shared/cases/files/"

func read(t *testing.T, file string, h Hints) []Imported {
	t.Helper()
	if _, err := os.Stat(file); err != nil {
		t.Skip(file + " is not there")
	}
	runs, skipped, err := Read(file, h)
	require.NoError(t, err)
	require.Empty(t, skipped)
	return runs
}

// jsonOf is a file's one JSON object, or an element of its list.
func jsonOf(t *testing.T, file string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	var o map[string]any
	require.NoError(t, json.Unmarshal(b, &o))
	return o
}

func TestCases(t *testing.T) {
	lengths := Hints{ISL: 256, OSL: 64, TP: 1}
	t.Run("01: GPUs are tp·pp·pcp, or those of prefill and decode", func(t *testing.T) {
		r := read(t, cases+"01-inferencex-pp/agg_tp4pp2pcp2.json", Hints{})[0]
		assert.Equal(t, 16, r.Result.Args.TP)
		assert.InDelta(t, 16*6700.847257996307, *r.Result.Performance.TotalThroughput, 1e-6)
		r = read(t, cases+"01-inferencex-pp/agg_multi.json", Hints{})[0]
		assert.Equal(t, 28, r.Result.Args.TP)
		assert.InDelta(t, 8*2675.3226731862983, r.Result.Performance.OutputThroughput, 1e-6)
	})
	t.Run("02: two models or kinds of hardware are two batches", func(t *testing.T) {
		for _, file := range []string{"mixed_models.json", "same_conc_two_hw.json"} {
			dirs, err := Write(t.TempDir(), read(t, cases+"02-inferencex-rows/"+file, Hints{}))
			require.NoError(t, err)
			assert.Len(t, dirs, 2, file)
		}
	})
	t.Run("07: the endpoint is the file's", func(t *testing.T) {
		a := read(t, cases+"07-vllm-chat/c2_chat.json", lengths)[0].Result.Args
		assert.Equal(t, chatEndpoint, a.Endpoint)
		assert.Empty(t, a.DatasetName, "which the file does not tell")
		assert.Equal(t, 1.0, a.RandomRangeRatio, "a chat's template is above what was asked for")
	})
	t.Run("08: failures that the file tells", func(t *testing.T) {
		h := Hints{TP: 1, Model: "m"}
		r := read(t, cases+"08-sglang-failed/f_fail.jsonl", h)[0].Result
		assert.Equal(t, batch.Imported, r.Status)
		assert.Contains(t, strings.Join(r.Notes, "\n"), "does not tell how many requests failed")
		assert.Contains(t, r.NotTold, "failed_requests")
		assert.Zero(t, r.Args.NumPrompts)
		r = read(t, cases+"08-sglang-failed/g_fail_details.jsonl", h)[0].Result
		assert.Equal(t, batch.Failed, r.Status)
		assert.Equal(t, 3, r.Performance.Failed)
		assert.Equal(t, 40, r.Args.NumPrompts)
		assert.Contains(t, r.Reason, "3 of 40 requests failed: ")
	})
	t.Run("10: lengths must fit the totals", func(t *testing.T) {
		a := read(t, cases+"10-vllm-ratio/a_plain.json", lengths)[0].Result.Args
		assert.Equal(t, []any{256, 64, 1.0}, []any{a.RandomInputLen, a.RandomOutputLen, a.RandomRangeRatio})
		for name, h := range map[string]Hints{
			"other lengths": {ISL: 1024, OSL: 64, TP: 1, RangeRatio: 1}, "other answers": {ISL: 256, OSL: 32, TP: 1, RangeRatio: 1},
			"too short": {ISL: 128, OSL: 64, TP: 1},
			"a ratio":   {ISL: 256, OSL: 64, TP: 1, RangeRatio: 0.8},
		} {
			_, _, err := Read(cases+"10-vllm-ratio/a_plain.json", h)
			assert.ErrorContains(t, err, "its totals contradict the lengths", name)
		}
		r := read(t, cases+"10-vllm-ratio/e_ratio.json", Hints{})[0].Result
		assert.Equal(t, []int{308, 77, 1}, []int{r.Args.RandomInputLen, r.Args.RandomOutputLen, r.Args.TP},
			"vLLM's ratio is of lengths around those asked for")
		assert.InDelta(t, 2.0/3, r.Args.RandomRangeRatio, 1e-9)
		assert.Contains(t, strings.Join(r.Notes, "\n"), "its random_range_ratio 0.2 is of lengths from 0.8 to 1.2 of ISL 256")
	})
	t.Run("12: a rate and its bursts", func(t *testing.T) {
		a := read(t, cases+"12-burstiness/j_burst.json", lengths)[0].Result.Args
		assert.Equal(t, batch.Rate(50), a.RequestRate)
		assert.Equal(t, "0.5", a.Settings["BURSTINESS"])
		a.Model, a.Endpoint = "m", completionsEndpoint
		for name, c := range map[string]struct {
			other   func(*batch.Args)
			refused string
		}{
			"alike":         {func(a *batch.Args) { a.DatasetName, a.Seed = "random", 7 }, ""},
			"other bursts":  {func(a *batch.Args) { a.Settings = nil }, "BURSTINESS: 0.5 against default"},
			"another rate":  {func(a *batch.Args) { a.RequestRate = 0 }, "request_rate: 50 against unlimited"},
			"another place": {func(a *batch.Args) { a.Endpoint = chatEndpoint }, "endpoint: /v1/completions against /v1/chat/completions"},
		} {
			side := func(args batch.Args) []*batch.Folder {
				run := read(t, cases+"12-burstiness/j_burst.json", lengths)[0]
				run.Result.Args = args
				dirs, err := Write(t.TempDir(), []Imported{run})
				require.NoError(t, err)
				f, err := batch.Open(dirs[0])
				require.NoError(t, err)
				return []*batch.Folder{f}
			}
			b := a
			c.other(&b)
			both, err := compare.Folders(side(a), side(b), compare.Options{})
			require.NoError(t, err)
			assert.Equal(t, c.refused, both.Cells[0].Refused, name)
		}
	})
	t.Run("13: some of the latencies", func(t *testing.T) {
		r := read(t, cases+"13-tpot-only/i_tpot.json", lengths)[0].Result
		assert.Nil(t, r.Performance.TTFT.Median)
		assert.Equal(t, 0.10346560476670949, *r.Performance.TPOT.P90)
		assert.Nil(t, r.Performance.TPOT.P99)
		var own map[string]float64
		_ = json.Unmarshal(r.Source, &own) // texts among them
		assert.Equal(t, 0.1100574772996619, own["p99.99_tpot_ms"], "nothing of the file is lost")
	})
	t.Run("17: AIPerf and GuideLLM", func(t *testing.T) {
		own := jsonOf(t, cases+"17-unread/profile_export_aiperf.json")
		r := read(t, cases+"17-unread/profile_export_aiperf.json", Hints{TP: 2})[0]
		p, a := r.Result.Performance, r.Result.Args
		of := func(metric, stat string) float64 { return own[metric].(map[string]any)[stat].(float64) }
		assert.Equal(t, of("time_to_first_token", "p50"), *p.TTFT.Median)
		assert.Equal(t, of("inter_token_latency", "p99"), *p.TPOT.P99)
		assert.Equal(t, of("inter_chunk_latency", "p95"), *p.ITL.P95)
		assert.Equal(t, of("request_latency", "max"), *p.E2EL.Max)
		assert.Equal(t, of("output_token_throughput", "avg"), p.OutputThroughput)
		assert.Equal(t, []any{"inferbench-ngram", 256, 64, 4, 40, completionsEndpoint, "synthetic", "aiperf 0.13.0"},
			[]any{a.Model, a.RandomInputLen, a.RandomOutputLen, a.MaxConcurrency, a.NumPrompts, a.Endpoint, a.DatasetName, a.ClientVersion})

		r = read(t, cases+"17-unread/guidellm.json", Hints{TP: 2})[0]
		p, a = r.Result.Performance, r.Result.Args
		assert.Equal(t, 4.545688629150391, *p.TTFT.Median)
		assert.Equal(t, 0.11734007624624995, *p.ITL.Mean)
		assert.Equal(t, 12.783050537109375, *p.E2EL.Median)
		assert.Equal(t, 182.32162258689078, p.RequestThroughput)
		assert.Equal(t, []int{40, 0}, []int{p.Successful, p.Failed})
		assert.Equal(t, []any{"inferbench-ngram", 256, 64, 4, 40, completionsEndpoint, "synthetic_text", int64(42)},
			[]any{a.Model, a.RandomInputLen, a.RandomOutputLen, a.MaxConcurrency, a.NumPrompts, a.Endpoint, a.DatasetName, a.Seed})
		assert.Len(t, r.Timings, 40)
		assert.Contains(t, strings.Join(r.Result.Notes, "\n"), "the server counts 568.5 input tokens a request, but 256 were asked for")
	})
}

// What another tool's file does not tell stands nowhere as a zero.
func TestNothingIsShownThatTheFileDidNotTell(t *testing.T) {
	for _, file := range []string{"testdata/vllm.json", "testdata/sglang.jsonl", "testdata/agg_inferencex.json", "testdata/inferencex-api.json"} {
		runs := read(t, file, sampled)
		dirs, err := Write(t.TempDir(), runs)
		require.NoError(t, err)
		files, err := filepath.Glob(filepath.Join(dirs[0], "result_*.json"))
		require.NoError(t, err)
		o := jsonOf(t, files[0])
		args := o["benchmark_args"].(map[string]any)
		for _, key := range []string{"seed", "warmup_requests", "base_url", "temperature", "go_version", "started_at"} {
			assert.NotContains(t, args, key, file)
		}
		assert.Nil(t, o["untimed_tokens"], file)
		if strings.Contains(file, "inferencex") {
			for _, key := range []string{"successful_requests", "failed_requests", "benchmark_duration", "request_throughput"} {
				assert.Contains(t, o, key, file)
				assert.Nil(t, o[key], "%s: %s", file, key)
			}
		}
		f, err := batch.Open(dirs[0])
		require.NoError(t, err)
		assert.Equal(t, runs[0].Result.Performance.TPOT, f.Cells[0].Result.Performance.TPOT, "figures are read back")
	}
}

// Rows that cannot be imported are skipped and counted; the others are not lost.
func TestRowsThatAreNotKnownAreSkipped(t *testing.T) {
	b, err := os.ReadFile("testdata/agg_inferencex.json")
	require.NoError(t, err)
	row := string(b)
	with := func(more string) string { return strings.Replace(row, "{", "{"+more+",", 1) }
	file := filepath.Join(t.TempDir(), "agg_bmk.json")
	rows := []string{row, `{"hello": 1}`, with(`"num_requests_successful": 0`), with(`"scenario_type": "agentic-coding"`), `{"hello": 2}`}
	require.NoError(t, os.WriteFile(file, []byte("["+strings.Join(rows, ",\n")+"]"), 0o644))
	runs, skipped, err := Read(file, Hints{})
	require.NoError(t, err)
	assert.Len(t, runs, 1)
	require.Len(t, skipped, 4)
	why := Reasons(skipped)
	assert.Equal(t, 1, strings.Count(why, "not a result that is known here"), "a reason is told once")
	assert.Contains(t, why, "line 1, element 3: no request succeeded")
	assert.Contains(t, why, "element 4: a row of agentic-coding: sessions have no ISL and OSL")

	require.NoError(t, os.WriteFile(file, []byte("["+rows[1]+","+rows[2]+"]"), 0o644))
	_, _, err = Read(file, Hints{})
	assert.ErrorContains(t, err, "agg_bmk.json: line 1, element 1: not a result that is known here")
	assert.ErrorContains(t, err, "(and 1 more rows)")
}

// Both tools' tables are read as far as they tell; the rest is asked for.
func TestTables(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "table.csv")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		return file
	}
	aiperf := write("Metric,avg,min,max,sum,p50,p90,p95,p99,std\r\n" +
		"Inter Token Latency (ms),0.10,0.00,0.19,4.12,0.11,0.15,0.18,0.18,0.04\r\n" +
		"Request Latency (ms),12.06,7.33,34.26,482.52,9.89,18.96,19.61,28.62,5.21\r\n" +
		"Time to First Token (ms),5.57,0.60,23.44,222.92,4.66,10.93,12.59,19.36,4.48\r\n\r\n" +
		"Metric,Value\r\nBenchmark Duration (sec),0.23\r\nOutput Token Throughput (tokens/sec),10710.82\r\n" +
		"Request Count,40.00\r\nRequest Throughput (requests/sec),167.36\r\n" +
		"Total Input Sequence Length (tokens),10280.00\r\nTotal Output Sequence Length (tokens),2560.00\r\n")
	_, _, err := Read(aiperf, Hints{TP: 1, ISL: 256, OSL: 64, Conc: 4})
	assert.ErrorContains(t, err, "does not name the model")
	r := read(t, aiperf, Hints{TP: 1, ISL: 256, OSL: 64, Conc: 4, Model: "m", RangeRatio: 1})[0]
	assert.Equal(t, []float64{4.66, 0.18, 28.62, 10710.82}, []float64{*r.Result.Performance.TTFT.Median,
		*r.Result.Performance.TPOT.P99, *r.Result.Performance.E2EL.P99, r.Result.Performance.OutputThroughput})
	assert.Equal(t, 40, r.Result.Performance.Successful)
	assert.Equal(t, int64(10280), *r.Result.Performance.InputTokens)

	guide := write("Run Info,Benchmark,Timings,Request Counts,Request Counts,Request Latency,Request Latency,Request Latency," +
		"Time to First Token,Token Metrics,Token Metrics,Server Throughput,Token Throughput,Token Throughput,Runtime Info\n" +
		"Backend,Strategy,Duration,Successful,Errored,Successful Sec,Successful Sec,Successful Sec,Successful ms," +
		"Successful Input Tokens,Successful Output Tokens,Successful Requests/Sec,Successful Output Tokens/Sec,Successful Total Tokens/Sec,Arguments\n" +
		",,Sec,,,Mean,Median,Percentiles,Median,Mean,Mean,Mean,Mean,Mean,\n" +
		`"{""model"": ""m"", ""request_format"": ""/v1/chat/completions""}",concurrent@8,1.5,40,0,0.0137,0.0128,` +
		`"[0.006, 0.006, 0.006, 0.007, 0.008, 0.01, 0.016, 0.019, 0.021, 0.026, 0.027]",4.5,256,64,182.3,12014.3,60000.5,` +
		`"{""spec"": {""data"": [{""kind"": ""synthetic_text"", ""prompt_tokens"": 256, ""output_tokens"": 64}]}}"` + "\n")
	r = read(t, guide, Hints{TP: 2})[0]
	p, a := r.Result.Performance, r.Result.Args
	assert.Equal(t, []any{"m", chatEndpoint, 8, 256, 64}, []any{a.Model, a.Endpoint, a.MaxConcurrency, a.RandomInputLen, a.RandomOutputLen})
	assert.Equal(t, []float64{12.8, 26, 30000.25, 10240}, []float64{*p.E2EL.Median, *p.E2EL.P99, *p.TputPerGPU, float64(*p.InputTokens)})
}

// What older releases of the tools wrote, and what their neighbours write.
func TestOlderForms(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "r.json")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
		return file
	}
	h := Hints{ISL: 64, OSL: 16, TP: 1, Conc: 4, Model: "m"}
	r := read(t, write(`{"backend":"vllm","model_id":"m","num_prompts":"20","request_rate":"inf","duration":2.0,"completed":19,"total_input_tokens":1216,
		"total_output_tokens":304,"request_throughput":9.5,"input_throughput":608,"output_throughput":152,"mean_ttft_ms":5,"median_ttft_ms":5,
		"p99_ttft_ms":9,"output_lens":[16,0],"errors":["","Traceback\nTimeoutError: too late"]}`), h)[0].Result
	assert.Equal(t, 760.0, *r.Performance.TotalThroughput)
	assert.Equal(t, "1 of 20 requests failed: TimeoutError: too late", r.Reason)
	assert.Equal(t, "false", r.Args.Settings["CONC_CAP"], "CONC was no limit of the run's")

	r = read(t, write(`{"metadata":{"version":1},"benchmarks":[{"type_":"generative_benchmark","duration":2,"args":{"strategy":{"type_":"concurrent","streams":3}},
		"worker":{"backend_model":"old"},"request_loader":{"data":"prompt_tokens=64,output_tokens=16"},
		"metrics":{"request_totals":{"successful":9,"errored":0},"request_latency":{"successful":{"count":9,"median":0.5}},"tokens_per_second":{"total":{"mean":300}}}}]}`), Hints{TP: 1})[0].Result
	assert.Equal(t, []any{"old", 3, 64, 16}, []any{r.Args.Model, r.Args.MaxConcurrency, r.Args.RandomInputLen, r.Args.RandomOutputLen})

	r = read(t, write(`{"request_throughput":{"unit":"requests/sec","avg":5},"request_latency":{"unit":"ms","p50":7},"output_token_throughput":{"avg":80},
		"request_count":{"avg":10},"input_sequence_length":{"avg":64},"benchmark_duration":{"avg":2},"total_osl":{"avg":160},
		"input_config":{"model_names":["g"],"loadgen":{"concurrency":2},"input":{"prompt":{"input_tokens":{"mean":64,"stddev":5},"output_tokens":{"mean":16}}}}}`), Hints{TP: 1})[0].Result
	assert.Equal(t, []any{"g", 2, "synthetic isl stddev 5", 400.0}, []any{r.Args.Model, r.Args.MaxConcurrency, r.Args.DatasetName, *r.Performance.TotalThroughput})

	_, _, err := Read(write(`{"metadata":{},"metrics":{"request_latency":{"value":1,"unit":"ms"}}}`+"\n"+`{"metadata":{},"metrics":{"request_latency":{"value":2,"unit":"ms"}}}`), h)
	assert.ErrorContains(t, err, "line 1: single requests of AIPerf: what is read is profile_export_aiperf.json beside them (and 1 more rows)")
}

// A report is the same in YAML.
func TestYAML(t *testing.T) {
	file := filepath.Join(t.TempDir(), "benchmarks.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`metadata: {version: 2, guidellm_version: 0.8.1}
benchmarks:
- duration: 1.5
  config: {backend: {model: m, request_format: /v1/completions}, strategy: {type_: poisson, rate: 12.5, max_concurrency: 8}}
  metrics:
    request_totals: {successful: 40, errored: 2, incomplete: 1, total: 43}
    request_latency: {successful: {count: 40, mean: 0.0137, median: 0.0128, percentiles: {p99: .nan}}}
    tokens_per_second: {total: {mean: 120000.5}}
`), 0o644))
	r := read(t, file, Hints{TP: 2, ISL: 256, OSL: 64, RangeRatio: 1})[0]
	assert.Equal(t, batch.Failed, r.Result.Status)
	assert.Contains(t, r.Result.Reason, "2 of 42 requests failed")
	assert.Equal(t, []any{"m", 8, batch.Rate(12.5)}, []any{r.Result.Args.Model, r.Result.Args.MaxConcurrency, r.Result.Args.RequestRate})
	assert.Equal(t, 12.8, *r.Result.Performance.E2EL.Median)
	assert.Nil(t, r.Result.Performance.E2EL.P99)
	assert.Equal(t, 60000.25, *r.Result.Performance.TputPerGPU)
}

// Totals of ours are not another tool's.
func TestOurOwnResultIsNoImport(t *testing.T) {
	file := filepath.Join(t.TempDir(), "result.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"model_id":"m","completed":1,"total_token_throughput":1,"benchmark_args":{}}`), 0o644))
	_, _, err := Read(file, Hints{})
	assert.ErrorIs(t, err, errOwn)
}

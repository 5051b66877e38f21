package convert

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
	"inferbench/harness/batch"
	"inferbench/harness/compare"
	"inferbench/harness/stats"
)

// The hints that the samples need, and where their figures come from: see
// testdata/README.md.
var sampled = Hints{ISL: 64, OSL: 16, TP: 8, Dataset: "random"}

// says is what a sample's JSON object (its last line's) holds under a key.
func says(t *testing.T, file, key string) float64 {
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if !json.Valid(b) {
		b = []byte(strings.ReplaceAll(lines[len(lines)-1], "Infinity", "null"))
	}
	var o map[string]any
	require.NoError(t, json.Unmarshal(b, &o))
	require.Contains(t, o, key)
	return o[key].(float64)
}

func TestVLLM(t *testing.T) {
	const file = "testdata/vllm-detailed.json"
	runs, _, err := Read(file, sampled)
	require.NoError(t, err)
	require.Len(t, runs, 1)
	r := runs[0]
	p, a := r.Result.Performance, r.Result.Args
	assert.Equal(t, batch.Imported, r.Result.Status)
	assert.Equal(t, "inferbench-ngram", a.Model)
	assert.Equal(t, 4, a.MaxConcurrency)
	assert.Equal(t, 20, p.Successful)
	assert.Equal(t, 1.0, a.RandomRangeRatio, "the totals show that lengths were fixed")
	assert.Zero(t, a.RequestRate, "inf is no rate")
	assert.Equal(t, says(t, file, "total_token_throughput")/8, *p.TputPerGPU)
	assert.Equal(t, says(t, file, "median_ttft_ms"), *p.TTFT.Median)
	assert.Equal(t, says(t, file, "p99.9_ttft_ms"), *p.TTFT.P99_9)
	assert.Equal(t, says(t, file, "median_e2el_ms"), *p.E2EL.Median)
	assert.InDelta(t, 1000/says(t, file, "median_tpot_ms"), *p.Interactivity, 1e-9)
	assert.Equal(t, time.November, r.Date.Month())
	assert.Contains(t, r.Result.Notes[0], "imported from vllm-detailed.json of vLLM bench serve (sha256 ")

	// Its own figures follow from the requests as they were read.
	require.Len(t, r.Timings, 20)
	own := stats.Run{Timings: r.Timings, Duration: r.Duration, GPUs: 8}.Summary()
	assert.InDelta(t, *p.TTFT.Mean, *own.TTFT.Mean, 1e-3)
	assert.InDelta(t, *p.TTFT.P99, *own.TTFT.P99, 1e-3)
	assert.InDelta(t, *p.TPOT.Median, *own.TPOT.Median, 0.01)
	assert.InDelta(t, *p.ITL.Mean, *own.ITL.Mean, 1e-3)
	assert.InDelta(t, *p.E2EL.Median, *own.E2EL.Median, 0.1)
	assert.Equal(t, *p.InputTokens, *own.InputTokens)
	assert.Equal(t, p.OutputTokens, own.OutputTokens)
}

// Without --save-detailed there are no requests, and without
// --percentile-metrics no figures of E2EL, but the list of latencies has them.
func TestVLLMWithoutDetails(t *testing.T) {
	const file = "testdata/vllm.json"
	runs, _, err := Read(file, sampled)
	require.NoError(t, err)
	p := runs[0].Result.Performance
	assert.Nil(t, runs[0].Timings)
	assert.Equal(t, says(t, file, "mean_itl_ms"), *p.ITL.Mean)
	assert.InDelta(t, *p.TTFT.Mean+15**p.TPOT.Mean, *p.E2EL.Mean, 0.1)

	// As releases before 0.11 wrote it.
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	var o map[string]any
	require.NoError(t, json.Unmarshal(b, &o))
	for _, later := range []string{"backend", "failed", "latencies", "queue_times", "rtfx"} {
		require.Contains(t, o, later)
		delete(o, later)
	}
	b, err = json.Marshal(o)
	require.NoError(t, err)
	old := filepath.Join(t.TempDir(), "old.json")
	require.NoError(t, os.WriteFile(old, b, 0o644))
	runs, _, err = Read(old, sampled)
	require.NoError(t, err)
	assert.Nil(t, runs[0].Result.Performance.E2EL.Median, "what the file has not is null, not 0")
	assert.Equal(t, "openai", runs[0].Result.Args.Backend)
	assert.Zero(t, runs[0].Result.Performance.Failed)
}

func TestSGLang(t *testing.T) {
	const file = "testdata/sglang.jsonl"
	runs, _, err := Read(file, Hints{TP: 8})
	require.NoError(t, err)
	require.Len(t, runs, 2)
	a, p := runs[1].Result.Args, runs[1].Result.Performance
	assert.Equal(t, []int{2, 4}, []int{runs[0].Result.Args.MaxConcurrency, a.MaxConcurrency})
	assert.Equal(t, "inferbench-ngram", a.Model)
	assert.Equal(t, "random", a.DatasetName, "random-ids is what others call random")
	assert.Equal(t, []int{64, 16}, []int{a.RandomInputLen, a.RandomOutputLen})
	assert.Equal(t, 1.0, a.RandomRangeRatio)
	assert.Zero(t, a.RequestRate, "a bare Infinity is no rate")
	assert.Equal(t, says(t, file, "median_e2e_latency_ms"), *p.E2EL.Median)
	assert.Equal(t, says(t, file, "total_throughput"), *p.TotalThroughput)
	assert.Equal(t, says(t, file, "total_throughput")/8, *p.TputPerGPU)
	assert.Equal(t, "inferbench-0.1.0", a.BackendVersion)
	assert.Nil(t, runs[1].Timings, "--output-details does not tell when requests were sent")

	// A server that does not tell of itself.
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	silent := filepath.Join(t.TempDir(), "silent.jsonl")
	require.NoError(t, os.WriteFile(silent, regexp.MustCompile(`"server_info": \{[^}]*\}`).ReplaceAll(b, []byte(`"server_info": null`)), 0o644))
	_, _, err = Read(silent, Hints{TP: 8})
	assert.ErrorContains(t, err, "silent.jsonl: line 1: the file does not name the model: give -model (with make: MODEL=)")
	_, _, err = Read(silent, Hints{TP: 8, Model: "x"})
	assert.NoError(t, err)

	anyLength := filepath.Join(t.TempDir(), "default.jsonl")
	require.NoError(t, os.WriteFile(anyLength, []byte(strings.ReplaceAll(string(b), `"random_range_ratio": 1.0`, `"random_range_ratio": 0.0`)), 0o644))
	_, _, err = Read(anyLength, Hints{TP: 8})
	assert.ErrorContains(t, err, "run it with --random-range-ratio 1")
}

// The aggregates say of a run what the file that they were made of says.
func TestInferenceMAX(t *testing.T) {
	whole, _, err := Read("testdata/vllm-detailed.json", sampled)
	require.NoError(t, err)
	want := whole[0].Result.Performance
	for file, h := range map[string]Hints{
		"testdata/agg_inferencemax.json": {ISL: 64, OSL: 16},
		"testdata/agg_inferencex.json":   {},
	} {
		runs, _, err := Read(file, h)
		require.NoError(t, err)
		p, a := runs[0].Result.Performance, runs[0].Result.Args
		assert.InDelta(t, *want.TputPerGPU, *p.TputPerGPU, 1e-9, file)
		assert.InDelta(t, *want.TotalThroughput, *p.TotalThroughput, 1e-9, file)
		assert.InDelta(t, want.OutputThroughput, p.OutputThroughput, 1e-9, file)
		assert.InDelta(t, *want.E2EL.Median, *p.E2EL.Median, 1e-9, file)
		assert.InDelta(t, *want.TTFT.P99, *p.TTFT.P99, 1e-9, file)
		assert.InDelta(t, *want.Interactivity, *p.Interactivity, 1e-9, file)
		assert.Equal(t, []int{64, 16, 4, 8}, []int{a.RandomInputLen, a.RandomOutputLen, a.MaxConcurrency, a.TP}, file)
		assert.Equal(t, 0.8, a.RandomRangeRatio, "which these projects use")
	}
	runs, _, err := Read("testdata/inferencex-api.json", Hints{})
	require.NoError(t, err)
	assert.InDelta(t, 164.41, *runs[0].Result.Performance.TTFT.Median, 1e-9)
	assert.Equal(t, "2026-06-01", runs[0].Date.Format(time.DateOnly))
}

// Where prefill and decode have GPUs of their own, throughput is per GPU of
// all, that of output per GPU that decodes.
func TestInferenceXOnSeveralNodes(t *testing.T) {
	b, err := os.ReadFile("testdata/agg_inferencex.json")
	require.NoError(t, err)
	text := strings.Replace(string(b), `"disagg": false`, `"disagg": true, "num_prefill_gpu": 4, "num_decode_gpu": 12, "decode_tp": 4`, 1)
	file := filepath.Join(t.TempDir(), "agg.json")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	runs, _, err := Read(file, Hints{})
	require.NoError(t, err)
	p := runs[0].Result.Performance
	assert.Equal(t, 16, runs[0].Result.Args.TP)
	assert.InDelta(t, 16*says(t, file, "tput_per_gpu"), *p.TotalThroughput, 1e-9)
	assert.InDelta(t, 12*says(t, file, "output_tput_per_gpu"), p.OutputThroughput, 1e-9)
}

func TestPythonsJSON(t *testing.T) {
	assert.Equal(t, `{"a": null, "b": [null,null], "NaN": "Infinity \" NaN"}`,
		string(strictJSON([]byte(`{"a": Infinity, "b": [-Infinity,NaN], "NaN": "Infinity \" NaN"}`))))
}

func TestWhatCannotBeImportedSaysWhy(t *testing.T) {
	sample, err := os.ReadFile("testdata/vllm-detailed.json")
	require.NoError(t, err)
	sglang, err := os.ReadFile("testdata/sglang.jsonl")
	require.NoError(t, err)
	lines := strings.TrimSpace(string(sglang))
	first, _, _ := strings.Cut(lines, "\n")
	for name, c := range map[string]struct {
		content, want string
		hints         Hints
	}{
		"other JSON": {`{"hello": 1}`, "line 1: not a result that is known here", Hints{}},
		"no JSON":    {"\n\nhello", "line 3: invalid character 'h'", Hints{}},
		"empty":      {"", "no result in it", Hints{}},
		"a number":   {"5", "line 1: not a result that is known here", Hints{}},
		"cut off":    {lines + "\n" + lines[:500], "line 3: the file ends in the midst of a result", Hints{TP: 8}},
		// Infinity and NaN are not as long as the null that is read for them.
		"after NaNs":       {`{"x": [` + strings.Repeat("NaN,", 400) + `0],` + first[1:] + "\n{", "line 2: the file ends in the midst", Hints{TP: 8}},
		"after Infinities": {strings.Repeat(first+"\n", 2000) + `{"a":1`, "line 2001: the file ends in the midst", Hints{TP: 8}},
		"no throughput":    {strings.Replace(string(sample), `"total_token_throughput": `, `"total_token_throughput": 0, "x": `, 1), "no throughput above 0", sampled},
		"no lengths":       {string(sample), "give -isl and -osl", Hints{TP: 1}},
		"no GPUs":          {string(sample), "give -tp", Hints{ISL: 64, OSL: 16}},
		"no ratio":         {string(sample), "give -random-range-ratio", Hints{ISL: 128, OSL: 16, TP: 1}},
		"uneven lists":     {strings.Replace(string(sample), `"ttfts": [`, `"ttfts": [0.1, `, 1), "lists differ in length: 20 start_times, 21 ttfts", sampled},
		"no limit":         {strings.Replace(string(sample), `"max_concurrency": 4`, `"max_concurrency": null`, 1), "no limit on requests in flight", sampled},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "r.json")
			require.NoError(t, os.WriteFile(file, []byte(c.content), 0o644))
			_, _, err := Read(file, c.hints)
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

// An imported run is a batch like any other: it opens, compares and becomes a
// baseline and a table.
func TestImportedRunIsABatch(t *testing.T) {
	read := func() *batch.Folder {
		runs, _, err := Read("testdata/vllm-detailed.json", sampled)
		require.NoError(t, err)
		dirs, err := Write(t.TempDir(), runs)
		require.NoError(t, err)
		require.Len(t, dirs, 1)
		assert.Equal(t, "batch_isl64_osl16_"+runs[0].Date.Format("20060102_150405"), filepath.Base(dirs[0]))
		f, err := batch.Open(dirs[0])
		require.NoError(t, err)
		return f
	}
	a, b := read(), read()
	assert.Equal(t, batch.Imported, a.Cells[0].Status)
	c, err := compare.Folders([]*batch.Folder{a}, []*batch.Folder{b}, compare.Options{})
	require.NoError(t, err)
	require.Len(t, c.Cells, 1)
	assert.Empty(t, c.Cells[0].Refused)
	assert.Equal(t, "block bootstrap over 20 and 20 requests", c.Cells[0].Method)
	assert.Empty(t, c.Check(0).Regressions)

	h, err := Baseline([]*batch.Folder{a}, "h200", "NVIDIA H200", "")
	require.NoError(t, err)
	file, err := baselines.WriteHardware(folderWith(t, "hardware"), h)
	require.NoError(t, err)
	back, err := baselines.LoadHardware(file)
	require.NoError(t, err)
	assert.Equal(t, h, back)
	p := a.Cells[0].Result.Performance
	assert.Equal(t, []baselines.Point{{ISL: 64, OSL: 16, Conc: 4, MedianE2E: *p.E2EL.Median, Interactivity: *p.Interactivity, TputPerGPU: *p.TputPerGPU}}, back.Points)
	flat := back.Compare(baselines.Run{ISL: 64, OSL: 16, Conc: 4, MedianE2E: 85, TputPerGPU: 2 * *p.TputPerGPU, GPUs: 8, RandomRangeRatio: 1}).Flat()
	day := a.Summary.Time.Format("0102")
	assert.Contains(t, flat, "h200_baseline_"+day)
	assert.Equal(t, 2.0, *flat["tput_per_gpu_ratio_vs_h200_"+day].(*float64))

	var table strings.Builder
	require.NoError(t, WriteCSV(&table, []*batch.Folder{a}))
	lines := strings.Split(table.String(), "\n")
	assert.True(t, strings.HasPrefix(lines[0], "batch,isl,osl,conc,status,seconds,"))
	assert.Contains(t, lines[0], ",median_ttft_ms,")
	assert.Contains(t, lines[1], ",64,16,4,IMPORTED,1,")

	dirs, err := Write(t.TempDir(), append(readAgain(t), readAgain(t)...))
	require.NoError(t, err)
	assert.Len(t, dirs, 2, "each pass of a cell is a batch of its own")
}

func readAgain(t *testing.T) []Imported {
	runs, _, err := Read("testdata/vllm-detailed.json", sampled)
	require.NoError(t, err)
	return runs
}

func folderWith(t *testing.T, name string) string {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	return dir
}

func TestBaselineOfUnequalCells(t *testing.T) {
	cell := func(change func(*batch.Result)) *batch.Folder {
		runs := readAgain(t)
		change(&runs[0].Result)
		dirs, err := Write(t.TempDir(), runs)
		require.NoError(t, err)
		f, err := batch.Open(dirs[0])
		require.NoError(t, err)
		return f
	}
	same := cell(func(*batch.Result) {})
	for want, change := range map[string]func(*batch.Result){
		"a baseline is of one workload": func(r *batch.Result) { r.Args.Model = "other" },
		"limited by the client":         func(r *batch.Result) { r.ClientLimited = true },
		"no median_e2el_ms":             func(r *batch.Result) { r.Performance.E2EL.Median = nil },
		"DATASET is sharegpt, but a hardware baseline is of a closed loop": func(r *batch.Result) { r.Args.DatasetName = "sharegpt" },
		"REQUEST_RATE is 3":  func(r *batch.Result) { r.Args.RequestRate = 3 },
		"ENDPOINT is chat":   func(r *batch.Result) { r.Args.Endpoint = "/v1/chat/completions" },
		"SHARED_PREFIX is 1": func(r *batch.Result) { r.Args.Settings = map[string]string{"SHARED_PREFIX": "1"} },
	} {
		_, err := Baseline([]*batch.Folder{same, cell(change)}, "x", "X", "")
		assert.ErrorContains(t, err, want)
	}
	_, err := Baseline([]*batch.Folder{cell(func(r *batch.Result) { r.Performance = nil })}, "x", "X", "")
	assert.ErrorContains(t, err, "no finished cell")
	h, err := Baseline([]*batch.Folder{same}, "H 200", "X", "")
	require.NoError(t, err)
	_, err = baselines.WriteHardware(t.TempDir(), h)
	assert.ErrorContains(t, err, `baseline name "H 200"`)
}

// The table holds what the file holds, also what only the file has: ratios
// under the baseline's own keys, the verdict on accuracy.
func TestCSVHasWhatAReaderCompares(t *testing.T) {
	runs := readAgain(t)
	b200, err := baselines.LoadHardware(baselines.DefaultHardware)
	require.NoError(t, err)
	runs[0].Result.Args.RandomInputLen, runs[0].Result.Args.RandomOutputLen = 1024, 1024
	runs[0].Result.Args.Model = "a \"b\",\nc"
	cmp := b200.Compare(baselines.Run{ISL: 1024, OSL: 1024, Conc: 4, GPUs: 8, RandomRangeRatio: 1, MedianE2E: 2 * 6854, TputPerGPU: 131.424})
	runs[0].Result.Baseline = &cmp
	runs[0].Result.Accuracy = []byte(`{"bits_per_byte":0.45,"duration_s":3}`)
	runs[0].Result.Validation = []byte(`{"status":"PASSED"}`)
	dirs, err := Write(t.TempDir(), runs)
	require.NoError(t, err)
	f, err := batch.Open(dirs[0])
	require.NoError(t, err)
	var text strings.Builder
	require.NoError(t, WriteCSV(&text, []*batch.Folder{f}))
	rows, err := csv.NewReader(strings.NewReader(text.String())).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2)
	row := map[string]string{}
	for i, key := range rows[0] {
		assert.NotContains(t, row, key, "a column is there once")
		row[key] = rows[1][i]
	}
	for key, want := range map[string]string{
		"model": "a \"b\",\nc", "status": "IMPORTED", "median_e2e_ratio_vs_b200_1126": "2", "tput_per_gpu_ratio_vs_b200_1126": "1", "baseline_workload_match": "false",
		"baseline_name": "b200-nv1126", "accuracy_bits_per_byte": "0.45", "accuracy_duration_s": "3", "accuracy_validation_status": "PASSED", "p95_e2el_ms": "",
	} {
		assert.Equal(t, want, row[key], key)
	}
}

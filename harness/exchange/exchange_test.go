package exchange

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
	"inferbench/harness/batch"
	"inferbench/harness/compare"
)

func TestVLLM(t *testing.T) {
	runs, err := Read("testdata/vllm-detailed.json", Hints{ISL: 16, OSL: 4, TP: 4})
	require.NoError(t, err)
	require.Len(t, runs, 1)
	r := runs[0]
	p, a := r.Result.Performance, r.Result.Args
	assert.Equal(t, batch.Imported, r.Result.Status)
	assert.Equal(t, "openai/gpt-oss-120b", a.Model)
	assert.Equal(t, 1.0, a.RandomRangeRatio, "the totals show that lengths were fixed")
	assert.Nil(t, a.RequestRate, "inf is no rate")
	assert.Equal(t, 50.0, p.TputPerGPU)
	assert.Equal(t, 90.0, *p.TTFT.Median)
	assert.Equal(t, 100.0, *p.TTFT.P99_9)
	assert.Equal(t, 170.0, *p.E2EL.Median)
	assert.InDelta(t, 37.5, *p.Interactivity, 1e-9)
	assert.Equal(t, "2025-10-07 13:16:35", r.Date.Format(time.DateTime))
	require.Len(t, r.Timings, 4)
	assert.InDelta(t, 200, ms(r.Timings[2].Sent), 1e-3)
	assert.InDelta(t, 160, ms(r.Timings[0].E2EL()), 1e-3)
	assert.Equal(t, 4, r.Timings[0].Chunks)
	assert.Contains(t, r.Result.Notes[0], "imported from vllm-detailed.json of vLLM bench serve (sha256 ")

	runs, err = Read("testdata/vllm-before-0.11.json", Hints{ISL: 16, OSL: 4, TP: 4})
	require.NoError(t, err)
	assert.Nil(t, runs[0].Timings)
	assert.Nil(t, runs[0].Result.Performance.E2EL.Median, "what the file has not is null, not 0")
	assert.Equal(t, "vllm", runs[0].Result.Args.Backend)
}

func ms(d time.Duration) float64 { return d.Seconds() * 1e3 }

func TestSGLang(t *testing.T) {
	_, err := Read("testdata/sglang.jsonl", Hints{TP: 8})
	assert.ErrorContains(t, err, "sglang.jsonl: line 2: the file does not name the model: say -model")
	runs, err := Read("testdata/sglang.jsonl", Hints{TP: 8, Model: "amd/DeepSeek-R1-0528-MXFP4-Preview"})
	require.NoError(t, err)
	require.Len(t, runs, 2)
	a, p := runs[1].Result.Args, runs[1].Result.Performance
	assert.Equal(t, 8, a.MaxConcurrency)
	assert.Equal(t, 0.8, a.RandomRangeRatio)
	assert.Equal(t, 590.0, *p.E2EL.Median)
	assert.Equal(t, 18400.0, p.TotalThroughput)
	assert.Equal(t, 2300.0, p.TputPerGPU)
	assert.Equal(t, "0.5.5", runs[0].Result.Args.BackendVersion)
}

func TestInferenceMAX(t *testing.T) {
	runs, err := Read("testdata/agg_dsr1_1k1k_b200.json", Hints{ISL: 1024, OSL: 1024})
	require.NoError(t, err)
	p, a := runs[0].Result.Performance, runs[0].Result.Args
	assert.InDelta(t, 10407, *p.E2EL.Median, 1e-6)
	assert.Equal(t, 83.567, *p.Interactivity)
	assert.Equal(t, 344.564, p.TputPerGPU)
	assert.Equal(t, 0.8, a.RandomRangeRatio)
	assert.Equal(t, 8, a.TP)
	runs, err = Read("testdata/inferencex-api.json", Hints{})
	require.NoError(t, err)
	assert.InDelta(t, 164.41, *runs[0].Result.Performance.TTFT.Median, 1e-9)
	assert.Equal(t, "2026-06-01", runs[0].Date.Format(time.DateOnly))
}

func TestWhatCannotBeImportedSaysWhy(t *testing.T) {
	sample, err := os.ReadFile("testdata/vllm-detailed.json")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		content, want string
		hints         Hints
	}{
		"other JSON":   {`{"hello": 1}`, "line 1: not a result that is known here", Hints{}},
		"no JSON":      {"\n\nhello", "line 3: invalid character 'h'", Hints{}},
		"empty":        {"", "no result in it", Hints{}},
		"no lengths":   {string(sample), "say -isl and -osl", Hints{TP: 1}},
		"no GPUs":      {string(sample), "say -tp", Hints{ISL: 16, OSL: 4}},
		"no ratio":     {string(sample), "say -random-range-ratio", Hints{ISL: 32, OSL: 4, TP: 1}},
		"uneven lists": {strings.Replace(string(sample), `"ttfts": [0.08,`, `"ttfts": [`, 1), "lists differ in length: 4 start_times, 3 ttfts", Hints{ISL: 16, OSL: 4, TP: 1}},
		"no limit":     {strings.Replace(string(sample), `"max_concurrency": 2`, `"max_concurrency": null`, 1), "no limit on requests in flight", Hints{ISL: 16, OSL: 4, TP: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "r.json")
			require.NoError(t, os.WriteFile(file, []byte(c.content), 0o644))
			_, err := Read(file, c.hints)
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
}

// An imported run is a batch like any other: it opens, compares and becomes a
// baseline and a table.
func TestImportedRunIsABatch(t *testing.T) {
	read := func() *batch.Folder {
		runs, err := Read("testdata/vllm-detailed.json", Hints{ISL: 16, OSL: 4, TP: 4})
		require.NoError(t, err)
		dirs, err := Write(t.TempDir(), runs)
		require.NoError(t, err)
		require.Len(t, dirs, 1)
		assert.Equal(t, "batch_isl16_osl4_20251007_131635", filepath.Base(dirs[0]))
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
	assert.Equal(t, "block bootstrap over 4 and 4 requests", c.Cells[0].Method)
	assert.Empty(t, c.Check(0).Regressions)

	h, err := Baseline([]*batch.Folder{a}, "h200", "NVIDIA H200", "")
	require.NoError(t, err)
	file, err := baselines.WriteHardware(folderWith(t, "hardware"), h)
	require.NoError(t, err)
	back, err := baselines.LoadHardware(file)
	require.NoError(t, err)
	assert.Equal(t, h, back)
	assert.Equal(t, []baselines.Point{{ISL: 16, OSL: 4, Conc: 2, MedianE2E: 170, Interactivity: 37.5, TputPerGPU: 50}}, back.Points)
	flat := back.Compare(baselines.Run{ISL: 16, OSL: 4, Conc: 2, MedianE2E: 85, TputPerGPU: 100, GPUs: 4, RandomRangeRatio: 1}).Flat()
	assert.Contains(t, flat, "h200_baseline_1007")
	assert.Equal(t, 2.0, *flat["tput_per_gpu_ratio_vs_h200_1007"].(*float64))

	var csv strings.Builder
	require.NoError(t, WriteCSV(&csv, []*batch.Folder{a}))
	lines := strings.Split(csv.String(), "\n")
	assert.True(t, strings.HasPrefix(lines[0], "batch,isl,osl,conc,status,seconds,"))
	assert.Contains(t, lines[0], ",median_ttft_ms,")
	assert.Contains(t, lines[1], ",16,4,2,IMPORTED,0,")

	_, err = Write(t.TempDir(), append(readAgain(t), readAgain(t)...))
	assert.ErrorContains(t, err, "two runs of isl=16/osl=4/conc=2")
}

func readAgain(t *testing.T) []Imported {
	runs, err := Read("testdata/vllm-detailed.json", Hints{ISL: 16, OSL: 4, TP: 4})
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

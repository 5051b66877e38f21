package convert

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// edited is a file of testdata with keys set, or taken out where the value is nil.
func edited(t *testing.T, name string, set map[string]any) string {
	t.Helper()
	o := jsonOf(t, "testdata/"+name)
	for key, v := range set {
		if o[key] = v; v == nil {
			delete(o, key)
		}
	}
	b, err := json.Marshal(o)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "edited.json")
	require.NoError(t, os.WriteFile(file, b, 0o644))
	return file
}

// What a file's own figures contradict is no figure to compare with.
func TestFiguresThatContradictEachOther(t *testing.T) {
	inSeconds := map[string]any{}
	for key, v := range jsonOf(t, "testdata/vllm.json") {
		if ms, ok := v.(float64); ok && strings.HasSuffix(key, "_ms") {
			inSeconds[key] = ms / 1000
		}
	}
	milliseconds := map[string]any{}
	for key, v := range jsonOf(t, "testdata/agg_inferencemax.json") {
		if seconds, ok := v.(float64); ok && (strings.HasSuffix(key, "_e2el") || strings.HasSuffix(key, "_ttft")) {
			milliseconds[key] = seconds * 1000
		}
	}
	for name, c := range map[string]struct {
		file string
		set  map[string]any
		want string
	}{
		"a time below 0":          {"vllm.json", map[string]any{"mean_ttft_ms": -4}, "mean_ttft_ms is -4"},
		"tokens below 0":          {"vllm.json", map[string]any{"total_output_tokens": -4}, "total_generated_tokens is -4"},
		"p99 below the median":    {"vllm.json", map[string]any{"p99_ttft_ms": 0.01}, "the p99 of its TTFT, 0.01 ms, is below the p50"},
		"a duration in ms":        {"vllm.json", map[string]any{"duration": 731.9}, "20 requests in 731.9 s are 0.02733/s, but it says 27.32/s"},
		"a rate of another run":   {"vllm.json", map[string]any{"output_throughput": 600.0, "request_throughput": nil}, "but it says 600/s"},
		"output above all tokens": {"vllm.json", map[string]any{"total_token_throughput": 100.0}, "are more than the 100 of input and output"},
		"seconds under ms":        {"vllm.json", inSeconds, "another unit"},
		"ms under seconds":        {"agg_inferencemax.json", milliseconds, "another unit"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Read(edited(t, c.file, c.set), Hints{ISL: 64, OSL: 16, TP: 1, RangeRatio: 1})
			require.ErrorContains(t, err, "its figures contradict each other: ")
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// What a file does not tell is null in the result, and no figure is made of the rest.
func TestWhatIsNotToldIsNull(t *testing.T) {
	h := Hints{ISL: 64, OSL: 16, TP: 1, RangeRatio: 1}
	for key, ours := range map[string]string{"duration": "benchmark_duration", "total_input_tokens": "total_input_tokens",
		"total_output_tokens": "total_generated_tokens", "request_throughput": "request_throughput",
		"output_throughput": "output_throughput", "completed": "successful_requests"} {
		for _, v := range []any{json.RawMessage("null"), "", []any{}} {
			runs, _, err := Read(edited(t, "vllm.json", map[string]any{key: v}), h)
			require.NoError(t, err, key)
			b, err := json.Marshal(&runs[0].Result)
			require.NoError(t, err)
			var o map[string]any
			require.NoError(t, json.Unmarshal(b, &o))
			assert.Nil(t, o[ours], "%s: %v", ours, v)
			assert.InDelta(t, 2185.95, o["tput_per_gpu"], 0.01)
		}
	}
	runs, _, err := Read(edited(t, "vllm.json", map[string]any{"total_token_throughput": nil}), h)
	require.NoError(t, err)
	assert.InDelta(t, 2185.95, *runs[0].Result.Performance.TputPerGPU, 0.01, "by the tokens and the duration, not of output alone")
	_, _, err = Read(edited(t, "vllm.json", map[string]any{"total_token_throughput": nil, "duration": nil}), h)
	assert.ErrorContains(t, err, "no throughput above 0")
	runs, _, err = Read(edited(t, "vllm.json", map[string]any{"mean_tpot_ms": 0.0, "median_tpot_ms": 0.0, "std_tpot_ms": 0.0,
		"p99_tpot_ms": 0.0}), h)
	require.NoError(t, err)
	assert.Nil(t, runs[0].Result.Performance.TPOT.Median, "the client's zeros of no value")
	_, _, err = Read(edited(t, "vllm.json", map[string]any{"max_concurrency": 4.5}), h)
	assert.ErrorContains(t, err, "no limit on requests in flight")
}

// A name goes into tables on a terminal.
func TestNamesHaveNoControlCharacters(t *testing.T) {
	runs, _, err := Read(edited(t, "vllm.json", map[string]any{"model_id": "m\x1b[2J\nn", "label": "\u202eb\x07"}),
		Hints{ISL: 64, OSL: 16, TP: 1})
	require.NoError(t, err)
	assert.Equal(t, []string{"m\ufffd[2J n", "\ufffdb\ufffd"}, []string{runs[0].Result.Args.Model, runs[0].Result.Args.Label})
}

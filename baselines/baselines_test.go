package baselines_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
)

func TestShippedBaselinesLoad(t *testing.T) {
	for _, name := range baselines.Names("hardware") {
		h, err := baselines.LoadHardware(name)
		require.NoError(t, err)
		assert.Equal(t, name, h.Name, "a baseline is called what its file is called")
	}
	for _, name := range baselines.Names("accuracy") {
		a, err := baselines.LoadAccuracy(name)
		require.NoError(t, err)
		assert.Equal(t, name, a.Name)
	}
	require.Contains(t, baselines.Names("hardware"), baselines.DefaultHardware)
}

// The points were copied from a file that others keep: the copy must stay equal.
func TestB200PointsEqualTheirSource(t *testing.T) {
	b, err := os.ReadFile("../../shared/data/b200-nv1126.json")
	if err != nil {
		t.Skip("the source file of the B200 points is not here:", err)
	}
	var source struct{ Points []baselines.Point }
	require.NoError(t, json.Unmarshal(b, &source))
	h, err := baselines.LoadHardware(baselines.DefaultHardware)
	require.NoError(t, err)
	assert.Equal(t, source.Points, h.Points)
	assert.Len(t, h.Points, 15)
}

func TestPointAndDifferences(t *testing.T) {
	h, err := baselines.LoadHardware(baselines.DefaultHardware)
	require.NoError(t, err)
	p, ok := h.Point(1024, 1024, 16)
	require.True(t, ok)
	assert.Equal(t, 10407.0, p.MedianE2E)
	_, ok = h.Point(1024, 1024, 5)
	assert.False(t, ok)
	assert.Empty(t, h.Differences(0.8, 8))
	assert.Equal(t, []string{"RANDOM_RANGE_RATIO is 1, the baseline's is 0.8", "TP is 4, the baseline's is 8"}, h.Differences(1, 4))
}

func TestAccuracyMatchesModelNames(t *testing.T) {
	a, err := baselines.LoadAccuracy("deepseek-r1-0528-mxfp4")
	require.NoError(t, err)
	for model, want := range map[string]bool{
		"DeepSeek-R1-0528-MXFP4":              true,
		"amd/DeepSeek-R1-0528-MXFP4-Preview":  true,
		"/data/models/deepseek-r1-0528-mxfp4": true,
		"deepseek-ai/DeepSeek-R1-0528":        false,
		"Qwen3-8B":                            false,
	} {
		assert.Equal(t, want, a.Matches(model), model)
	}
}

// The floor of gsm8k is asked of DeepSeek-R1 in four bits, whoever made them.
func TestGSM8KsFloorIsFoundByEveryFP4Name(t *testing.T) {
	for model, want := range map[string]int{
		"amd/DeepSeek-R1-0528-MXFP4-Preview":      1,
		"nvidia/DeepSeek-R1-0528-FP4-v2":          1,
		"nvidia/DeepSeek-R1-0528-NVFP4":           1,
		"nvidia/DeepSeek-R1-FP4":                  1,
		"deepseek-ai/DeepSeek-R1-0528":            0,
		"x/DeepSeek-R1-0528-Qwen3-8B-NVFP4":       0,
		"nvidia/DeepSeek-R1-Distill-Qwen-32B-FP4": 0,
	} {
		all, err := baselines.AccuracyFor(model)
		require.NoError(t, err)
		n := 0
		for _, a := range all {
			if a.Task == "gsm8k" {
				n++
			}
		}
		assert.Equal(t, want, n, model)
	}
}

func TestBadBaselinesAreRefusedInOneLine(t *testing.T) {
	hw, _ := os.ReadFile("hardware/b200-nv1126.json")
	acc, _ := os.ReadFile("accuracy/deepseek-r1-0528-mxfp4.json")
	sums, _ := os.ReadFile("accuracy/deepseek-r1-0528-mxfp4-gsm8k.json")
	for name, c := range map[string]struct {
		kind, old, new, want string
	}{
		"syntax":        {"hardware", `"conc": 8,`, `"conc": 8;`, "line 17"},
		"wrong type":    {"hardware", `"conc": 8,`, `"conc": "8",`, "line 17"},
		"unknown field": {"hardware", `"date"`, `"dated"`, `line 5: json: unknown field "dated"`},
		"zero figure":   {"hardware", `"median_e2e_ms": 8448`, `"median_e2e_ms": 0`, "line 17: points 2: median_e2e_ms must be finite and above 0 (isl 1024, osl 1024, conc 8)"},
		"twice":         {"hardware", `"conc": 8,`, `"conc": 4,`, "line 17: points 2 (isl 1024, osl 1024, conc 4) is there twice"},
		"no gpus":       {"hardware", `"gpus": 8`, `"gpus": 0`, "line 12: workload: gpus is 0"},
		"no date":       {"hardware", `"date": "2025-11-26"`, `"date": "yesterday"`, `line 5: date is "yesterday": want YYYY-MM-DD`},
		"cut off":       {"hardware", string(hw[bytes.Index(hw, []byte(`"conc": 8,`)):]), "", "line 17: unexpected EOF"},
		"two in one":    {"accuracy", "\n}", "\n}\n{}", ": something follows the baseline"},
		"typing slip":   {"accuracy", `"bits_per_byte": 0.4485`, `"bits_per_byte": 0.4845`, "line 10: bits_per_byte 0.4845 and byte_perplexity 1.3646 contradict each other"},
		"digest":        {"accuracy", `"corpus_sha256": "17`, `"corpus_sha256": "`, "line 8: corpus_sha256 has 62 characters"},
		"other digest":  {"gsm8k", `"examples_sha256": "17`, `"examples_sha256": "`, "line 19: examples_sha256 has 62 characters"},
		"no share":      {"gsm8k", `"exact_match": 0.93`, `"exact_match": 93`, "line 16: exact_match is 93: want a share"},
	} {
		t.Run(name, func(t *testing.T) {
			src := map[string]string{"hardware": string(hw), "accuracy": string(acc), "gsm8k": string(sums)}[c.kind]
			require.Contains(t, src, c.old)
			file := filepath.Join(t.TempDir(), "b.json")
			require.NoError(t, os.WriteFile(file, []byte(strings.Replace(src, c.old, c.new, 1)), 0o644))
			var err error
			if c.kind == "hardware" {
				_, err = baselines.LoadHardware(file)
			} else {
				_, err = baselines.LoadAccuracy(file)
			}
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "\n")
		})
	}
	_, err := baselines.LoadHardware("h9000")
	assert.ErrorContains(t, err, "there are: b200-nv1126")
}

// The same weights have many names, and a smaller model made from them is another.
func TestTheBaselinesModel(t *testing.T) {
	h, err := baselines.LoadHardware(baselines.DefaultHardware)
	require.NoError(t, err)
	for _, same := range []string{"deepseek-ai/DeepSeek-R1-0528", "amd/DeepSeek-R1-0528-MXFP4-Preview", "nvidia/DeepSeek-R1-0528-FP4-v2",
		"nvidia/DeepSeek-R1-FP4", "/data/models/deepseek-r1-0528-fp4/", "deepseek_r1", "DSR1-FP4", `C:\models\DeepSeek-R1-0528`, "deepseek-r1:671b",
		"/root/.cache/huggingface/hub/models--amd--DeepSeek-R1-0528-MXFP4/snapshots/0af7b3c8d1", "mlx-community/DeepSeek-R1-0528-8bit",
		"unsloth/DeepSeek-R1-0528-GGUF", "cognitivecomputations/DeepSeek-R1-0528-AWQ", "DeepSeek-R1-0528-w4a8"} {
		assert.True(t, h.IsModel(same), same)
		assert.True(t, h.IsModel("default", same), same)
	}
	for _, other := range []string{"", "default", "Qwen/Qwen3-8B", "deepseek-ai/DeepSeek-V3", "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
		"deepseek-ai/DeepSeek-R1-0528-Qwen3-8B", "deepseek-r1:7b", "deepseek-r1-1.5b", "DeepSeek-R1-Zero", "openai/gpt-oss-120b",
		"models--deepseek-ai--DeepSeek-R1-Distill-Llama-70B", "yujiepan/deepseek-r1-tiny-random"} {
		assert.False(t, h.IsModel(other), other)
	}
	assert.True(t, new(baselines.Hardware).IsModel("any"), "a baseline that names none")
}

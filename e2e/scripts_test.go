package e2e

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// userScripts are what people keep beside their batches: loops over the keys of
// the competition's guide. Each prints a line a cell.
var userScripts = map[string]struct {
	tool, script string
	lines        int // 0: a line for each of the three cells that have figures
}{
	"a CSV by jq": {tool: "jq", script: `for f in batch_*/result_*.json; do jq -er '[.benchmark_args.max_concurrency, .successful_requests, .benchmark_duration,
		.total_input_tokens, .total_generated_tokens, .request_throughput, .output_throughput, .total_token_throughput, .tput_per_gpu, .interactivity,
		.mean_ttft_ms, .median_ttft_ms, .std_ttft_ms, .p99_ttft_ms, .mean_tpot_ms, .median_tpot_ms, .std_tpot_ms, .p99_tpot_ms,
		.mean_itl_ms, .median_itl_ms, .std_itl_ms, .p99_itl_ms, .mean_e2el_ms, .median_e2el_ms, .std_e2el_ms, .p99_e2el_ms]
		| if any(. == null) then error("a key is absent") else @csv end' "$f" || exit 1; done`},
	"the arguments by jq": {tool: "jq", script: `for f in batch_*/result_*.json; do jq -er '.benchmark_args | [.model, .backend, .base_url, .dataset_name, .random_input_len, .random_output_len,
		.random_range_ratio, .max_concurrency, .num_prompts, .request_rate] | if any(. == null) then error("a key is absent") else join(" ") end' "$f" || exit 1; done`},
	"the first form's ratios": {tool: "jq", script: `for f in batch_isl1024*/result_*.json; do jq -er '[.b200_baseline_nv1126.b200_median_e2e_1126, .b200_baseline_nv1126.b200_tput_pergpu_1126,
		.tput_per_gpu_ratio_vs_b200_1126, .median_e2e_ratio_vs_b200_1126] | if any(. == null) then error("a key is absent") else @tsv end' "$f" || exit 1; done
		jq -er 'if has("b200_baseline_nv1126") and .b200_baseline_nv1126 == null then "null" else error("a section for no baseline") end' batch_isl64*/result_*.json`},
	"the later form's ratios": {tool: "jq", script: `for f in batch_isl1024*/result_*.json; do jq -er '[.baseline_nv1126.baseline_median_e2e_1126, .baseline_nv1126.baseline_tput_pergpu_1126,
		.baseline_nv1126.baseline_median_intvty_1126, .tput_per_gpu_ratio_vs_baseline_1126, .median_e2e_ratio_vs_baseline_1126, .interactivity_ratio_vs_baseline_1126]
		| if any(. == null) then error("a key is absent") else @tsv end' "$f" || exit 1; done
		jq -er 'if has("baseline_nv1126") and .baseline_nv1126 == null then "null" else error("a section for no baseline") end' batch_isl64*/result_*.json`},
	"the best by Python": {tool: "python3", script: `python3 - <<'PY'
import glob, json
best = {}
for f in sorted(glob.glob("batch_*/result_*.json")):
    d = json.load(open(f))
    a = d["benchmark_args"]
    assert a["request_rate"] == "inf" and float(a["request_rate"]) == float("inf")
    assert abs(d["tput_per_gpu"] - d["total_token_throughput"] / 8.0) < 1e-6 * d["tput_per_gpu"]
    assert abs(d["interactivity"] - 1000.0 / d["median_tpot_ms"]) < 1e-6 * d["interactivity"]
    b = d.get("b200_baseline_nv1126") or {}
    e2e = b.get("b200_median_e2e_1126", 0.0)
    if e2e:
        assert abs(d["median_e2el_ms"] / e2e - d["median_e2e_ratio_vs_b200_1126"]) < 1e-9
    acc = d["accuracy"]
    assert d["accuracy_validation"]["status"] == "PASSED"
    print(f'{a["max_concurrency"]},{d["median_e2el_ms"]:.2f},{d["tput_per_gpu"]:.2f},{acc["bits_per_byte"]:.4f},{acc["byte_perplexity"]:.4f},{acc["word_perplexity"]:.4f}')
PY`},
	"the summary by awk": {tool: "awk", script: `awk '/^\[[0-9]+\/[0-9]+\] ISL=/ { print $1, $4, $5 } /^Total tests: / { n += $3 } END { exit n != 4 }' batch_*/summary.txt`, lines: 4},
}

// The loops that users have run over a batch as it is, a cell without figures
// among it.
func TestScriptsOfUsers(t *testing.T) {
	dir := t.TempDir()
	for _, args := range [][]string{
		{"-isl", "1024", "-osl", "1024", "-conc", "4,8", "-num-prompts", "16"}, {"-isl", "64", "-osl", "16", "-conc", "2", "-num-prompts", "16"},
	} {
		exit, out := finishIn(t, dir, nil, append([]string{"-test.run", "TestServing", "-mode", "perf", "-results-dir", dir}, args...)...)
		require.Zero(t, exit, out)
	}
	exit, out := finishIn(t, dir, append(os.Environ(), "ENGINE_NOISE=2"), "-test.run", "TestServing", "-mode", "perf", "-results-dir", dir,
		"-isl", "32", "-osl", "16", "-conc", "2", "-num-prompts", "16")
	require.NotZero(t, exit, out)
	for name, s := range userScripts {
		t.Run(name, func(t *testing.T) {
			for _, tool := range []string{"bash", s.tool} {
				if _, err := exec.LookPath(tool); err != nil {
					t.Skipf("%s is not installed", tool)
				}
			}
			cmd := exec.Command("bash", "-c", s.script)
			cmd.Dir = dir
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			assert.Len(t, strings.Split(strings.TrimSpace(string(out)), "\n"), max(s.lines, 3), "a line a cell with figures: %s", out)
		})
	}
}

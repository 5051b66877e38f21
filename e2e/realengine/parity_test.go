package realengine

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aclements/go-moremath/stats"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/accuracy"
	"inferbench/harness/load"
	"inferbench/harness/server"
	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
	"inferbench/harness/workload"
)

var update = flag.Bool("update", false, "write what is recorded from this run: docs/parity-vllm.md, testdata/vllm-wire.json")

// The cell that both clients run, in turn, on one server.
const (
	rounds   = 10
	parISL   = 128
	parOSL   = 64
	parConc  = 4
	parCount = 60
)

// compared are the figures that both clients give, under vLLM's keys.
var compared = []string{"output_throughput", "median_ttft_ms", "median_tpot_ms", "median_itl_ms", "mean_itl_ms", "median_e2el_ms"}

// Our figures beside those of vLLM's own client, on the real vLLM, in turn: the
// ratio of each pair of rounds, its mean and 95 % interval.
func TestParityWithVLLMBench(t *testing.T) {
	if os.Getenv("PARITY") == "" {
		t.Skip("a comparison with vLLM's own client, some five minutes: run `make parity-vllm`")
	}
	s := vllm(t, nil)
	target := server.New(s.URL, "", "", nil)
	require.NoError(t, target.Wait(t.Context(), server.WaitOptions{Timeout: time.Minute}))
	target.Vocab = 1000
	ours(t, target, 0) // the first request after a start takes vLLM seconds
	logs := map[string][]float64{}
	for round := range rounds {
		var mine, theirs map[string]float64
		if round%2 == 0 {
			mine, theirs = ours(t, target, round+1), vllmBench(t, s.URL, round+1)
		} else {
			theirs, mine = vllmBench(t, s.URL, round+1), ours(t, target, round+1)
		}
		for _, k := range compared {
			require.Positive(t, theirs[k], k)
			logs[k] = append(logs[k], math.Log(mine[k]/theirs[k]))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests of %d input and %d output tokens at CONC %d, %d rounds of each client in turn\n\n", parCount, parISL, parOSL, parConc, rounds)
	fmt.Fprintf(&b, "%-20s %28s\n", "figure", "ours / vllm bench serve")
	for _, k := range compared {
		mean, half := interval(logs[k])
		fmt.Fprintf(&b, "%-20s %8.4f  (%.4f to %.4f)\n", k, math.Exp(mean), math.Exp(mean-half), math.Exp(mean+half))
	}
	t.Log("\n" + b.String())
	wikitext := parityOfWikitext(t, target)
	if *update {
		writePage(t, b.String(), wikitext)
	}
}

// interval is the mean and the half width of Student's 95 % interval.
func interval(xs []float64) (mean, half float64) {
	sample := stats.Sample{Xs: xs}
	t := stats.InvCDF(stats.TDist{V: float64(len(xs) - 1)})(0.975)
	return sample.Mean(), t * sample.StdDev() / math.Sqrt(float64(len(xs)))
}

// ours runs the cell with the suite's client.
func ours(t *testing.T, target *server.Server, seed int) map[string]float64 {
	t.Helper()
	src := workload.Random{N: parCount, ISL: parISL, OSL: parOSL, RangeRatio: 1, Vocab: target.Vocab, Seed: int64(seed)}
	rec, err := load.Run(t.Context(), target, src, load.Options{Conc: parConc, WarmUp: parConc, RequestTimeout: time.Minute})
	require.NoError(t, err)
	s := rec.Summary(1)
	require.Equal(t, parCount, s.Successful, "%v", s.Errors)
	b, err := json.Marshal(s)
	require.NoError(t, err)
	return figures(t, b)
}

// vllmBench runs the cell with vLLM's own client.
func vllmBench(t *testing.T, url string, seed int) map[string]float64 {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("../../scripts/real_vllm.sh", "bench", "--dataset-name", "random",
		"--random-input-len", fmt.Sprint(parISL-1), // a BOS comes on top
		"--random-output-len", fmt.Sprint(parOSL), "--num-prompts", fmt.Sprint(parCount), "--max-concurrency", fmt.Sprint(parConc),
		"--num-warmups", fmt.Sprint(parConc), "--ignore-eos", "--temperature", "0", "--seed", fmt.Sprint(seed),
		"--percentile-metrics", "ttft,tpot,itl,e2el", "--save-result", "--result-dir", dir, "--result-filename", "out.json")
	cmd.Env = append(os.Environ(), "PORT="+url[strings.LastIndexByte(url, ':')+1:])
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	b, err := os.ReadFile(filepath.Join(dir, "out.json"))
	require.NoError(t, err)
	return figures(t, b)
}

func figures(t *testing.T, b []byte) map[string]float64 {
	t.Helper()
	var all map[string]any
	require.NoError(t, json.Unmarshal(b, &all))
	out := map[string]float64{}
	for k, v := range all {
		if f, ok := v.(float64); ok {
			out[k] = f
		}
	}
	return out
}

// parityOfWikitext scores a text with the suite and with lm-evaluation-harness
// on the same server.
func parityOfWikitext(t *testing.T, target *server.Server) string {
	t.Helper()
	python, err := filepath.Abs("../../.venv-parity/bin/python")
	require.NoError(t, err)
	require.FileExists(t, python, "lm-evaluation-harness is not installed: run `make parity-vllm`")
	text, err := filepath.Abs("../../harness/accuracy/texts/heldout.txt")
	require.NoError(t, err)
	tokenizer, err := filepath.Abs("../../.venv-vllm/tiny")
	require.NoError(t, err)
	out := filepath.Join(t.TempDir(), "out.json")
	cmd := exec.Command(python, "../../scripts/parity/lm_eval_wikitext.py", "--model", "local-completions", "--url", target.BaseURL+"/v1/completions",
		"--served", target.Model, "--tokenizer", tokenizer, "--text", text, "--conc", fmt.Sprint(parConc), "--out", out)
	log, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", log)
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	theirs := figures(t, b)

	r, err := accuracy.Score(t.Context(), target, accuracy.Options{Files: map[string]string{"WIKITEXT": text}, Conc: parConc})
	require.NoError(t, err)
	var page strings.Builder
	fmt.Fprintf(&page, "%-18s %20s %20s\n", "", "lm_eval 0.4.13", "inferbench")
	for _, f := range r.Figures() {
		fmt.Fprintf(&page, "%-18s %20.15g %20.15g\n", f.Name, theirs[f.Name], f.Value)
		assert.InEpsilon(t, theirs[f.Name], f.Value, 1e-12, f.Name)
	}
	t.Log("\n" + page.String())
	return page.String()
}

func writePage(t *testing.T, bench, wikitext string) {
	t.Helper()
	page := fmt.Sprintf(`# Beside vLLM's own client, on the real vLLM

Written by `+"`make parity-vllm`"+` on %s: vLLM 0.32.0 on a CPU (%d cores, %s), the small model of `+"`scripts/tiny_vllm.py`"+`. Do not edit; measure again.

Both clients send the same load to one server, one after the other, and change who goes first each round. The ratio of each pair of rounds is taken, so that what the machine does besides cancels; in brackets is the 95 %% interval of the mean ratio. The difference in TTFT was not isolated: vLLM's client sends its prompts as text, which the server has to tokenize, and is itself a Python process beside the server on the same two cores.

`+"```\n%s```"+`

wikitext, the same text, windows of 2,046 tokens:

`+"```\n%s```\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), bench, wikitext)
	require.NoError(t, os.WriteFile("../../docs/parity-vllm.md", []byte(page), 0o644))
}

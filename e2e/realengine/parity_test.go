package realengine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/e2e/testdata/records"
	"inferbench/harness/accuracy"
	"inferbench/harness/engine"
	"inferbench/harness/load"
	"inferbench/harness/server"
	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
	"inferbench/harness/workload"
)

var update = flag.Bool("update", false, "write what is recorded from this run: docs/parity-vllm.md, testdata/vllm-wire.json")

// rounds is how often each client has its turn; PARITY may say another number.
func rounds(t *testing.T) int {
	given := os.Getenv("PARITY")
	if given == "" {
		t.Skip("a comparison with other clients, some ten minutes on a quiet machine: run `make parity-vllm`")
	}
	n, err := strconv.Atoi(given)
	require.NoError(t, err, "PARITY is the number of rounds")
	require.GreaterOrEqual(t, n, 2, "PARITY is the number of rounds")
	return n
}

// cell is what the clients run, in turn, on one server; alone is the same with one
// request at a time, which tells what is of each request from what they do to each
// other.
var (
	cell  = records.Cell{N: 120, ISL: 128, OSL: 64, Conc: 4}
	alone = records.Cell{N: 30, ISL: 128, OSL: 64, Conc: 1}
)

// compared are the figures that both clients give, under vLLM's keys.
var compared = []string{"output_throughput", "median_ttft_ms", "mean_ttft_ms", "median_tpot_ms", "median_itl_ms", "mean_itl_ms", "median_e2el_ms"}

// Our figures beside those of vLLM's own client, on the real vLLM, in turn: the
// ratio of each pair of rounds, its mean and 95 % interval; and beside both what
// the server counted of the same requests, which tells where they differ. Our
// client also sends words, as vLLM's does, so that what the server's tokenizer
// takes is seen.
func TestParityWithVLLMBench(t *testing.T) {
	n := rounds(t)
	s := vllm(t, nil)
	target := server.New(s.URL, "", "", nil)
	require.NoError(t, target.Wait(t.Context(), server.WaitOptions{Timeout: time.Minute}))
	target.Vocab = 1000
	cell.Run(t, target, 0, s.URL) // the first request after a start takes vLLM seconds
	page := besideVLLMBench(t, target, cell, n) + "\n" + besideVLLMBench(t, target, alone, n)
	page += "\n" + whatTTFTDependsOn(t, target, 30)
	if wikitext := parityOfWikitext(t, target); *update {
		writePage(t, page, wikitext)
	}
}

// whatTTFTDependsOn sends single requests that differ in one thing, by turns, and
// tells the median time to the first token of n of each kind: what of vLLM's
// client's TTFT is of its requests, sent as words and some time after the answer
// before them, and not of how it measures.
func whatTTFTDependsOn(t *testing.T, target *server.Server, n int) string {
	t.Helper()
	kinds := []struct {
		name  string
		words bool
		pause time.Duration
	}{{"ids, at once", false, 0}, {"words, at once", true, 0}, {"ids, after 2 ms", false, 2 * time.Millisecond},
		{"ids, after 10 ms", false, 10 * time.Millisecond}, {"ids, after 50 ms", false, 50 * time.Millisecond}}
	words, _, _, err := load.Open(t.Context(), target, load.Plan{Options: load.Options{Conc: 1},
		Workload: workload.Spec{Kind: workload.RandomIDs.InWords, N: n, ISL: cell.ISL, OSL: cell.OSL, RangeRatio: 1, Seed: 999}})
	require.NoError(t, err)
	took := make([][]float64, len(kinds))
	for i := range n {
		for at := range kinds {
			k := (at + i) % len(kinds)
			src := workload.Random{N: 1, ISL: cell.ISL, OSL: cell.OSL, RangeRatio: 1, Vocab: target.Vocab, Seed: int64(1000 + i*len(kinds) + k)}
			r, err := src.Request(0)
			require.NoError(t, err)
			var prompt any = r.Tokens
			if kinds[k].words {
				r, err := words.Request(i)
				require.NoError(t, err)
				prompt = r.Text
			}
			time.Sleep(kinds[k].pause)
			took[k] = append(took[k], firstToken(t, target, prompt))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d single requests of each kind, by turns: median TTFT\n\n", n)
	for k, kind := range kinds {
		slices.Sort(took[k])
		fmt.Fprintf(&b, "%-18s %8.2f ms\n", kind.name, took[k][n/2])
	}
	t.Log("\n" + b.String())
	return b.String()
}

// firstToken is how long a streamed answer's first event took, in milliseconds.
func firstToken(t *testing.T, target *server.Server, prompt any) float64 {
	t.Helper()
	body, err := json.Marshal(map[string]any{"model": target.Model, "prompt": prompt, "max_tokens": cell.OSL, "temperature": 0,
		"ignore_eos": true, "stream": true})
	require.NoError(t, err)
	begin := time.Now()
	resp, err := http.Post(target.BaseURL+"/v1/completions", "application/json", bytes.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	answer := bufio.NewReader(resp.Body)
	_, err = answer.ReadString('\n')
	took := time.Since(begin)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	_, err = io.Copy(io.Discard, answer)
	require.NoError(t, err)
	return took.Seconds() * 1e3
}

// besideVLLMBench runs a cell with each client in turn, and lays them side by side.
func besideVLLMBench(t *testing.T, target *server.Server, cell records.Cell, n int) string {
	t.Helper()
	url, words := target.BaseURL, cell
	words.Text = true
	clients := []struct {
		name string
		run  func(seed int) records.Means
	}{
		{"inferbench", func(seed int) records.Means { return cell.Run(t, target, seed, url) }},
		{"vllm bench serve", func(seed int) records.Means { return vllmBench(t, url, cell, seed) }},
		{"inferbench, words", func(seed int) records.Means { return words.Run(t, target, seed, url) }},
	}
	all := make([][]records.Means, len(clients))
	for round := range n {
		for i := range clients {
			c := (i + round) % len(clients)
			all[c] = append(all[c], clients[c].run(round+1))
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests of %d input and %d output tokens at CONC %d, %d rounds of each client in turn\n\n", cell.N, cell.ISL, cell.OSL, cell.Conc, n)
	fmt.Fprintf(&b, "%-18s %30s %30s\n", "ratio", "ours / vllm bench serve", "ours with words / its")
	for _, k := range compared {
		theirs := series(all[1], func(m records.Means) float64 { return m.Client[k] })
		fmt.Fprintf(&b, "%-18s", k)
		for _, c := range []int{0, 2} {
			fmt.Fprintf(&b, " %30s", records.RatioOf(series(all[c], func(m records.Means) float64 { return m.Client[k] }), theirs))
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "\n%-18s %10s %10s %10s %10s %10s\n", "mean TTFT, ms", "client", "server", "queue", "prefill", "beyond")
	for i, c := range clients {
		of := func(value func(records.Means) float64) float64 { return records.Mean(series(all[i], value)) }
		client := of(func(m records.Means) float64 { return m.Client["mean_ttft_ms"] })
		counted := of(func(m records.Means) float64 { return m.Server["mean_ttft_ms"] })
		fmt.Fprintf(&b, "%-18s %10.2f %10.2f %10.2f %10.2f %10.2f\n", c.name, client, counted,
			of(func(m records.Means) float64 { return m.Server["queue_ms"] }), of(func(m records.Means) float64 { return m.Server["prefill_ms"] }), client-counted)
	}
	t.Log("\n" + b.String())
	return b.String()
}

// Our figures beside the counters of engines that keep some, of the same requests.
func TestFiguresBesideTheEnginesCounters(t *testing.T) {
	n := rounds(t)
	for i, e := range []struct {
		name  string
		start func(t *testing.T) (url, version string)
	}{
		{"embedded engine", func(t *testing.T) (string, string) {
			e, err := engine.Start(engine.Config{Dialect: engine.VLLM, Profile: "b200-dsr1-fp4"})
			require.NoError(t, err)
			t.Cleanup(func() { e.Close() })
			return e.URL(), engine.Version
		}},
		{"vLLM", func(t *testing.T) (string, string) { return vllm(t, nil).URL, "0.32.0" }},
		{"llama.cpp's server, wheel xllamacpp", func(t *testing.T) (string, string) {
			return serve(t, "llama-wheel"), version(t, "../../.venv-llamacpp-wheel", "xllamacpp")
		}},
	} {
		t.Run(e.name, func(t *testing.T) {
			url, version := e.start(t)
			s := server.New(url, "", "", nil)
			require.NoError(t, s.Wait(t.Context(), server.WaitOptions{Timeout: time.Minute}))
			cell.Run(t, s, 0, url) // the first request after a start takes vLLM seconds
			var all []records.Means
			for round := range n {
				all = append(all, cell.Run(t, s, round+1, url))
			}
			b := records.Beside{Name: e.name, Version: version, Date: records.Today(), Order: i}
			b.Compare(all, nil)
			t.Log(b.Ratios)
			if *update {
				records.WriteBeside(t, b)
			}
		})
	}
}

// series is a figure of every round.
func series(rounds []records.Means, of func(records.Means) float64) []float64 {
	out := make([]float64, len(rounds))
	for i, m := range rounds {
		out[i] = of(m)
	}
	return out
}

// vllmBench runs the cell with vLLM's own client. What the server counts includes
// its warm-up and the one request before that.
func vllmBench(t *testing.T, url string, cell records.Cell, seed int) records.Means {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("../../scripts/real_vllm.sh", "bench", "--dataset-name", "random",
		"--random-input-len", fmt.Sprint(cell.ISL-1), // a BOS comes on top
		"--random-output-len", fmt.Sprint(cell.OSL), "--num-prompts", fmt.Sprint(cell.N), "--max-concurrency", fmt.Sprint(cell.Conc),
		"--num-warmups", fmt.Sprint(cell.Conc), "--ignore-eos", "--temperature", "0", "--seed", fmt.Sprint(seed),
		"--percentile-metrics", "ttft,tpot,itl,e2el", "--save-result", "--result-dir", dir, "--result-filename", "out.json")
	cmd.Env = append(os.Environ(), "PORT="+url[strings.LastIndexByte(url, ':')+1:])
	before := records.Count(t, url)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	b, err := os.ReadFile(filepath.Join(dir, "out.json"))
	require.NoError(t, err)
	return records.Means{Client: records.Numbers(t, b), Server: records.Count(t, url).Since(before)}
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
		"--served", target.Model, "--tokenizer", tokenizer, "--text", text, "--conc", fmt.Sprint(cell.Conc), "--out", out)
	log, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", log)
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	theirs := records.Numbers(t, b)

	r, err := accuracy.Score(t.Context(), target, accuracy.Options{Files: map[string]string{"WIKITEXT": text}, Conc: cell.Conc})
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

Each client sends the same load to one server, one after the other, and who goes first changes each round. The ratio of each pair of rounds is taken, so that what the machine does besides cancels; in brackets is the 95 %% interval of the mean ratio. vLLM's client sends its prompts as words, which the server has to tokenize before the first token; ours sends ids, and in a third turn words too: the last column of ratios is of like requests. With one request at a time nothing is seen but what each request costs by itself. The second table of each has the mean TTFT by each client and by the server's own clock (`+"`vllm:time_to_first_token_seconds`"+`, of the same requests; of vLLM's client with the five that it sends before), of which it tells the time in the queue and that of the prefill: what lies beyond the server's is the way there and back, the HTTP front and the client. Our clock starts just before the request's first byte is written and stops when the first chunk with a token arrived, as the kernel stamped it; vLLM's starts before aiohttp serialises the request and takes a connection, and stops once Python's event loop has come to the chunk and parsed it. The last list tells what of TTFT is of the request itself, measured by one plain client: words have to be tokenized, and a server whose last answer ended a while ago takes longer to begin, as it does before each request of a client that takes its time between two.

`+"```\n%s```"+`

wikitext, the same text, windows of 2,046 tokens:

`+"```\n%s```\n", time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), bench, wikitext)
	require.NoError(t, os.WriteFile("../../docs/parity-vllm.md", []byte(page), 0o644))
}

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

var update = flag.Bool("update", false, "write what is recorded from this run: records, docs/parity-vllm.md, testdata/vllm-wire.json")

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
// the server counted of the same requests and what a relay on the way saw of them,
// which tell where they differ. Our client also sends words, as vLLM's does, so
// that what the server's tokenizer takes is seen. With -update each part writes its
// block of docs/parity-vllm.md.
func TestParityWithVLLMBench(t *testing.T) {
	n := rounds(t)
	s := vllm(t, nil)
	target := server.New(s.URL, "", "", nil)
	require.NoError(t, target.Wait(t.Context(), server.WaitOptions{Timeout: time.Minute}))
	target.Vocab = 1000
	cell.Run(t, target, 0, s.URL) // the first request after a start takes vLLM seconds
	for _, part := range []struct {
		name string
		run  func(t *testing.T) string
	}{
		{"load", func(t *testing.T) string { return besideVLLMBench(t, target, cell, n) }},
		{"alone", func(t *testing.T) string { return besideVLLMBench(t, target, alone, n) }},
		{"single", func(t *testing.T) string { return whatTTFTDependsOn(t, target, 30) }},
		{"wikitext", func(t *testing.T) string { return parityOfWikitext(t, target) }},
	} {
		t.Run(part.name, func(t *testing.T) {
			block := part.run(t)
			t.Log("\n" + block)
			if *update && !t.Failed() {
				writeBlock(t, part.name, block)
			}
		})
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

// turn is what a client measured in its turn, what the server counted of the same
// requests, and the mean time to the first token that a relay on the way saw.
type turn struct {
	records.Means
	relayed float64
}

// besideVLLMBench runs a cell with each client in turn, all through one relay, and
// lays them side by side.
func besideVLLMBench(t *testing.T, target *server.Server, cell records.Cell, n int) string {
	t.Helper()
	relay := records.NewRelay(t, target.BaseURL)
	near := server.New(relay.URL, "", "", nil)
	require.NoError(t, near.Wait(t.Context(), server.WaitOptions{Timeout: time.Minute}))
	near.Vocab = target.Vocab
	words := cell
	words.Text = true
	clients := []struct {
		name string
		run  func(seed int) records.Means
	}{
		{"inferbench", func(seed int) records.Means { return cell.Run(t, near, seed, target.BaseURL) }},
		{"vllm bench serve", func(seed int) records.Means { return vllmBench(t, relay.URL, target.BaseURL, cell, seed) }},
		{"inferbench, words", func(seed int) records.Means { return words.Run(t, near, seed, target.BaseURL) }},
	}
	all := make([][]turn, len(clients))
	for round := range n {
		for i := range clients {
			c := (i + round) % len(clients)
			m := clients[c].run(round + 1)
			all[c] = append(all[c], turn{m, relay.MeanTTFT(t, cell.N)})
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d requests of %d input and %d output tokens at CONC %d, %d rounds of each client in turn\n\n", cell.N, cell.ISL, cell.OSL, cell.Conc, n)
	fmt.Fprintf(&b, "%-18s %24s %24s\n", "ratio", "ours / vllm bench serve", "ours with words / its")
	ratio := func(name string, of func(turn) float64) {
		fmt.Fprintf(&b, "%-18s", name)
		for _, c := range []int{0, 2} {
			fmt.Fprintf(&b, " %24s", records.RatioOf(series(all[c], of), series(all[1], of)))
		}
		b.WriteByte('\n')
	}
	for _, k := range compared {
		ratio(k, func(m turn) float64 { return m.Client[k] })
	}
	ratio("TTFT on the way", func(m turn) float64 { return m.relayed })
	ratio("TTFT, server's", func(m turn) float64 { return m.Server["mean_ttft_ms"] })

	fmt.Fprintf(&b, "\n%-18s %8s %8s %8s %8s %8s %8s %8s\n", "mean TTFT, ms", "client", "relay", "server", "queue", "prefill", "client's", "front's")
	for i, c := range clients {
		fmt.Fprintf(&b, "%-18s", c.name)
		client := func(m turn) float64 { return m.Client["mean_ttft_ms"] }
		relayed := func(m turn) float64 { return m.relayed }
		counted := func(key string) func(turn) float64 { return func(m turn) float64 { return m.Server[key] } }
		minus := func(a, b func(turn) float64) func(turn) float64 { return func(m turn) float64 { return a(m) - b(m) } }
		server := counted("mean_ttft_ms")
		for _, of := range []func(turn) float64{client, relayed, server, counted("queue_ms"), counted("prefill_ms"),
			minus(client, relayed), minus(relayed, server)} {
			fmt.Fprintf(&b, " %8.2f", records.Mean(series(all[i], of)))
		}
		b.WriteByte('\n')
	}
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
func series[M any](rounds []M, of func(M) float64) []float64 {
	out := make([]float64, len(rounds))
	for i, m := range rounds {
		out[i] = of(m)
	}
	return out
}

// vllmBench runs the cell with vLLM's own client at url, of whose requests the
// engine keeps count. That includes its warm-up and the one request before it.
func vllmBench(t *testing.T, url, engine string, cell records.Cell, seed int) records.Means {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("../../scripts/real_vllm.sh", "bench", "--dataset-name", "random",
		"--random-input-len", fmt.Sprint(cell.ISL-1), // a BOS comes on top
		"--random-output-len", fmt.Sprint(cell.OSL), "--num-prompts", fmt.Sprint(cell.N), "--max-concurrency", fmt.Sprint(cell.Conc),
		"--num-warmups", fmt.Sprint(cell.Conc), "--ignore-eos", "--temperature", "0", "--seed", fmt.Sprint(seed),
		"--percentile-metrics", "ttft,tpot,itl,e2el", "--save-result", "--result-dir", dir, "--result-filename", "out.json")
	cmd.Env = append(os.Environ(), "PORT="+url[strings.LastIndexByte(url, ':')+1:])
	before := records.Count(t, engine)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	b, err := os.ReadFile(filepath.Join(dir, "out.json"))
	require.NoError(t, err)
	return records.Means{Client: records.Numbers(t, b), Server: records.Count(t, engine).Since(before)}
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
	return page.String()
}

// writeBlock writes a part of docs/parity-vllm.md.
func writeBlock(t *testing.T, name, block string) {
	t.Helper()
	const path = "../../docs/parity-vllm.md"
	page, err := os.ReadFile(path)
	require.NoError(t, err)
	changed, err := records.Put(string(page), name, "make parity-vllm", fmt.Sprintf("Run on %s: vLLM 0.32.0 on a CPU, %d cores, %s.\n\n```\n%s```\n",
		time.Now().Format("2 Jan 2006"), runtime.NumCPU(), runtime.Version(), block))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(changed), 0o644))
}

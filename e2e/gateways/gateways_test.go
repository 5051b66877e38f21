package gateways

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/e2e/testdata/external"
	"inferbench/e2e/testdata/records"
	"inferbench/harness/engine"
	"inferbench/harness/load"
	"inferbench/harness/server"
	"inferbench/harness/stats"
	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
	"inferbench/harness/workload"
)

var update = flag.Bool("update", false, "keep what is measured for docs/engines.md")

// pace is an engine that takes 4 ms for a token, so that what a gateway holds
// back shows.
const pace = `{"name": "steady", "about": "4 ms a token", "source": "Chosen.", "max_model_len": 4096, "max_running_requests": 64,
	"max_tokens_per_step": 8192, "kv_cache_tokens": 1048576, "kv_block_tokens": 16, "prefix_caching": true,
	"decode_step_ms_by_batch": [[1, 4], [64, 4]], "decode_us_per_1k_context_tokens": 0, "prefill_tokens_per_s": 100000, "prefill_overhead_ms": 0}`

// startEngine starts an engine and returns its address, host:port.
func startEngine(t *testing.T) string {
	t.Helper()
	profile := filepath.Join(t.TempDir(), "steady.json")
	require.NoError(t, os.WriteFile(profile, []byte(pace), 0o600))
	e, err := engine.Start(engine.Config{Profile: profile})
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	return strings.TrimPrefix(e.URL(), "http://")
}

// measure runs a small closed loop.
func measure(t *testing.T, url string) *load.Recording {
	t.Helper()
	s := server.New(url, "inferbench-ngram", "", nil)
	require.NoError(t, s.Wait(t.Context(), server.WaitOptions{Timeout: time.Minute, Every: 200 * time.Millisecond}))
	require.NoError(t, s.FindTextOnly(t.Context(), server.Retry{Each: time.Minute}))
	s.Vocab, s.TokenizerFile = 256, "../../harness/tokenizer/testdata/bytes/tokenizer.json"
	kind := workload.RandomIDs
	if s.TextOnly {
		kind = kind.InWords
	}
	src, o, _, err := load.Open(t.Context(), s, load.Plan{
		Workload: workload.Spec{Kind: kind, N: 24, ISL: 32, OSL: 32, RangeRatio: 1, Seed: 1},
		Options:  load.Options{Conc: 4, WarmUp: 8, RequestTimeout: time.Minute}})
	require.NoError(t, err)
	rec, err := load.Run(t.Context(), s, src, o)
	require.NoError(t, err)
	return rec
}

// Through every gateway that is installed: all requests succeed with the tokens
// that were asked for, as they do without it. One that holds tokens back is found
// out, and one that does not is not accused.
func TestGateways(t *testing.T) {
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	for i, g := range All(root) {
		t.Run(g.Name, func(t *testing.T) {
			url, engines := g.start(t)
			direct, through := measure(t, engines[0]), measure(t, url)
			a, b := direct.Summary(1), through.Summary(1)
			require.Equal(t, 24, a.Successful)
			require.Equal(t, 24, b.Successful, "%v", b.Errors)
			assert.Equal(t, a.OutputTokens, b.OutputTokens)
			assert.Equal(t, a.InputTokens, b.InputTokens)
			assert.Equal(t, g.Holds, through.Audit.HeldBack, "%s; %v", through.Audit.HeldBackReason, through.Audit.Reasons)
			assert.False(t, direct.Audit.HeldBack, direct.Audit.HeldBackReason)
			t.Log(row("direct", a), row(g.Name, b), through.Audit.HeldBackReason, through.Notes)
			if *update && !t.Failed() {
				records.WriteGateway(t, records.Gateway{Name: g.Name, Version: version(t, g), Date: records.Today(), Order: i,
					TTFT: *b.TTFT.Median, DirectTTFT: *a.TTFT.Median, ITL: *b.ITL.Median, Says: says(a, b, through)})
			}
		})
	}
}

// start starts a gateway before its engines, and returns where all of them are.
func (g Gateway) start(t *testing.T) (url string, engines []string) {
	t.Helper()
	at := []string{startEngine(t)}
	if g.Routes {
		at = append(at, startEngine(t))
	}
	port := external.Port(t)
	cmd, err := g.Command(t.TempDir(), port, at)
	require.NoError(t, err)
	if cmd == nil {
		t.Skip("not installed: make gateways")
	}
	for _, e := range at {
		engines = append(engines, "http://"+e)
	}
	return external.Start(t, cmd, port, g.Path, 2*time.Minute).URL, engines
}

// Our figures through each gateway beside what the engines behind it counted of
// the same requests, and beside the same rounds without it.
func TestFiguresBesideTheEnginesCounters(t *testing.T) {
	given := os.Getenv("PARITY")
	if given == "" {
		t.Skip("some minutes on a quiet machine: run `make parity-engines`")
	}
	rounds, err := strconv.Atoi(given)
	require.NoError(t, err, "PARITY is the number of rounds")
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	cell := records.Cell{N: 24, ISL: 32, OSL: 32, Conc: 4}
	for i, g := range All(root) {
		t.Run(g.Name, func(t *testing.T) {
			url, engines := g.start(t)
			run := func(at string, seed int, text bool, engines ...string) records.Means {
				cell := cell
				s := server.New(at, "inferbench-ngram", "", nil)
				require.NoError(t, s.Wait(t.Context(), server.WaitOptions{Timeout: time.Minute, Every: 200 * time.Millisecond}))
				s.Vocab, s.TokenizerFile, cell.Text = 256, "../../harness/tokenizer/testdata/bytes/tokenizer.json", text
				return cell.Run(t, s, seed, engines...)
			}
			s := server.New(url, "inferbench-ngram", "", nil)
			require.NoError(t, s.FindTextOnly(t.Context(), server.Retry{Each: time.Minute}))
			var through, direct []records.Means
			for round := range rounds {
				for turn := range 2 {
					if turn == round%2 {
						through = append(through, run(url, 2*round, s.TextOnly, engines...))
					} else {
						direct = append(direct, run(engines[0], 2*round+1, s.TextOnly, engines[0]))
					}
				}
			}
			b := records.Beside{Name: "embedded engine through " + g.Name, Version: version(t, g), Date: records.Today(), Order: 100 + i}
			b.Compare(through, direct)
			t.Log(b.Ratios, b.Direct)
			if *update {
				records.WriteBeside(t, b)
			}
		})
	}
}

var number = regexp.MustCompile(`\d+(\.\d+)+`)

// version is the first that its command prints.
func version(t *testing.T, g Gateway) string {
	t.Helper()
	out, err := exec.Command(g.Version[0], g.Version[1:]...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return number.FindString(string(out))
}

// says is what the suite has to say of a run through a gateway, for the table.
func says(direct, through stats.Summary, rec *load.Recording) string {
	var out []string
	if reason, _, _ := strings.Cut(rec.Audit.HeldBackReason, ", so that"); rec.Audit.HeldBack {
		reason, _, _ = strings.Cut(reason, " (limit")
		out = append(out, "**held_back**: "+reason)
	} else if *through.TTFT.Median > 2**direct.TTFT.Median+20 {
		out = append(out, "its TTFT is its own")
	}
	if n := rec.Audit.LateEnds; n > 0 {
		out = append(out, fmt.Sprintf("%d of %d answers ended late, and the slots went on", n, len(rec.Timings)))
	}
	if len(out) == 0 {
		return "–"
	}
	return strings.Join(out, "; ")
}

func row(name string, s stats.Summary) string {
	return fmt.Sprintf("%s: TTFT %.1f ms, ITL %.1f ms", name, *s.TTFT.Median, *s.ITL.Median)
}

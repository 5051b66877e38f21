package stats_test

import (
	"compress/gzip"
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
)

var update = flag.Bool("update", false, "write the made-up recordings of testdata/parity anew; run make parity-client after")

// recording is a file of testdata/parity: the timings of a run, in ns.
type recording struct {
	Duration time.Duration    `json:"duration"`
	Timings  []recordedTiming `json:"timings"`
}

type recordedTiming struct {
	Sent   time.Duration   `json:"sent"`
	Waited time.Duration   `json:"waited,omitempty"`
	First  time.Duration   `json:"first,omitempty"`
	Last   time.Duration   `json:"last,omitempty"`
	ITL    []time.Duration `json:"itl,omitempty"`
	Input  int             `json:"input,omitempty"`
	Output int             `json:"output,omitempty"`
	Err    string          `json:"err,omitempty"`
}

func (r recording) run() stats.Run {
	out := stats.Run{Duration: r.Duration, GPUs: 1, SLO: stats.SLO{"ttft": 50, "tpot": 10, "e2el": 2000}}
	for i, t := range r.Timings {
		out.Timings = append(out.Timings, stats.Timing{Index: i, Sent: t.Sent, Waited: t.Waited, First: t.First, Last: t.Last,
			ITL: stats.NewGaps(t.ITL...), InputTokens: t.Input, OutputTokens: t.Output, Err: t.Err})
	}
	return out
}

func readRecording(t *testing.T, path string) (r recording) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	require.NoError(t, json.NewDecoder(z).Decode(&r))
	return r
}

// The key of a result file beside the name that each peer has for it; %, where
// a statistic belongs.
var shared = map[string]map[string]string{
	"vllm": {
		"successful_requests": "completed", "failed_requests": "failed", "total_input_tokens": "total_input", "total_generated_tokens": "total_output",
		"request_throughput": "request_throughput", "request_goodput": "request_goodput", "output_throughput": "output_throughput",
		"total_token_throughput": "total_token_throughput",
		"%_ttft_ms":              "%_ttft_ms", "%_tpot_ms": "%_tpot_ms", "%_itl_ms": "%_itl_ms", "%_e2el_ms": "%_e2el_ms",
	},
	"sglang": {
		"successful_requests": "completed", "total_input_tokens": "total_input", "total_generated_tokens": "total_output",
		"request_throughput": "request_throughput", "request_goodput": "request_goodput", "slo_attainment": "slo_attainment",
		"output_throughput": "output_throughput", "total_token_throughput": "total_throughput",
		"%_ttft_ms": "%_ttft_ms", "%_tpot_ms": "%_tpot_ms", "%_itl_ms": "%_itl_ms", "%_e2el_ms": "%_e2e_latency_ms",
	},
}

// statistics that each peer has of every latency; SGLang's maximum is of ITL alone.
var statistics = map[string][]string{
	"vllm":   {"mean", "median", "std", "p90", "p95", "p99", "p99.9"},
	"sglang": {"mean", "median", "std", "p90", "p95", "p99"},
}

// The peers' own functions made the numbers: see make parity-client.
func TestSameNumbersAsVLLMAndSGLang(t *testing.T) {
	files, err := filepath.Glob("testdata/parity/*.json.gz")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 3)
	for _, file := range files {
		name := strings.TrimSuffix(file, ".json.gz")
		var peers map[string]struct {
			Version string
			Metrics map[string]float64
		}
		b, err := os.ReadFile(name + ".peers.json")
		require.NoError(t, err, "run make parity-client")
		require.NoError(t, json.Unmarshal(b, &peers))
		ours := flat(t, readRecording(t, file).run().Summary())
		for peer, keys := range shared {
			theirs := peers[peer].Metrics
			compared := 0
			compare := func(key, their string) {
				want, has := theirs[their]
				if !assert.True(t, has, "%s has no %s", peer, their) {
					return
				}
				got, isNumber := ours[key].(float64)
				if !assert.True(t, isNumber, "%s: our %s is %v", name, key, ours[key]) {
					return
				}
				assert.LessOrEqual(t, math.Abs(got-want), 1e-9*math.Abs(want), "%s: %s is %v, %s %s says %v", name, key, got, peer, peers[peer].Version, want)
				compared++
			}
			for key, their := range keys {
				if !strings.HasPrefix(key, "%") {
					compare(key, their)
					continue
				}
				for _, stat := range statistics[peer] {
					compare(strings.Replace(key, "%", stat, 1), strings.Replace(their, "%", stat, 1))
				}
			}
			if peer == "sglang" {
				compare("max_itl_ms", "max_itl_ms")
			}
			t.Logf("%s: %d figures are those of %s %s", name, compared, peer, peers[peer].Version)
		}
	}
}

func flat(t *testing.T, s stats.Summary) (m map[string]any) {
	t.Helper()
	b, err := json.Marshal(s)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &m))
	return m
}

// Recordings that are made up hold what a real one seldom does: answers of one
// token, failed requests, gaps of many seconds, few requests, time spent
// waiting in the client. The third, engine.json.gz, is a real one: see
// harness/load's TestRecordForParity.
func TestMadeUpRecordings(t *testing.T) {
	for name, n := range map[string]int{"odd": 60, "single": 1} {
		path := "testdata/parity/" + name + ".json.gz"
		want := madeUp(n)
		if *update {
			f, err := os.Create(path)
			require.NoError(t, err)
			z := gzip.NewWriter(f)
			require.NoError(t, json.NewEncoder(z).Encode(want))
			require.NoError(t, z.Close())
			require.NoError(t, f.Close())
		}
		assert.Equal(t, want, readRecording(t, path))
	}
}

func madeUp(n int) (r recording) {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	some := func(most time.Duration) time.Duration { return time.Duration(rng.Int64N(int64(most))) + 1 }
	for i := range n {
		sent := some(5 * time.Second)
		t := recordedTiming{Sent: sent, Input: 1 + rng.IntN(5000)}
		if n > 1 {
			t.Waited = some(30*time.Millisecond) * time.Duration(i%3)
			if i%7 == 3 {
				t.Err = "HTTP 500"
			}
		}
		t.First = sent + some(80*time.Millisecond)
		t.Last = t.First
		chunks := 3
		if n > 1 {
			chunks = []int{1, 2, 40, 300}[rng.IntN(4)]
		}
		for range chunks - 1 {
			gap := some(20 * time.Millisecond)
			if n > 1 && rng.IntN(500) == 0 {
				gap = some(9 * time.Second)
			}
			t.ITL = append(t.ITL, gap)
			t.Last += gap
		}
		t.Output = chunks
		if i%5 == 4 {
			t.Output += rng.IntN(chunks) // some came several to a chunk
		}
		r.Timings = append(r.Timings, t)
		r.Duration = max(r.Duration, t.Last)
	}
	r.Duration += some(time.Millisecond)
	return r
}

// Package truth has no code of its own: its test lays what the client measured
// beside what the embedded engine knows. The engine notes, on its own clock,
// when a request's first byte came and when each token went to the socket; the
// difference to the client's figures is the client's error, and with it the
// error of every figure that the suite prints.
package truth

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
	"inferbench/harness/engine/process"
	"inferbench/harness/engine/schedule"
	"inferbench/harness/load"
	"inferbench/harness/server"
	"inferbench/harness/stats"
	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
	"inferbench/harness/workload"
)

var update = flag.Bool("update", false, "measure at full size and write docs/engine-truth.md")

// scenario is one load, and where the engine runs.
type scenario struct {
	name           string
	profile        string
	alone          bool // the engine is a process of its own
	isl, osl       int
	conc, rounds   int // rounds·conc requests
	fullOSL, fullN int // with -update
}

var scenarios = []scenario{
	{"in this process", "fast", false, 256, 64, 4, 5, 1024, 100},
	{"in this process", "fast", false, 256, 64, 64, 2, 1024, 10},
	{"a process of its own", "fast", true, 256, 64, 64, 2, 1024, 10},
	{"a process of its own, at a B200's pace", "b200-dsr1-fp4", true, 256, 16, 16, 1, 512, 2},
	{"a process of its own, at a B200's pace", "b200-dsr1-fp4", true, 256, 16, 64, 1, 512, 2},
}

// named is a workload whose requests can be told apart: request i has a prompt
// of isl+i tokens.
type named struct{ n, isl, osl int }

func (s named) Len() int { return s.n }

func (s named) Request(i int) (workload.Request, error) {
	n := s.isl + i
	if i < 0 {
		n = s.isl - 1 // a warm-up prompt
	}
	ids := make([]int32, n)
	for k := range ids {
		ids[k] = int32(16 + (k*k+(i&1023)*31+k*7)%200)
	}
	return workload.Request{Index: i, Tokens: ids, OutputLen: s.osl}, nil
}

// traced is what /inferbench/trace says of a request, as far as it is needed.
type traced struct {
	ArrivedNS    int64   `json:"arrived_ns"`
	HandedNS     []int64 `json:"handed_ns"`
	PromptTokens int     `json:"prompt_tokens"`
}

// pair is the same duration as the client and as the engine have it, in ms.
type pair struct{ client, engine float64 }

// row is a figure's pairs, of all requests or of all gaps.
type row struct {
	scenario
	figure string
	pairs  []pair
	audit  stats.Audit
}

func TestClientAgreesWithTheEngine(t *testing.T) {
	var rows []row
	for _, sc := range scenarios {
		t.Run(fmt.Sprintf("%s/%s/conc=%d", sc.name, sc.profile, sc.conc), func(t *testing.T) {
			if *update {
				sc.osl, sc.rounds = sc.fullOSL, sc.fullN
			}
			rows = append(rows, measure(t, sc)...)
		})
	}
	for _, r := range rows {
		t.Log(r.line())
	}
	if *update && !t.Failed() {
		require.NoError(t, os.WriteFile("../../docs/engine-truth.md", []byte(page(rows)), 0o644))
	}
}

// measure runs a scenario. What it asserts does not depend on how busy the
// machine is: every request is in both records, with as many tokens, and no
// token reached the client before the engine let go of it.
func measure(t *testing.T, sc scenario) []row {
	url := serve(t, sc)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	tg := server.New(url, "", "", nil)
	require.NoError(t, tg.Wait(ctx, server.WaitOptions{Timeout: time.Minute}))
	tg.Within = !sc.alone
	rec, err := load.Run(ctx, tg, named{sc.conc * sc.rounds, sc.isl, sc.osl}, load.Options{Conc: sc.conc, WarmUp: sc.conc})
	require.NoError(t, err)
	require.Len(t, rec.Timings, sc.conc*sc.rounds)

	var answer struct{ Requests []traced }
	require.NoError(t, tg.Get(ctx, "/inferbench/trace", &answer))
	byPrompt := map[int]traced{}
	for _, r := range answer.Requests {
		if r.PromptTokens >= sc.isl {
			byPrompt[r.PromptTokens] = r
		}
	}
	require.Len(t, byPrompt, len(rec.Timings), "each request is in the engine's trace once")

	ttft, itl, e2el := row{sc, "TTFT", nil, rec.Audit}, row{sc, "ITL", nil, rec.Audit}, row{sc, "E2EL", nil, rec.Audit}
	for _, tm := range rec.Timings {
		require.Empty(t, tm.Err)
		tr := byPrompt[sc.isl+tm.Index]
		require.Len(t, tr.HandedNS, sc.osl)
		require.Equal(t, sc.osl, tm.Chunks)
		first := pair{float64(tm.TTFT()), float64(tr.HandedNS[0] - tr.ArrivedNS)}
		whole := pair{float64(tm.E2EL()), float64(tr.HandedNS[sc.osl-1] - tr.ArrivedNS)}
		// The client's clock starts before the first byte is sent, and stops after
		// the last is read: it can only be late.
		assert.GreaterOrEqual(t, first.client, first.engine, "request %d", tm.Index)
		assert.GreaterOrEqual(t, whole.client, whole.engine, "request %d", tm.Index)
		ttft.pairs = append(ttft.pairs, first)
		e2el.pairs = append(e2el.pairs, whole)
		k := 0
		for gap := range tm.ITL.All() {
			itl.pairs = append(itl.pairs, pair{float64(gap), float64(tr.HandedNS[k+1] - tr.HandedNS[k])})
			k++
		}
	}
	return []row{ttft, itl, e2el}
}

// serve starts the engine, here or as a process of its own.
func serve(t *testing.T, sc scenario) string {
	if !sc.alone {
		e, err := engine.Start(engine.Config{Profile: sc.profile, TraceTokens: 1 << 22})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, e.Close()) })
		return e.URL()
	}
	return serveAlone(t, sc.profile).URL
}

// command builds inferbench, and returns its path.
func command(t *testing.T) string {
	binary := filepath.Join(t.TempDir(), "inferbench")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "inferbench/cmd/inferbench").CombinedOutput()
	require.NoError(t, err, string(out))
	return binary
}

func serveAlone(t *testing.T, profile string) *process.Engine {
	e, err := process.Start(context.Background(), command(t), "-profile", profile, "-trace-tokens", "4194304")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, e.Stop()) })
	return e
}

// errors are the client's less the engine's, in µs, without their sign, sorted.
func (r row) errors() []float64 {
	var out []float64
	for _, p := range r.pairs {
		out = append(out, math.Abs(p.client-p.engine)/1000)
	}
	slices.Sort(out)
	return out
}

// medians of the figure itself, in ms.
func (r row) medians() (client, engine float64) {
	var c, e []float64
	for _, p := range r.pairs {
		c, e = append(c, p.client/1e6), append(e, p.engine/1e6)
	}
	slices.Sort(c)
	slices.Sort(e)
	return stats.Percentile(c, 50), stats.Percentile(e, 50)
}

func (r row) line() string {
	e := r.errors()
	c, truth := r.medians()
	return fmt.Sprintf("| %s | %s | %d | %s | %d | %.3f | %.3f | %+.2f %% | %.0f | %.0f | %.0f |", r.name, r.profile, r.conc, r.figure, len(r.pairs),
		truth, c, 100*(c/truth-1), stats.Percentile(e, 50), stats.Percentile(e, 99), e[len(e)-1])
}

func page(rows []row) string {
	var b strings.Builder
	fmt.Fprintf(&b, `# How far the client is from the truth

Written by `+"`make engine-truth`"+` on %s: %d cores, %s, %s, load average %s when it ended (its own part is some 2). Do not edit; measure again.

The embedded engine notes on its own clock when a request's first byte arrived at its socket (by the kernel's stamp) and when each token was handed to the socket. Here every request's TTFT and E2EL, and every gap between two tokens, as the client measured them, lie beside the same as the engine has them. The error is the client's figure less the engine's, without its sign, over all requests or all gaps; it holds the way through two sockets and the client's own lateness. One event a token, ISL %d and up, after a warm-up.

| where the engine runs | profile | CONC | figure | samples | engine's median, ms | client's median, ms | deviation | error p50, µs | p99, µs | max, µs |
| --- | --- | --: | --- | --: | --: | --: | --: | --: | --: | --: |
`, time.Now().UTC().Format("2006-01-02"), runtime.NumCPU(), memory(), runtime.Version(), loadAverage(), scenarios[0].isl)
	for _, r := range rows {
		fmt.Fprintln(&b, r.line())
	}
	b.WriteString("\nThe engine in real time beside the same load in virtual time, medians of the engine's own record: how far this machine kept the profile's pace.\n\n| profile | CONC | E2EL, real time, ms | simulated, ms | deviation |\n| --- | --: | --: | --: | --: |\n")
	for _, r := range rows {
		if r.figure == "E2EL" && r.alone {
			_, real := r.medians()
			sim := simulated(r.scenario)
			fmt.Fprintf(&b, "| %s | %d | %.1f | %.1f | %+.1f %% |\n", r.profile, r.conc, real, sim, 100*(real/sim-1))
		}
	}
	b.WriteString(`
How to read it: with the engine in the client's own process the two share the cores, which is the hardest case and the one of ` + "`make bench`" + `. A real server's steps are those of the last two: there the client's error has to be set against milliseconds. Where a core is not free when a token comes, the client reads several at once: their gaps are then nothing, and the next is long. It says so itself: such a run is client-limited. What the client says of itself in those runs (` + "`client_audit`" + ` in a result file):

| where the engine runs | profile | CONC | CPU share | µs of CPU a token | timer lateness p99, ms | chunks that shared a read | client-limited |
| --- | --- | --: | --: | --: | --: | --: | --- |
`)
	for _, r := range rows {
		if r.figure == "TTFT" {
			limited := "no"
			if r.audit.ClientLimited {
				limited = "yes: " + strings.Join(r.audit.Reasons, "; ")
			}
			fmt.Fprintf(&b, "| %s | %s | %d | %.2f | %.1f | %.2f | %.2f %% | %s |\n", r.name, r.profile, r.conc, r.audit.CPUShare, r.audit.CPUPerTokenUs, r.audit.LatenessP99Ms, 100*r.audit.BundledShare, limited)
		}
	}
	return b.String()
}

// loadAverage is how many processes wanted a core in the last minute.
func loadAverage() string {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, ok := strings.Cut(string(b), " ")
	if !ok {
		return "unknown"
	}
	return first
}

// simulated is the median E2EL of a scenario in virtual time, in ms. Prompts
// are as long there as they are on average here.
func simulated(sc scenario) float64 {
	p, err := schedule.LoadProfile(sc.profile)
	if err != nil {
		return math.NaN()
	}
	n := sc.conc * sc.rounds
	s := schedule.Simulate(p, schedule.Workload{ISL: sc.isl + n/2, OSL: sc.osl, Conc: sc.conc, Prompts: n, WarmUp: sc.conc, Ratio: 1, Seed: 1})
	return s.MedianE2EL.Seconds() * 1000
}

// memory is the machine's, as Linux says it.
func memory() string {
	b, _ := os.ReadFile("/proc/meminfo")
	var kib int
	if _, err := fmt.Sscanf(string(b), "MemTotal: %d kB", &kib); err != nil {
		return "unknown memory"
	}
	return fmt.Sprintf("%.0f GiB", float64(kib)/(1<<20))
}

// Package soak holds many streams open for a long time and looks at what grows.
//
// The engine runs in a process of its own, so that memory and goroutines are
// those of the client alone. Passes follow one another as cells of a sweep do;
// after each, garbage is collected and the client is measured.
package soak

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine/process"
	"inferbench/harness/load"
	"inferbench/harness/server"
	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
	"inferbench/harness/workload"
)

// sample is the client after a pass.
type sample struct {
	at                  time.Duration
	requests, failed    int
	heapMiB, rssMiB     float64 // live objects after a collection; resident memory
	engineMiB           float64 // the engine's resident memory
	goroutines, files   int
	ttftP50ms, ttftP99  float64
	itlP50ms, cpuPerTok float64
}

// TestSoak holds CONC streams for SOAK (10s; `make soak` asks for an hour) and
// fails when memory, goroutines or open files are higher in the last third of the
// passes than in the first. TTFT is shown, not judged: a machine has moods.
func TestSoak(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	length, conc := setting(t, "SOAK", 10*time.Second, time.ParseDuration), setting(t, "CONC", 1024, strconv.Atoi)
	binary := filepath.Join(t.TempDir(), "inferbench")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "inferbench/cmd/inferbench").CombinedOutput()
	require.NoError(t, err, string(out))
	e, err := process.Start(context.Background(), binary, "-profile", "slow.json")
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, e.Stop()) })
	tg := server.New(e.URL, "", "", nil)
	require.NoError(t, tg.Wait(t.Context(), server.WaitOptions{Timeout: time.Minute, Every: 50 * time.Millisecond}))

	// A pass is three requests a stream; an answer of 32 tokens at 200 ms takes
	// 6.4 s. Short runs have shorter answers, for enough passes to compare.
	osl, rounds := 32, 3
	if length < 10*time.Minute {
		osl, rounds = 4, 2
	}
	var samples []sample
	for begin := time.Now(); time.Since(begin) < length || len(samples) < 3; {
		seed := int64(len(samples))
		rec, err := load.Run(t.Context(), tg, workload.Random{N: conc * rounds, ISL: 128, OSL: osl, RangeRatio: 0.5, Vocab: 256, Seed: seed},
			load.Options{Conc: conc, WarmUp: 0, RequestTimeout: 2 * time.Minute})
		require.NoError(t, err)
		s := rec.Summary(1)
		// A machine that is busy with something else may lose a connection or two;
		// the table shows them.
		require.LessOrEqual(t, s.Failed, s.Successful/20, "%v", s.Errors)
		now := sample{at: time.Since(begin), requests: s.Successful, failed: s.Failed,
			ttftP50ms: *s.TTFT.Median, ttftP99: *s.TTFT.P99, itlP50ms: *s.ITL.Median, cpuPerTok: rec.Audit.CPUPerTokenUs}
		rec = nil
		now.measure(t, e.PID)
		samples = append(samples, now)
		if t.Logf("%s", now); len(samples)%10 == 0 {
			progress(now)
		}
	}
	report(t, samples, conc)

	third := max(len(samples)/3, 1)
	first, last := samples[:third], samples[len(samples)-third:]
	for _, c := range []struct {
		name  string
		of    func(sample) float64
		slack float64 // what a collector or an allocator may differ by
	}{
		{"heap, MiB", func(s sample) float64 { return s.heapMiB }, 1},
		{"resident memory, MiB", func(s sample) float64 { return s.rssMiB }, 32},
		{"goroutines", func(s sample) float64 { return float64(s.goroutines) }, 2},
		{"open files", func(s sample) float64 { return float64(s.files) }, 2},
	} {
		a, b := most(first, c.of), most(last, c.of)
		assert.LessOrEqual(t, b, a*1.1+c.slack, "%s: the most in the last third of the passes, against the first", c.name)
	}
}

func (s *sample) measure(t *testing.T, engine int) {
	// Goroutines of the pass that has just ended get a moment to leave.
	for range 100 {
		if runtime.NumGoroutine() < 32 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	runtime.GC()
	runtime.GC()
	m := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(m)
	s.heapMiB = float64(m[0].Value.Uint64()) / (1 << 20)
	s.goroutines = runtime.NumGoroutine()
	s.rssMiB, s.engineMiB = resident(t, os.Getpid()), resident(t, engine)
	files, _ := os.ReadDir("/proc/self/fd")
	s.files = len(files)
}

// resident is a process's memory in MiB; 0 where /proc does not say.
func resident(t *testing.T, pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.Atoi(strings.Fields(rest)[0])
			require.NoError(t, err)
			return float64(kib) / 1024
		}
	}
	return 0
}

const header = "| after | requests | failed | heap, MiB | client RSS, MiB | goroutines | files | engine RSS, MiB | TTFT p50, ms | TTFT p99, ms | ITL p50, ms | client CPU, µs/token |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"

func (s sample) String() string {
	return fmt.Sprintf("| %s | %d | %d | %.1f | %.1f | %d | %d | %.1f | %.1f | %.1f | %.1f | %.1f |", s.at.Round(time.Second), s.requests, s.failed,
		s.heapMiB, s.rssMiB, s.goroutines, s.files, s.engineMiB, s.ttftP50ms, s.ttftP99, s.itlP50ms, s.cpuPerTok)
}

// report writes the table to SOAK_REPORT, where that is set: the first pass,
// twelve spread over the run, and the last.
func report(t *testing.T, samples []sample, conc int) {
	file := os.Getenv("SOAK_REPORT")
	if file == "" {
		return
	}
	var b strings.Builder
	total, failed := 0, 0
	for _, s := range samples {
		total, failed = total+s.requests+s.failed, failed+s.failed
	}
	fmt.Fprintf(&b, "# Soak\n\nWritten by `make soak`: passes of 3 requests a stream one after another, the engine in a process of its own, at a step of 200 ms (e2e/soak/slow.json). Heap, memory, goroutines and files are the client's after each pass and a collection; the test fails when the last third of the passes has more of any than the first.\n\n")
	fmt.Fprintf(&b, "%d passes, %d requests, of which %d failed, %d streams at a time, %s; %s, %d cores, %s.\n\n%s\n", len(samples), total, failed, conc,
		samples[len(samples)-1].at.Round(time.Second), time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.Version(), header)
	step := max(len(samples)/12, 1)
	for i, s := range samples {
		if i%step == 0 || i == len(samples)-1 {
			fmt.Fprintln(&b, s)
		}
	}
	third := max(len(samples)/3, 1)
	ttft := func(s sample) float64 { return s.ttftP50ms }
	a, z := middle(samples[:third], ttft), middle(samples[len(samples)-third:], ttft)
	fmt.Fprintf(&b, "\nTTFT p50, median over the passes: %.1f ms in the first third, %.1f ms in the last (%+.1f %%).\n", a, z, 100*(z/a-1))
	require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o644))
}

func progress(s sample) { fmt.Fprintln(os.Stderr, s) }

func most(in []sample, of func(sample) float64) float64 {
	m := 0.0
	for _, s := range in {
		m = max(m, of(s))
	}
	return m
}

func middle(in []sample, of func(sample) float64) float64 {
	var all []float64
	for _, s := range in {
		all = append(all, of(s))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func setting[T any](t *testing.T, name string, value T, parse func(string) (T, error)) T {
	t.Helper()
	if s := os.Getenv(name); s != "" {
		v, err := parse(s)
		require.NoError(t, err, name)
		return v
	}
	return value
}

package load

import (
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
	"inferbench/harness/engine/schedule"
	"inferbench/harness/server"
	"inferbench/harness/stats"
	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
	"inferbench/harness/workload"
)

// clientOf is set in the environment of the process that is only a client, to
// the address of its server; starved says how many goroutines besides it want
// its cores.
const (
	clientOf = "INFERBENCH_TEST_CLIENT_OF"
	starved  = "INFERBENCH_TEST_STARVED"
)

// steadyStep is a decode step that takes as long whatever the batch.
func steadyStep(d time.Duration) func(*schedule.Profile) {
	return func(p *schedule.Profile) {
		p.Cost.DecodeStep, p.Cost.PerContextToken = []schedule.Point{{Batch: 1, Step: d}}, 0
	}
}

// TestClientProcess is no test: the tests below run it as a process of its own,
// so that it can be starved.
func TestClientProcess(t *testing.T) {
	url := os.Getenv(clientOf)
	if url == "" {
		t.Skip("is run by the tests of the audit")
	}
	for range len(os.Getenv(starved)) {
		go func() {
			for x := 1.0; ; x = math.Sqrt(x + 1) {
			}
		}()
	}
	tg := server.New(url, "", "", nil)
	require.NoError(t, tg.Wait(t.Context(), server.WaitOptions{}))
	before := idleLateness()
	src := workload.Random{N: 32, ISL: 32, OSL: 32, RangeRatio: 1, Vocab: tg.Vocab, Seed: 1}
	rec, err := Run(t.Context(), tg, src, Options{Conc: 8})
	require.NoError(t, err)
	require.Equal(t, 32, rec.Summary(1).Successful, rec.Summary(1).Errors)
	b, err := json.Marshal(report{rec.Audit, max(before, idleLateness())})
	require.NoError(t, err)
	os.Stdout.WriteString("audit: " + string(b) + "\n")
}

// report is what the client's process tells its test.
type report struct {
	Audit  stats.Audit
	IdleMs float64 // p99 of how late timers were while the process did nothing
}

// idleLateness is how late the timers of this process are, 99th percentile, in
// ms, while it does nothing: what the machine alone does to it.
func idleLateness() float64 {
	w := startWatch()
	time.Sleep(400 * time.Millisecond)
	audit, _ := w.stop(&phase{supply: &supply{}}, false)
	return audit.LatenessP99Ms
}

// auditOf runs a client in a process of its own.
func auditOf(t *testing.T, url string, env ...string) (a report) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^TestClientProcess$", "-test.timeout", "1m")
	cmd.Env = append(append(os.Environ(), clientOf+"="+url), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	_, line, ok := strings.Cut(string(out), "audit: ")
	require.True(t, ok, string(out))
	line, _, _ = strings.Cut(line, "\n")
	require.NoError(t, json.Unmarshal([]byte(line), &a))
	return a
}

// The flag rises whenever the client is starved: one core for Go, and four
// others that want it all the time. It stays down otherwise: a machine that has
// something else to do may starve the client for a moment, and truly, but not
// five times while it lets a process that does nothing alone.
func TestAuditSaysWhenTheClientIsStarved(t *testing.T) {
	e, _ := embedded(t, engine.Config{Tune: steadyStep(10 * time.Millisecond)})
	for range 3 {
		a := auditOf(t, e.URL(), "GOMAXPROCS=1", starved+"=xxxx").Audit
		assert.True(t, a.ClientLimited, "%+v", a)
		assert.NotEmpty(t, a.Reasons)
	}
	var why [][]string
	for calls := 0; len(why) < 5; calls++ {
		calm := auditOf(t, e.URL())
		if !calm.Audit.ClientLimited {
			return
		}
		if calm.IdleMs < stats.MaxLateness.Seconds()*1e3/3 {
			why = append(why, calm.Audit.Reasons)
		} else if calls >= 10 {
			t.Logf("the machine keeps even an idle process waiting (%.1f ms at p99): that the flag stays down was not seen", calm.IdleMs)
			return
		}
	}
	t.Errorf("five times the machine was quiet, yet the client says: %q", why)
}

func TestPercentileOfRuntimeHistograms(t *testing.T) {
	buckets := []float64{0, 0.001, 0.002, math.Inf(1)}
	a := &metrics.Float64Histogram{Buckets: buckets, Counts: []uint64{5, 5, 5}}
	b := &metrics.Float64Histogram{Buckets: buckets, Counts: []uint64{104, 6, 5}}
	p99, most, sum := between(a, b)
	assert.Equal(t, 101.0, sum, "99 of 1 ms and one of 2")
	assert.Equal(t, 1.0, p99, "99 of 100 are in the first bucket")
	assert.Equal(t, 2.0, most)
	b.Counts[2]++
	p99, most, _ = between(a, b)
	assert.Equal(t, 2.0, p99)
	assert.Equal(t, 2.0, most, "the last bucket has no upper end")
	p99, most, sum = between(a, a)
	assert.Zero(t, p99+most+sum)
	p99, _, _ = between(nil, b)
	assert.Zero(t, p99)
}

// Slots that wait for their next request are idle.
func TestAuditSeesIdleSlots(t *testing.T) {
	_, tg := embedded(t, engine.Config{})
	rec, err := Run(t.Context(), tg, slow{random(6)}, Options{Conc: 2})
	require.NoError(t, err)
	assert.Greater(t, rec.Audit.IdleShare, stats.MaxIdleShare)
	assert.True(t, rec.Audit.ClientLimited)
	assert.Contains(t, strings.Join(rec.Audit.Reasons, "\n"), "no request in flight")
}

// slow is a source that takes long to give a request.
type slow struct{ src workload.Random }

func (s slow) Len() int { return s.src.Len() }
func (s slow) Request(i int) (workload.Request, error) {
	time.Sleep(30 * time.Millisecond)
	return s.src.Request(i)
}

// Spells in which the client stood still count from the phase's start.
func TestTheClientTellsWhenItStoodStill(t *testing.T) {
	w := startWatch()
	close(w.done)
	<-w.late
	w.done, w.late = make(chan struct{}), make(chan lateness, 1)
	base := time.Now()
	w.late <- lateness{[]time.Duration{time.Second}, [][2]time.Time{{base.Add(2 * time.Second), base.Add(3 * time.Second)}}}
	_, still := w.stop(&phase{supply: &supply{}, base: base}, false)
	assert.Equal(t, [][2]time.Duration{{2 * time.Second, 3 * time.Second}}, still)
}

package scrape

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// worker is a worker's page after so many prompt tokens, a quarter of them cached.
func worker(running, tokens int) []byte {
	return fmt.Appendf(nil, "# TYPE vllm:num_requests_running gauge\nvllm:num_requests_running{engine=\"0\"} %d\n"+
		"# TYPE vllm:prefix_cache_queries_total counter\nvllm:prefix_cache_queries_total{engine=\"0\"} %d\n"+
		"# TYPE vllm:prefix_cache_hits_total counter\nvllm:prefix_cache_hits_total{engine=\"0\"} %d\n", running, tokens, tokens/4)
}

// run takes these looks: the first before the run, the second just before it, the
// last just after it.
func run(t *testing.T, looks ...[]Page) *Report {
	t.Helper()
	n := 0
	s := &Sampler{names: join(names), every: time.Second, done: make(chan struct{}), cancel: func() {},
		source: func(context.Context) ([]Page, error) { n++; return looks[n-1], nil }}
	s.look(t.Context(), between)
	s.Begin(t.Context())
	s.Measuring(time.Now())
	for range len(looks) - 3 {
		time.Sleep(time.Millisecond)
		s.look(t.Context(), between)
	}
	close(s.done)
	return s.Stop(t.Context())
}

// A page that does not answer blanks nobody else's, and what it counted meanwhile is
// not taken for what it counted in the run.
func TestAPageThatDoesNotAnswer(t *testing.T) {
	a := func(running, tokens int) Page { return Page{Endpoint: "http://a", Text: worker(running, tokens)} }
	b := func(running, tokens int) Page { return Page{Endpoint: "http://b", Text: worker(running, tokens)} }
	down := Page{Endpoint: "http://b", Err: errors.New("connect: connection refused")}
	html := Page{Endpoint: "http://b", Text: []byte("<html>not found</html>")}
	for name, c := range map[string]struct {
		looks   [][]Page
		running float64
		cached  *float64
		missing string
	}{
		"all answer":          {[][]Page{{a(1, 0), b(1, 0)}, {a(1, 100), b(1, 100)}, {a(2, 300), b(3, 300)}, {a(0, 500), b(0, 500)}}, 5, at(200), ""},
		"never":               {[][]Page{{a(1, 0), down}, {a(1, 100), down}, {a(2, 300), down}, {a(0, 500), down}}, 2, at(100), "http://b: connect: connection refused"},
		"of another shape":    {[][]Page{{a(1, 0), html}, {a(1, 100), html}, {a(2, 300), html}, {a(0, 500), html}}, 2, at(100), "http://b: "},
		"not for once":        {[][]Page{{a(1, 0), b(1, 0)}, {a(1, 100), b(3, 100)}, {a(2, 300), down}, {a(0, 500), b(0, 500)}}, 5, at(200), ""},
		"not before the run":  {[][]Page{{a(1, 0), b(1, 0)}, {a(1, 100), down}, {a(2, 300), b(9, 9000)}, {a(0, 500), b(0, 9500)}}, 2, at(100), "http://b"},
		"not after the run":   {[][]Page{{a(1, 0), b(1, 0)}, {a(1, 100), b(1, 100)}, {a(2, 300), b(3, 300)}, {a(0, 500), down}}, 5, at(100), "http://b"},
		"the only one, never": {[][]Page{{down}, {down}, {down}, {down}}, 0, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, c.looks...)
			if c.cached == nil {
				assert.Nil(t, r)
				return
			}
			require.NotNil(t, r)
			assert.Equal(t, c.running, *r.MaxRunning)
			assert.Equal(t, c.cached, r.CachedTokens)
			assert.InDelta(t, 0.25, *r.PrefixHits, 1e-9)
			assert.Empty(t, r.Dropped)
			if c.missing == "" {
				assert.Empty(t, r.Missing)
			} else {
				require.Len(t, r.Missing, 1)
				assert.Contains(t, r.Missing[0], c.missing)
			}
		})
	}
}

// Nothing that a page counts is below 0.
func TestNegativeFiguresAreToldAndNotTaken(t *testing.T) {
	good := func(tokens int) []Page { return one(string(worker(1, tokens))) }
	for _, bad := range []string{"vllm:prefix_cache_hits_total{engine=\"0\"} -5", "vllm:num_requests_running{engine=\"0\"} -1"} {
		text := string(worker(1, 500))
		name, _, _ := strings.Cut(bad, "{")
		var lines []string
		for _, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(line, name+"{") {
				line = bad
			}
			lines = append(lines, line)
		}
		r := run(t, good(0), good(100), one(strings.Join(lines, "\n")+"vllm:num_requests_waiting 1\n"), one(strings.Join(lines, "\n")+"vllm:num_requests_waiting 1\n"))
		require.NotNil(t, r)
		assert.Contains(t, r.Dropped, name)
		assert.Nil(t, r.CachedTokens)
	}
}

// What disaggregated serving tells of itself, of vLLM and of SGLang.
func TestTransfersAndQueues(t *testing.T) {
	names = append(names, Names{
		Transfer: TransferNames{Seconds: []string{"vllm:nixl_xfer_time_seconds"}, Bytes: []string{"vllm:nixl_bytes_transferred"},
			Ms: []string{"sglang:kv_transfer_latency_ms"}, MB: []string{"sglang:kv_transfer_total_mb"},
			Failures: []string{"vllm:nixl_num_failed_transfers_total", "vllm:nixl_num_kv_expired_reqs_total"}},
		Queues: []string{"sglang:num_decode_transfer_queue_reqs", "vllm:num_requests_waiting_by_reason"}})
	defer func() { names = names[:len(names)-1] }()
	histogram := func(name, label string, n int, each float64) string {
		return fmt.Sprintf("# TYPE %[1]s histogram\n%[1]s_bucket{%[2]sle=\"%[3]g\"} %[4]d\n%[1]s_bucket{%[2]sle=\"+Inf\"} %[4]d\n%[1]s_sum{%[2]s} %[5]g\n%[1]s_count{%[2]s} %[4]d\n",
			name, label, 2*each, n, each*float64(n))
	}
	const running = "vllm:num_requests_running 1\n"
	vllm := func(n, failed, expired, capacity int) []Page {
		return one(running + histogram("vllm:nixl_xfer_time_seconds", "", n, 0.02) + histogram("vllm:nixl_bytes_transferred", "", n, 1e8) +
			fmt.Sprintf("# TYPE vllm:nixl_num_failed_transfers_total counter\nvllm:nixl_num_failed_transfers_total %d\n"+
				"# TYPE vllm:nixl_num_kv_expired_reqs_total counter\nvllm:nixl_num_kv_expired_reqs_total %d\n"+
				"vllm:num_requests_waiting_by_reason{reason=\"capacity\"} %d\nvllm:num_requests_waiting_by_reason{reason=\"deferred\"} 0\n", failed, expired, capacity))
	}
	r := run(t, vllm(0, 0, 0, 0), vllm(10, 1, 0, 4), vllm(20, 1, 1, 2), vllm(30, 2, 1, 0))
	assert.Equal(t, 20.0, *r.Transfer.Transfers)
	assert.InDelta(t, 20, *r.Transfer.MeanMs, 1e-6)
	assert.InDelta(t, 2, *r.Transfer.GB, 1e-6)
	assert.Equal(t, 2.0, *r.Transfer.Failed)
	assert.Equal(t, map[string]Queue{"requests_waiting_by_reason.capacity": {Mean: 2, Max: 2}}, r.Queues, "of the looks within the run")

	sglang := func(n int) []Page { // each tensor-parallel rank reports the same
		text := running
		for _, metric := range []struct {
			name string
			each float64
		}{{"sglang:kv_transfer_latency_ms", 15}, {"sglang:kv_transfer_total_mb", 100}} {
			both := histogram(metric.name, `tp_rank="0",`, n, metric.each) + histogram(metric.name, `tp_rank="1",`, n, metric.each)
			text += strings.Replace(both, "# TYPE", "#", 2) // once is enough
			text = strings.Replace(text, "# "+metric.name+" histogram", "# TYPE "+metric.name+" histogram", 1)
		}
		return one(text + "sglang:num_decode_transfer_queue_reqs 3\n")
	}
	r = run(t, sglang(0), sglang(10), sglang(20), sglang(30))
	assert.Equal(t, 20.0, *r.Transfer.Transfers)
	assert.InDelta(t, 15, *r.Transfer.MeanMs, 1e-6)
	assert.InDelta(t, 20*100*1.048576e-3, *r.Transfer.GB, 1e-6)
	assert.Nil(t, r.Transfer.Failed)
	assert.Equal(t, map[string]Queue{"decode_transfer_queue": {Mean: 3, Max: 3}}, r.Queues)

	r = run(t, one(running), one(running), one(running), one(running))
	assert.Nil(t, r.Transfer)
	assert.Nil(t, r.Queues)
}

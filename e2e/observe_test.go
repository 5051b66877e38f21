package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
)

// A finished batch has its report, and in it what the server said of itself.
func TestReportAndServerMetrics(t *testing.T) {
	exit, dir, out := finish(t, []string{"GPU_HOUR_USD=3.6", "GPU_WATTS=1000"},
		"-isl", "64", "-osl", "64", "-conc", "4", "-num-prompts", "200", "-scrape-every", "20ms")
	require.Zero(t, exit, out)
	r := result(t, dir, "result_isl64_osl64_conc4.json")
	server := r["server_metrics"].(map[string]any)
	assert.EqualValues(t, 4, server["max_running"], "CONC is what the server saw")
	assert.NotNil(t, server["server_mean_ttft_ms"])
	assert.Equal(t, r["successful_requests"], server["server_ttft_requests"], "the warm-up's requests are not among them")
	assert.Contains(t, batchFile(t, dir, "server_isl64_osl64_conc4.json"), `"kv_cache":`)
	html := batchFile(t, dir, "report.html")
	for _, part := range []string{"They prove the suite, not any hardware", "What the server said of itself", "USD / M tokens", "tokens / J", "inferbench-ngram"} {
		assert.Contains(t, html, part)
	}
	assert.Regexp(t, `\| 4 \| PASSED( \(client-limited\))? \|`, batchFile(t, dir, "summary.md"), "a busy machine may limit the client: that is true, and no fault of the summary")

	exit, dir, out = finish(t, nil, append(small, "-scrape-every", "0s")...)
	require.Zero(t, exit, out)
	assert.NotContains(t, result(t, dir, "result_isl16_osl8_conc1.json"), "server_metrics")
}

// A server keeps what it was asked before, but no cell of a sweep, nor a second
// pass over one, asks it again. A second sweep does, and is told.
func TestPrefixCacheIsNotMeasuredByMistake(t *testing.T) {
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	defer e.Close()
	sweep := func(args ...string) string {
		exit, dir, out := finish(t, nil, append([]string{"-test.run", "TestServing", "-base-url", e.URL(), "-isl", "256", "-osl", "64", "-conc", "1,2", "-num-prompts", "100", "-scrape-every", "20ms"}, args...)...)
		require.Zero(t, exit, out)
		for _, cell := range []string{"conc1", "conc2"} {
			r := result(t, dir, "result_isl256_osl64_"+cell+".json")
			if strings.Contains(out, "prefix cache") {
				assert.Greater(t, r["server_metrics"].(map[string]any)["prefix_hits"], 0.5)
				assert.Greater(t, r["cache_hit_rate"], 0.5)
				assert.Contains(t, r["marks"], "warm_cache")
			} else {
				assert.Less(t, r["server_metrics"].(map[string]any)["prefix_hits"], 0.01)
				assert.Less(t, r["cache_hit_rate"], 0.01)
				assert.NotContains(t, r["marks"], "warm_cache")
			}
			assert.Equal(t, "usage", r["cached_tokens_from"])
		}
		return out
	}
	assert.NotContains(t, sweep("-test.count", "2"), "prefix cache")
	assert.Regexp(t, `CONC 2: [\d.]+ % of the prompt tokens came from the server's prefix cache, .*Start it anew, set CACHE_RESET=on, or give another SEED`, sweep())
	assert.NotContains(t, sweep("-seed", "2"), "prefix cache")
	assert.NotContains(t, sweep("-cache-reset", "on"), "prefix cache", "it was made to forget")
}

// A running sweep serves its own metrics where it is asked to.
func TestMetricsWhileRunning(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	addr := l.Addr().String()
	cmd, _, out := start(t, nil, "-isl", "16", "-osl", "64", "-conc", "2", "-num-prompts", "100000", "-metrics-listen", addr)
	_ = cmd.Wait()
	require.Contains(t, out.String(), "METRICS_LISTEN: listen tcp "+addr, "an address in use is one clear line")
	l.Close()

	cmd, _, out = start(t, nil, "-isl", "16", "-osl", "64", "-conc", "2", "-num-prompts", "100000", "-metrics-listen", addr)
	require.Eventually(t, func() bool {
		resp, err := http.Get(fmt.Sprintf("http://%s/metrics", addr))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		page, _ := io.ReadAll(resp.Body)
		return strings.Contains(string(page), `inferbench_requests{conc="2",isl="16",osl="64",phase="benchmark",scenario="",state="in_flight"} 2`)
	}, time.Minute, 50*time.Millisecond, out)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_ = cmd.Wait()
	left, _ := filepath.Glob(filepath.Join(cmd.Dir, "batch_*", "report.html"))
	assert.Len(t, left, 1, "an interrupted batch has its report too")
}

// An estimate says how long, and leaves nothing behind.
func TestEstimate(t *testing.T) {
	exit, dir, out := finish(t, nil, append(small, "-estimate")...)
	require.Zero(t, exit, out)
	assert.Regexp(t, `(?m)^ +16 +8 +1 +4 +\d+s$`, out)
	assert.Contains(t, out, "on inferbench-ngram, accuracy not counted")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	assert.Empty(t, left)
	exit, _, out = finish(t, nil, append(small, "-estimate", "-mode", "acc")...)
	assert.Equal(t, 2, exit)
	assert.Contains(t, out, "mode acc measures no speed")
}

// What benchstat reads stays whole where there is no terminal for progress: go
// test merges standard error into standard output, as finish does here.
func TestBenchmarkLinesStayWhole(t *testing.T) {
	exit, _, out := finish(t, nil, append(small, "-test.run", "^$", "-test.bench", "Serving", "-test.count", "3")...)
	require.Zero(t, exit, out)
	whole := regexp.MustCompile(`(?m)^BenchmarkServing/isl=16/osl=8/conc=[12]\S*\s+1\s+\d+ ns/op\s.* tok/s/gpu\s.*$`)
	assert.Len(t, whole.FindAllString(out, -1), 6, out)
}

// gateway is the address of an engine whose every answer goes through change.
func gateway(t *testing.T, change func(*http.Response) error) string {
	t.Helper()
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	to, err := url.Parse(e.URL())
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ModifyResponse = change
	s := httptest.NewServer(whole(proxy))
	t.Cleanup(s.Close)
	return s.URL
}

// A router before two engines answers /metrics from one after the other: what its
// page says is of neither, so no figure is taken of it, and why is told.
func TestMetricsOfSeveralEnginesInTurn(t *testing.T) {
	var proxies []http.Handler
	for range 2 {
		e, err := engine.Start(engine.Config{})
		require.NoError(t, err)
		t.Cleanup(func() { e.Close() })
		to, err := url.Parse(e.URL())
		require.NoError(t, err)
		proxies = append(proxies, httputil.NewSingleHostReverseProxy(to))
	}
	var turn atomic.Int64
	router := httptest.NewServer(whole(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := turn.Add(1)
		if r.URL.Path == "/v1/completions" {
			at = min(at%3, 1) // the second gets more of them
		}
		proxies[at%2].ServeHTTP(w, r)
	})))
	t.Cleanup(router.Close)
	exit, dir, out := finish(t, nil, "-base-url", router.URL, "-isl", "64", "-osl", "64", "-conc", "4", "-num-prompts", "200", "-scrape-every", "20ms")
	require.Zero(t, exit, out)
	server := result(t, dir, "result_isl64_osl64_conc4.json")["server_metrics"].(map[string]any)
	assert.Regexp(t, `from one look at its /metrics to the next \S+ went from [\d.e+-]+ to [\d.e+-]+, as where a router answers for one engine after another`, server["dropped"])
	for _, k := range []string{"max_running", "preemptions", "prefix_hits", "cached_tokens", "server_mean_ttft_ms", "server_p99_ttft_ms", "server_ttft_requests"} {
		assert.Contains(t, server, k)
		assert.Nil(t, server[k], k)
	}
	assert.Contains(t, out, "name each engine's page in METRICS_URLS")
}

// gather is a gateway that sends each answer at once, so that no gap is known,
// some time after it had it.
func gather(t *testing.T, after time.Duration) string {
	return gateway(t, func(r *http.Response) error {
		b, err := io.ReadAll(r.Body)
		time.Sleep(after)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
		r.Header.Set("Content-Length", strconv.Itoa(len(b)))
		return err
	})
}

// Tokens that a gateway holds back mark the cell, and the note says what to turn
// off; the client is blamed only where it was late too.
func TestHeldBackIsSaidEverywhere(t *testing.T) {
	exit, dir, out := finish(t, nil, "-base-url", gather(t, 50*time.Millisecond), "-isl", "16", "-osl", "8", "-conc", "1", "-num-prompts", "4")
	require.Zero(t, exit, out)
	r := result(t, dir, "result_isl16_osl8_conc1.json")
	if audit := r["client_audit"].(map[string]any); audit["held_back"] != true {
		assert.Regexp(t, `of all chunks came in one read`, audit["client_limited_reasons"], "a machine this busy keeps the client late")
		return
	}
	assert.Contains(t, r["marks"], "held_back")
	assert.Contains(t, out, "held-back)")
	assert.Contains(t, out, "something between here and the server holds tokens back")
	assert.Contains(t, out, "proxy_buffering off in nginx and option http-no-delay in HAProxy")
	assert.Contains(t, batchFile(t, dir, "summary.md"), "held-back)")
	assert.Nil(t, r["median_tpot_ms"])
}

// A client that is the limit says so wherever the figures are: here tokens come
// together faster than it could tell them apart, or the machine is busy.
func TestClientLimitedIsSaidEverywhere(t *testing.T) {
	to := gather(t, 0)
	exit, dir, out := finish(t, nil, "-base-url", to, "-isl", "16", "-osl", "8", "-conc", "1", "-num-prompts", "4", "-test.v")
	require.Zero(t, exit, out)
	r := result(t, dir, "result_isl16_osl8_conc1.json")
	assert.Equal(t, true, r["client_limited"])
	assert.Regexp(t, `of all chunks came in one read|timers fired|for a core`, r["client_audit"].(map[string]any)["client_limited_reasons"])
	assert.Regexp(t, `PASSED\s+\(client-limited`, out)
	assert.Contains(t, out, "Give the client more CPU or a machine of its own", "and it says what to do")
	assert.Regexp(t, `(?m)^BenchmarkServing/isl=16/osl=8/conc=1\S*\s.*\s1\.000 client-limited\s`, out, "benchstat reads nothing else")
	assert.Contains(t, out, "client_limited true")
	assert.Contains(t, batchFile(t, dir, "summary.md"), "PASSED (client-limited")
}

// A benchmark that failed has no line, whichever way it is run: its figures are
// of no use to benchstat.
func TestAFailedCellHasNoBenchmarkLine(t *testing.T) {
	to := gateway(t, func(r *http.Response) error {
		if strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") {
			r.StatusCode = http.StatusServiceUnavailable
		}
		return nil
	})
	for _, door := range [][]string{nil, {"-test.run", "^$", "-test.bench", "Serving"}} {
		exit, dir, out := finish(t, nil, append([]string{"-base-url", to, "-isl", "16", "-osl", "8", "-conc", "1", "-num-prompts", "4", "-warmup", "0"}, door...)...)
		require.Equal(t, 1, exit, out)
		assert.EqualValues(t, 4, result(t, dir, "result_isl16_osl8_conc1.json")["failed_requests"])
		assert.NotContains(t, out, " ns/op")
	}
}

// An engine in a process of its own says which profile it runs, and its CPU is
// not the client's.
func TestProfileOfAnEngineElsewhere(t *testing.T) {
	e, err := engine.Start(engine.Config{Profile: "b200-dsr1-fp4"})
	require.NoError(t, err)
	defer e.Close()
	exit, dir, out := finish(t, nil, "-base-url", e.URL(), "-isl", "16", "-osl", "4", "-conc", "1", "-num-prompts", "2")
	require.Zero(t, exit, out)
	assert.Contains(t, out, "(profile b200-dsr1-fp4)")
	r := result(t, dir, "result_isl16_osl4_conc1.json")
	assert.Equal(t, "b200-dsr1-fp4", r["benchmark_args"].(map[string]any)["engine_profile"])
	assert.Equal(t, false, r["client_audit"].(map[string]any)["cpu_includes_the_engine"])

	exit, dir, out = finish(t, nil, "-isl", "16", "-osl", "4", "-conc", "1", "-num-prompts", "2")
	require.Zero(t, exit, out)
	r = result(t, dir, "result_isl16_osl4_conc1.json")
	assert.Equal(t, "fast", r["benchmark_args"].(map[string]any)["engine_profile"])
	assert.Equal(t, true, r["client_audit"].(map[string]any)["cpu_includes_the_engine"])
}

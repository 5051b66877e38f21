package sweep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/scrape"
	"inferbench/harness/server"
	"inferbench/harness/stats"
)

func TestItIsToldWhoseTTFTTheServerHas(t *testing.T) {
	of := func(n float64) *scrape.Report { return &scrape.Report{TTFTOf: &n} }
	for name, c := range map[string]struct {
		seen               *scrape.Report
		successful, failed int
		want               string
	}{
		"the same":          {of(100), 100, 0, ""},
		"nothing seen":      {nil, 100, 0, ""},
		"nothing told":      {&scrape.Report{}, 100, 0, ""},
		"failures with one": {of(99), 98, 2, ""},
		"another client's":  {of(130), 98, 2, "of 130 requests, 30 more than this pass sent"},
	} {
		t.Run(name, func(t *testing.T) {
			got := otherRequests(c.seen, &stats.Summary{Successful: c.successful, Failed: c.failed})
			if c.want == "" {
				assert.Empty(t, got)
			} else {
				assert.Contains(t, got, c.want)
			}
		})
	}
}

// What stands between is told by what the server says of itself beside what the
// client saw.
func TestTheClientBesideTheServer(t *testing.T) {
	for name, c := range map[string]struct {
		seen  *scrape.Report
		audit stats.Audit
		want  []string
	}{
		"nothing seen":    {nil, stats.Audit{}, nil},
		"near":            {told(40, 100), stats.Audit{}, nil},
		"far":             {told(5, 100), stats.Audit{}, []string{"TTFT is 60 ms on average here, and 5 ms by the server's own clock"}},
		"client-limited":  {told(5, 100), stats.Audit{ClientLimited: true}, nil},
		"of others":       {told(5, 130), stats.Audit{}, nil},
		"of one replica":  {told(40, 50), stats.Audit{}, []string{"of 50 requests, of 100 that this pass sent: it has not told of all, or they went elsewhere too; what it counted"}},
		"cannot be":       {told(90, 100), stats.Audit{}, []string{"above the longest that the client saw (80 ms)"}},
		"no figure there": {&scrape.Report{Dropped: "a router"}, stats.Audit{}, []string{"a router"}},
		"held back, as told by the server": {told(5, 100), stats.Audit{LatenessP50Ms: 2, Bundles: stats.Bundles{TokenEveryMs: 10, BundledShare: 0.9}},
			[]string{"something between here and the server holds tokens back (90 % of all chunks came in one read with the chunk before, so that the gaps " +
				"between them are not known (limit 50 %); TTFT is 60 ms here and 5 ms by the server's own clock): turn that off, as proxy_buffering off in nginx " +
				"and option http-no-delay in HAProxy"}},
	} {
		t.Run(name, func(t *testing.T) {
			mean, longest := 60.0, 80.0
			sum := stats.Summary{Successful: 100, TTFT: stats.Dist{Mean: &mean, Max: &longest}}
			notes := besideServer(c.seen, &sum, &c.audit)
			require.Len(t, notes, len(c.want))
			for i, w := range c.want {
				assert.Contains(t, notes[i], w)
			}
		})
	}
}

// told is what a server says whose n requests took this long to their first token.
func told(meanMs, n float64) *scrape.Report {
	return &scrape.Report{TTFTOf: &n, MeanTTFT: &meanMs}
}

// A server that was started so that it tells nothing of itself is told so; one that
// never had metrics is not complained of.
func TestWhyNothingWasSeen(t *testing.T) {
	missing := &server.HTTPError{Method: "GET", URL: "http://h/metrics", Status: 404}
	for name, c := range map[string]struct {
		dialect *server.Dialect
		urls    []string
		why     error
		want    string
	}{
		"seen":                           {server.VLLM, nil, nil, ""},
		"vLLM, but for its engine":       {server.VLLM, nil, scrape.ErrNothing, "without --disable-log-stats"},
		"SGLang without metrics":         {server.SGLang, nil, missing, "with --enable-metrics"},
		"another server without metrics": {server.OpenAI, nil, missing, ""},
		"an address that was given":      {server.OpenAI, []string{"http://h/metrics"}, missing, "404"},
		"a page that hangs":              {server.OpenAI, nil, errors.New("deadline exceeded"), "deadline exceeded"},
		"100 MB":                         {server.VLLM, nil, fmt.Errorf("answer is longer than 8 MiB"), "longer than 8 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			sw := &Sweep{}
			sw.Target = server.New("http://h", "", "", nil)
			sw.Target.Dialect = c.dialect
			sw.Settings.Server.MetricsURLs = c.urls
			err := sw.unseen(c.why)
			if c.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, c.want)
		})
	}
}

// A page of a hundred megabytes is not read to its end, and one that hangs does not
// keep the others waiting for ever.
func TestPagesThatAreNoHelp(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	big := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		line := bytes.Repeat([]byte("vllm:num_requests_running{engine=\"0\"} 1\n"), 1<<10)
		for range 100 << 20 / len(line) {
			if _, err := w.Write(line); err != nil {
				return
			}
		}
		t.Error("it was read to its end")
	}))
	defer big.Close()
	hangs := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hangs.Close()
	well := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("vllm:num_requests_running 2\n"))
	}))
	defer well.Close()
	sw := &Sweep{}
	sw.Target = server.New(well.URL, "", "", nil)
	sw.Settings.Server.MetricsURLs = []string{big.URL + "/metrics", hangs.URL + "/metrics", well.URL + "/metrics"}
	pages, err := sw.pages(ctx)
	require.NoError(t, err)
	require.Len(t, pages, 3)
	assert.ErrorContains(t, pages[0].Err, "longer than 8 MiB")
	require.Error(t, pages[1].Err)
	assert.Regexp(t, `^http://.*/metrics did not answer within [0-9.]+m?s$`, pages[1].Err.Error())
	require.NoError(t, pages[2].Err)
	assert.Contains(t, string(pages[2].Text), "running 2")
}

package metrics

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
)

func TestMetricsOfARunningSweep(t *testing.T) {
	e, err := Start(Options{Listen: "127.0.0.1:0", Linger: time.Hour})
	require.NoError(t, err)
	assert.Zero(t, e.Lingers(), "there is nothing to see yet")
	cell := matrix.Cell{Combination: matrix.Combination{ISL: 16, OSL: 8}, Conc: 4}
	e.Accuracy(cell, 3, 62)
	e.Serving(cell, load.Progress{Sent: 12, Done: 8, Failed: 1, InFlight: 4, Total: 200, OutputTokens: 64, Sessions: &load.SessionProgress{Ended: 2, HitRate: new(0.75)}, TTFT: load.Spread{P50: 86 * time.Millisecond, P99: 201 * time.Millisecond},
		TPOT: load.Spread{P50: 8 * time.Millisecond, P99: 9 * time.Millisecond}, ITL: load.Spread{P50: 7 * time.Millisecond, P99: 30 * time.Millisecond},
		E2EL: load.Spread{P50: time.Second, P99: 2 * time.Second}})
	for i, name := range []string{"agentx", "sessions"} { // of one CONC
		e.Serving(matrix.Cell{Combination: matrix.Combination{Scenario: name}, Conc: 4}, load.Progress{OutputTokens: int64(i + 1)})
	}
	e.Ended(cell, &batch.Result{Status: batch.Passed, Performance: &stats.Summary{TputPerGPU: new(344.5)}})

	resp, err := http.Get(e.URL())
	require.NoError(t, err)
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	problems, err := promlint.New(bytes.NewReader(page)).Lint()
	require.NoError(t, err)
	assert.Empty(t, problems, "names, help and labels are as Prometheus asks")
	for _, line := range []string{
		`inferbench_accuracy_documents{conc="4",isl="16",osl="8",scenario="",state="done"} 3`,
		`inferbench_requests{conc="4",isl="16",osl="8",phase="benchmark",scenario="",state="in_flight"} 4`,
		`inferbench_requests{conc="4",isl="16",osl="8",phase="benchmark",scenario="",state="failed"} 1`,
		`inferbench_output_tokens{conc="4",isl="16",osl="8",phase="benchmark",scenario=""} 64`,
		`inferbench_ttft_seconds{conc="4",isl="16",osl="8",percentile="99",scenario=""} 0.201`,
		`inferbench_tpot_seconds{conc="4",isl="16",osl="8",percentile="50",scenario=""} 0.008`,
		`inferbench_itl_seconds{conc="4",isl="16",osl="8",percentile="99",scenario=""} 0.03`,
		`inferbench_e2el_seconds{conc="4",isl="16",osl="8",percentile="99",scenario=""} 2`,
		`inferbench_sessions_ended{conc="4",isl="16",osl="8",scenario=""} 2`,
		`inferbench_cache_hit_ratio{conc="4",isl="16",osl="8",scenario=""} 0.75`,
		`inferbench_output_tokens{conc="4",isl="",osl="",phase="benchmark",scenario="agentx"} 1`,
		`inferbench_output_tokens{conc="4",isl="",osl="",phase="benchmark",scenario="sessions"} 2`,
		`inferbench_cells_ended_total{status="PASSED"} 1`,
		`inferbench_result{conc="4",isl="16",key="tput_per_gpu",osl="8",scenario=""} 344.5`,
	} {
		assert.Contains(t, string(page), line+"\n")
	}
	assert.NotContains(t, string(page), "interactivity", "a figure that was not measured is not there")

	_, err = Start(Options{Listen: e.addr})
	assert.ErrorContains(t, err, "METRICS_LISTEN: listen tcp")

	// They stay up for an hour, or until someone is tired of that.
	assert.Equal(t, time.Hour, e.Lingers())
	ctx, cancel := context.WithCancel(t.Context())
	closed := make(chan error)
	go func() { closed <- e.Close(ctx) }()
	time.Sleep(20 * time.Millisecond)
	again, err := http.Get(e.URL())
	require.NoError(t, err)
	again.Body.Close()
	cancel()
	require.NoError(t, <-closed)
	_, err = http.Get(e.URL())
	assert.Error(t, err)
}

// gateway is a fake Pushgateway.
func gateway(t *testing.T, answer func(http.ResponseWriter, *http.Request, map[string]*dto.MetricFamily)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := map[string]*dto.MetricFamily{}
		dec := expfmt.NewDecoder(r.Body, expfmt.ResponseFormat(r.Header))
		for {
			var f dto.MetricFamily
			if dec.Decode(&f) != nil {
				break
			}
			got[f.GetName()] = &f
		}
		answer(w, r, got)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

var cell = matrix.Cell{Combination: matrix.Combination{ISL: 16, OSL: 8}, Conc: 4}

func TestMetricsArePushed(t *testing.T) {
	type push struct {
		path, auth string
		got        map[string]*dto.MetricFamily
	}
	pushes := make(chan push, 100)
	url := gateway(t, func(_ http.ResponseWriter, r *http.Request, got map[string]*dto.MetricFamily) {
		pushes <- push{r.Method + " " + r.URL.Path, r.Header.Get("Authorization"), got}
	})
	e, err := Start(Options{PushURL: url, PushToken: "topsecret", Client: http.DefaultClient, Warn: func(s string) { t.Error(s) }})
	require.NoError(t, err)
	e.Ended(cell, &batch.Result{Status: batch.Passed, Performance: &stats.Summary{TputPerGPU: new(344.5)}})
	p := <-pushes // at once
	host, err := os.Hostname()
	require.NoError(t, err)
	assert.Equal(t, "PUT /metrics/job/inferbench/instance/"+host, p.path)
	assert.Equal(t, "Bearer topsecret", p.auth)
	require.Contains(t, p.got, "inferbench_result")
	found := false
	for _, m := range p.got["inferbench_result"].Metric {
		found = found || m.GetGauge().GetValue() == 344.5
	}
	assert.True(t, found, "%v", p.got["inferbench_result"])

	e.Serving(cell, load.Progress{InFlight: 3})
	require.NoError(t, e.Close(t.Context()))
	close(pushes)
	var last push
	for p := range pushes {
		last = p
	}
	assert.Contains(t, last.got, "inferbench_requests", "what came last is pushed at the end")
}

// A push that fails is one warning, which has no secret in it.
func TestAPushThatFails(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"refused": func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "I do not know "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		},
		"silent": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			url := gateway(t, func(w http.ResponseWriter, r *http.Request, _ map[string]*dto.MetricFamily) { answer(w, r) })
			var warnings []string
			e, err := Start(Options{PushURL: url, PushToken: "me:topsecret", Client: &http.Client{Timeout: 100 * time.Millisecond},
				Warn: func(s string) { warnings = append(warnings, s) }})
			require.NoError(t, err)
			for range 100 { // no cell waits for it
				e.Ended(cell, &batch.Result{Status: batch.Passed})
			}
			require.NoError(t, e.Close(t.Context()))
			require.Len(t, warnings, 1)
			assert.Contains(t, warnings[0], "METRICS_PUSH: ")
			assert.NotContains(t, warnings[0], "topsecret")
			assert.NotContains(t, warnings[0], base64.StdEncoding.EncodeToString([]byte("me:topsecret")))
			assert.NotContains(t, warnings[0], "\n")
		})
	}
}

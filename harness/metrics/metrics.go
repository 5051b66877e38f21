// Package metrics serves Prometheus metrics of a sweep while it runs, or pushes
// them to a Pushgateway, so that a dashboard can show it beside the server's own.
// They are set from the load's reports, four times a second.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"inferbench/harness/batch"
	"inferbench/harness/clock"
	"inferbench/harness/figures"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
)

// Options say where the metrics go.
type Options struct {
	Listen string        // host:port on which they are served; empty: nowhere
	Linger time.Duration // how long they stay up after the last cell

	PushURL   string       // address of a Pushgateway; empty: none
	PushToken string       // bearer token for it, or user:password; may be empty
	Client    *http.Client // that pushes
	Warn      func(string) // told once of a push that failed
}

// Exporter has the metrics. Its methods make it a sweep's Watcher.
type Exporter struct {
	options Options
	server  *http.Server // nil where nothing is served
	addr    string
	pushing *pushing // nil where nothing is pushed
	shown   atomic.Bool

	progress *prometheus.GaugeVec            // isl, osl, conc, scenario, phase, what
	latency  map[string]*prometheus.GaugeVec // ttft, …: isl, osl, conc, scenario, percentile
	tokens   *prometheus.GaugeVec            // isl, osl, conc, scenario, phase
	sessions *prometheus.GaugeVec            // isl, osl, conc, scenario; of the running pass
	hits     *prometheus.GaugeVec            // likewise
	ended    *prometheus.CounterVec
	figures  *prometheus.GaugeVec // of cells that ended
	accuracy *prometheus.GaugeVec
}

var cellLabels = []string{"isl", "osl", "conc", "scenario"}

// labels are those of a cell: lengths, or for sessions the scenario's name.
func labels(c matrix.Cell, more ...string) []string {
	isl, osl := strconv.Itoa(c.ISL), strconv.Itoa(c.OSL)
	if c.Scenario != "" {
		isl, osl = "", ""
	}
	return append([]string{isl, osl, strconv.Itoa(c.Conc), c.Scenario}, more...)
}

// Start serves /metrics and pushes, as the options say, until [Exporter.Close].
func Start(o Options) (*Exporter, error) {
	reg := prometheus.NewRegistry()
	e := &Exporter{options: o}
	e.register(reg)
	if o.Listen != "" {
		l, err := net.Listen("tcp", o.Listen)
		if err != nil {
			return nil, fmt.Errorf("METRICS_LISTEN: %w", err)
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
		e.addr, e.server = l.Addr().String(), &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
		go e.server.Serve(l)
	}
	if o.PushURL != "" {
		e.pushing = startPushing(o, reg)
	}
	return e, nil
}

// register makes the metrics.
func (e *Exporter) register(reg *prometheus.Registry) {
	gauge := func(name, help string, more ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "inferbench", Name: name, Help: help},
			append(append([]string(nil), cellLabels...), more...))
		reg.MustRegister(g)
		return g
	}
	e.progress = gauge("requests", "Requests of the cell's running pass: sent, done, failed, in_flight, total.",
		"phase", "state")
	e.tokens = gauge("output_tokens", "Output token chunks of the cell's running pass so far.", "phase")
	e.latency = map[string]*prometheus.GaugeVec{}
	for name, what := range map[string]string{"ttft": "Time to first token", "tpot": "Time per output token",
		"itl": "Gaps between token chunks", "e2el": "End-to-end latency"} {
		e.latency[name] = gauge(name+"_seconds", what+" of the cell's running pass so far.",
			"percentile") // "quantile" is a summary's own label
	}
	e.sessions = gauge("sessions_ended", "Sessions of the cell's running pass that have ended so far.")
	e.hits = gauge("cache_hit_ratio", "Share of input tokens from the server's prefix cache, of sessions, so far.")
	e.accuracy = gauge("accuracy_documents", "Documents of the accuracy run: done, total.", "state")
	e.figures = gauge("result", "Figures of a cell that has ended, under their keys in the result file.", "key")
	e.ended = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "inferbench", Name: "cells_ended_total",
		Help: "Passes that ended, by how."}, []string{"status"})
	reg.MustRegister(e.ended)
}

// URL is where the metrics are served.
func (e *Exporter) URL() string { return "http://" + e.addr + "/metrics" }

// Lingers is how long the metrics stay up from now on, so that whoever reads them
// now and then sees the last cell too: 0 where no cell has ended.
func (e *Exporter) Lingers() time.Duration {
	if e.server == nil || !e.shown.Load() {
		return 0
	}
	return e.options.Linger
}

// Close pushes a last time and stops serving: once [Exporter.Lingers] is over or ctx
// ends, and then within some seconds.
func (e *Exporter) Close(ctx context.Context) error {
	if e.pushing != nil {
		e.pushing.stop()
	}
	if e.server == nil {
		return nil
	}
	_ = clock.Sleep(ctx, e.Lingers())
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := e.server.Shutdown(ctx); err != nil {
		return errors.Join(err, e.server.Close())
	}
	return nil
}

// Accuracy notes how many documents are scored.
func (e *Exporter) Accuracy(c matrix.Cell, done, total int) {
	e.accuracy.WithLabelValues(labels(c, "done")...).Set(float64(done))
	e.accuracy.WithLabelValues(labels(c, "total")...).Set(float64(total))
}

// Serving notes how far the pass is.
func (e *Exporter) Serving(c matrix.Cell, p load.Progress) {
	phase := "benchmark"
	if p.WarmUp {
		phase = "warmup"
	}
	for state, n := range map[string]int{
		"sent": p.Sent, "done": p.Done, "failed": p.Failed, "in_flight": p.InFlight, "total": p.Total,
	} {
		e.progress.WithLabelValues(labels(c, phase, state)...).Set(float64(n))
	}
	e.tokens.WithLabelValues(labels(c, phase)...).Set(float64(p.OutputTokens))
	if p.WarmUp {
		return
	}
	if s := p.Sessions; s != nil {
		e.sessions.WithLabelValues(labels(c)...).Set(float64(s.Ended))
		if s.HitRate != nil {
			e.hits.WithLabelValues(labels(c)...).Set(*s.HitRate)
		}
	}
	for name, of := range map[string]load.Spread{"ttft": p.TTFT, "tpot": p.TPOT, "itl": p.ITL, "e2el": p.E2EL} {
		if of.P99 > 0 {
			e.latency[name].WithLabelValues(labels(c, "50")...).Set(of.P50.Seconds())
			e.latency[name].WithLabelValues(labels(c, "99")...).Set(of.P99.Seconds())
		}
	}
}

// Fetching changes no metric.
func (e *Exporter) Fetching(matrix.Cell, string, int64, int64) {}

// Ended notes the cell's result.
func (e *Exporter) Ended(c matrix.Cell, r *batch.Result) {
	e.shown.Store(true)
	e.ended.WithLabelValues(string(r.Status)).Inc()
	for _, v := range figures.Measured(r) {
		e.figures.WithLabelValues(labels(c, v.Key)...).Set(v.Value)
	}
	if e.pushing != nil {
		e.pushing.soon()
	}
}

// Package metrics serves Prometheus metrics of a sweep while it runs, so that
// a dashboard can show it beside the server's own. They are set from the
// load's reports, four times a second, and read nothing from the hot path.
package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
)

// Exporter serves the metrics. Its methods make it a sweep's Watcher.
type Exporter struct {
	server *http.Server
	addr   string

	progress *prometheus.GaugeVec // isl, osl, conc, phase, what
	ttft     *prometheus.GaugeVec // isl, osl, conc, percentile
	tokens   *prometheus.GaugeVec // isl, osl, conc, phase
	ended    *prometheus.CounterVec
	figures  *prometheus.GaugeVec // of cells that ended
	accuracy *prometheus.GaugeVec
}

var cellLabels = []string{"isl", "osl", "conc"}

func labels(c matrix.Cell, more ...string) []string {
	return append([]string{strconv.Itoa(c.ISL), strconv.Itoa(c.OSL), strconv.Itoa(c.Conc)}, more...)
}

// Listen serves /metrics on addr (host:port) until [Exporter.Close].
func Listen(addr string) (*Exporter, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("METRICS_LISTEN: %w", err)
	}
	reg := prometheus.NewRegistry()
	gauge := func(name, help string, more ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "inferbench", Name: name, Help: help},
			append(append([]string(nil), cellLabels...), more...))
		reg.MustRegister(g)
		return g
	}
	e := &Exporter{
		addr: l.Addr().String(),
		progress: gauge("requests", "Requests of the cell's running pass: sent, done, failed, in_flight, total.",
			"phase", "state"),
		tokens: gauge("output_tokens", "Output token chunks of the cell's running pass so far.", "phase"),
		ttft: gauge("ttft_seconds", "Time to first token of the cell's running pass so far.",
			"percentile"), // "quantile" is a summary's own label
		accuracy: gauge("accuracy_documents", "Documents of the accuracy run: done, total.", "state"),
		figures:  gauge("result", "Figures of a cell that has ended, under their keys in the result file.", "key"),
		ended: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "inferbench", Name: "cells_ended_total",
			Help: "Passes that ended, by how."}, []string{"status"}),
	}
	reg.MustRegister(e.ended)
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	e.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go e.server.Serve(l)
	return e, nil
}

// URL is where the metrics are.
func (e *Exporter) URL() string { return "http://" + e.addr + "/metrics" }

// Close stops serving, at the latest after a second.
func (e *Exporter) Close() error {
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
	if p.TTFTP50 > 0 && !p.WarmUp {
		e.ttft.WithLabelValues(labels(c, "50")...).Set(p.TTFTP50.Seconds())
		e.ttft.WithLabelValues(labels(c, "99")...).Set(p.TTFTP99.Seconds())
	}
}

// Fetching changes no metric.
func (e *Exporter) Fetching(matrix.Cell, string, int64, int64) {}

// Ended notes the cell's result.
func (e *Exporter) Ended(c matrix.Cell, r *batch.Result) {
	e.ended.WithLabelValues(string(r.Status)).Inc()
	for _, v := range figures.Measured(r) {
		e.figures.WithLabelValues(labels(c, v.Key)...).Set(v.Value)
	}
}

// Package scrape reads what a server says of itself at /metrics, under vLLM's
// and SGLang's names, before, during and after a pass: so that a reader of a
// result sees why a cell was slow. A server without such an endpoint costs a
// pass nothing and is no error.
package scrape

import (
	"bytes"
	"fmt"
	"math"
	"sort"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Sample is one look at the server. A figure that it does not publish is nil.
type Sample struct {
	AtS     float64  `json:"at_s"` // from the start of the measured run; before it, negative
	Running *float64 `json:"running"`
	Waiting *float64 `json:"waiting"`
	KVCache *float64 `json:"kv_cache"` // share in use, 0 to 1

	at      time.Time
	ttft    cumulative // since the server began
	preempt *float64
	queried *float64 // prompt tokens looked up in the prefix cache
	hit     *float64
}

// The names of a figure, in the order in which they are tried: vLLM's of
// today, vLLM's of before its V1 engine, SGLang's.
var (
	runningNames = []string{"vllm:num_requests_running", "sglang:num_running_reqs"}
	waitingNames = []string{"vllm:num_requests_waiting", "sglang:num_queue_reqs"}
	kvNames      = []string{"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc", "sglang:token_usage"}
	ttftNames    = []string{"vllm:time_to_first_token_seconds", "sglang:time_to_first_token_seconds"}
	preemptNames = []string{"vllm:num_preemptions_total", "vllm:num_preemptions"}
	queriedNames = []string{"vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total", "vllm:prefix_cache_queries"}
	hitNames     = []string{"vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total", "vllm:prefix_cache_hits"}
)

// parse reads the text of a /metrics page. Several label sets of one metric
// (the ranks of a data-parallel server) are added up; of the KV cache the
// fullest counts.
func parse(page []byte, at time.Time) (*Sample, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(page))
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	s := &Sample{at: at}
	s.Running, s.Waiting = total(families, runningNames), total(families, waitingNames)
	s.KVCache = highest(families, kvNames)
	s.preempt, s.queried, s.hit = total(families, preemptNames), total(families, queriedNames), total(families, hitNames)
	for _, name := range ttftNames {
		if f := families[name]; f != nil && f.GetType() == dto.MetricType_HISTOGRAM {
			s.ttft = addUp(f)
			break
		}
	}
	return s, nil
}

// empty reports whether the page had nothing that is known here.
func (s *Sample) empty() bool { return s.Running == nil && s.Waiting == nil && s.KVCache == nil }

func values(families map[string]*dto.MetricFamily, names []string) []float64 {
	for _, name := range names {
		f := families[name]
		if f == nil {
			continue
		}
		var out []float64
		for _, m := range f.GetMetric() {
			v := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue() // two of them are not there: 0
			if !math.IsNaN(v) && !math.IsInf(v, 0) {
				out = append(out, v)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

func total(families map[string]*dto.MetricFamily, names []string) *float64 {
	vs := values(families, names)
	if vs == nil {
		return nil
	}
	sum := 0.0
	for _, v := range vs {
		sum += v
	}
	return &sum
}

func highest(families map[string]*dto.MetricFamily, names []string) *float64 {
	vs := values(families, names)
	if vs == nil {
		return nil
	}
	top := vs[0]
	for _, v := range vs {
		top = max(top, v)
	}
	return &top
}

// cumulative is a Prometheus histogram: for each upper bound (s), how many
// observations were at most that.
type cumulative struct {
	bounds []float64
	counts []float64
	sum    float64
	n      float64
}

func addUp(f *dto.MetricFamily) cumulative {
	byBound := map[float64]float64{}
	var c cumulative
	for _, m := range f.GetMetric() {
		h := m.GetHistogram()
		c.sum += h.GetSampleSum()
		c.n += float64(h.GetSampleCount())
		for _, b := range h.GetBucket() {
			byBound[b.GetUpperBound()] += float64(b.GetCumulativeCount())
		}
	}
	for b := range byBound {
		c.bounds = append(c.bounds, b)
	}
	sort.Float64s(c.bounds)
	for _, b := range c.bounds {
		c.counts = append(c.counts, byBound[b])
	}
	return c
}

// since is what was observed after old; false where nothing was, or where the
// server began again in between.
func (c cumulative) since(old cumulative) (cumulative, bool) {
	d := cumulative{bounds: c.bounds, sum: c.sum - old.sum, n: c.n - old.n}
	if d.n <= 0 {
		return d, false
	}
	for i, n := range c.counts {
		if len(old.counts) == len(c.counts) {
			n -= old.counts[i]
		}
		d.counts = append(d.counts, n)
	}
	return d, true
}

// quantile is Prometheus's histogram_quantile: linear within the bucket that
// holds it, so no finer than the server's buckets are.
func (c cumulative) quantile(q float64) *float64 {
	rank := q * c.n
	for i, n := range c.counts {
		if n < rank || math.IsInf(c.bounds[i], 1) {
			continue
		}
		low, before := 0.0, 0.0
		if i > 0 {
			low, before = c.bounds[i-1], c.counts[i-1]
		}
		v := c.bounds[i]
		if n > before {
			v = low + (c.bounds[i]-low)*(rank-before)/(n-before)
		}
		return &v
	}
	return nil
}

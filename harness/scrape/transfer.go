package scrape

import (
	"math"
	"strings"

	dto "github.com/prometheus/client_model/go"
)

// Transfer is how KV cache went from prefill to decode over a run. What the server
// does not tell is nil.
type Transfer struct {
	Transfers *float64 `json:"transfers"`
	MeanMs    *float64 `json:"mean_ms"`
	P99Ms     *float64 `json:"p99_ms"` // as fine as the server's buckets
	GB        *float64 `json:"gb"`     // 10⁹ bytes
	Failed    *float64 `json:"failed"` // transfers that failed, and caches that nobody fetched in time
}

// Queue is how many requests stood in a queue over a run.
type Queue struct {
	Mean float64 `json:"mean"`
	Max  float64 `json:"max"`
}

// transfer is how far the figures of transfers have come.
type transfer struct {
	seconds  cumulative
	latency  *float64 // ms, where it is told as it is now
	gb       *float64
	failures *float64
}

func transfers(families map[string]*dto.MetricFamily, names Names) transfer {
	var t transfer
	scaled := func(list []string, scale float64) bool {
		for _, name := range list {
			if f := families[name]; f != nil && f.GetType() == dto.MetricType_HISTOGRAM {
				t.seconds = addUp(firstRank(f)).scale(scale)
				return true
			}
		}
		return false
	}
	if !scaled(names.Transfer.Seconds, 1) && !scaled(names.Transfer.Ms, 1e-3) {
		t.latency = highest(families, names.Transfer.Ms)
	}
	t.gb = sum(volume(families, names.Transfer.Bytes, 1e-9), volume(families, names.Transfer.MB, 1<<20*1e-9))
	for _, name := range names.Transfer.Failures { // each of another kind
		t.failures = sum(t.failures, total(families, []string{name}))
	}
	return t
}

// volume is what a counter, or a histogram of sizes, has come to.
func volume(families map[string]*dto.MetricFamily, names []string, scale float64) *float64 {
	for _, name := range names {
		f := families[name]
		switch {
		case f == nil:
		case f.GetType() == dto.MetricType_HISTOGRAM:
			v := addUp(firstRank(f)).sum * scale
			return &v
		case f.GetType() == dto.MetricType_COUNTER:
			if v := total(families, []string{name}); v != nil {
				n := *v * scale
				return &n
			}
		}
	}
	return nil
}

// firstRank is the series of the first tensor-parallel rank, where it has one: each
// of them reports the same transfers.
func firstRank(f *dto.MetricFamily) *dto.MetricFamily {
	only := &dto.MetricFamily{Name: f.Name, Type: f.Type}
	for _, m := range f.GetMetric() {
		first := true
		for _, l := range m.GetLabel() {
			first = first && (l.GetName() != "tp_rank" || l.GetValue() == "0")
		}
		if first {
			only.Metric = append(only.Metric, m)
		}
	}
	return only
}

// moved is how much KV cache has come from elsewhere, in whatever unit is told: seconds
// of transfers, else 10⁹ bytes, else the tokens that came from other tiers.
func (t transfer) moved(tokens *float64) *float64 {
	switch {
	case t.seconds.n > 0:
		return &t.seconds.sum
	case t.gb != nil:
		return t.gb
	}
	return tokens
}

// sum adds what is told.
func sum(a, b *float64) *float64 {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	v := *a + *b
	return &v
}

// scale gives the histogram other units.
func (c cumulative) scale(by float64) cumulative {
	if by != 1 {
		for i := range c.bounds {
			c.bounds[i] *= by
		}
		c.sum *= by
	}
	return c
}

// since is what was transferred between two looks; nil where nothing was.
func (t transfer) since(old transfer) *Transfer {
	r := &Transfer{GB: difference(t.gb, old.gb), Failed: difference(t.failures, old.failures)}
	if d, ok := t.seconds.since(old.seconds); ok {
		mean := d.sum / d.n
		p99, _ := d.quantile(0.99, math.Inf(1))
		r.Transfers, r.MeanMs, r.P99Ms = &d.n, ms(&mean), ms(p99)
	}
	for _, v := range []*float64{r.Transfers, r.GB, r.Failed} {
		if v != nil && *v > 0 {
			return r
		}
	}
	return nil
}

// queues are the gauges of queues by their short names: of a metric without the
// make and the "num_" before it and the "_reqs" behind it, and of its label where it
// tells several apart.
func queues(families map[string]*dto.MetricFamily, names Names) map[string]float64 {
	out := map[string]float64{}
	for _, name := range names.Queues {
		for _, m := range families[name].GetMetric() {
			v, ok := valueOf(m)
			if !ok {
				continue
			}
			_, short, _ := strings.Cut(name, ":")
			short = strings.TrimSuffix(strings.TrimPrefix(short, "num_"), "_reqs")
			for _, l := range m.GetLabel() {
				if l.GetName() == "reason" || l.GetName() == "stage" {
					short += "." + l.GetValue()
				}
			}
			if out[short] += v; len(out) > mostQueues {
				return out
			}
		}
	}
	return out
}

// mostQueues bounds what is kept: a label may say anything.
const mostQueues = 50

// byQueue says how many requests stood in each queue over the looks of a run; nil
// where all stayed empty.
func byQueue(samples []*Sample) map[string]Queue {
	out := map[string]Queue{}
	for _, s := range samples {
		for name, v := range s.Queues {
			q := out[name]
			out[name] = Queue{Mean: q.Mean + v/float64(len(samples)), Max: max(q.Max, v)}
		}
	}
	for name, q := range out {
		if q.Max == 0 {
			delete(out, name)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

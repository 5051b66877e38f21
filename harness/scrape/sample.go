// Package scrape reads what a server says of itself at /metrics before, during and after a pass: so that a reader of a
// result sees why a cell was slow. A server without such an endpoint costs a
// pass nothing and is no error.
package scrape

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"sort"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Sample is one look at the server. A figure that it does not publish is nil.
type Sample struct {
	AtS     float64  `json:"at_s"` // from the start of the measured run; before it, negative
	Running *float64 `json:"running"`
	Waiting *float64 `json:"waiting"`
	KVCache *float64 `json:"kv_cache"` // share in use, 0 to 1

	// Queues are those of disaggregated serving, and of what waits for a reason:
	// requests in each.
	Queues map[string]float64 `json:"queues,omitempty"`

	Ranks []RankNow `json:"ranks,omitempty"` // where there are several

	Preemptions *float64 `json:"preemptions,omitempty"`   // counter: requests put back for want of KV cache
	Prompts     *float64 `json:"prompt_tokens,omitempty"` // counter: prompt tokens looked up in the prefix cache
	Moved       *float64 `json:"moved,omitempty"`         // counter: KV cache from elsewhere, in the server's own unit

	at       time.Time
	ttft     cumulative // since the server began
	spec     spec
	odd      string // a figure that cannot be
	transfer transfer
	ranks    map[rank]load      // what each had to do
	hits     map[string]float64 // of these found, by where; "" where that is not told
	counts   map[string]float64 // every counter and histogram of the page, known here or not: how often it counted
}

// Names is what a make of server calls the figures of its page: under each, the
// names that it has had, in the order in which they are tried.
type Names struct {
	Running, Waiting []string // gauges: requests
	KVCache          []string // gauge: share in use, 0 to 1
	TTFT             []string // histogram: seconds
	Preemptions      []string // counter: requests put back for want of KV cache
	Queues           []string // gauges: requests, perhaps by label "reason" or "stage"

	Cache    CacheNames
	Guesses  GuessNames
	Transfer TransferNames
}

// CacheNames are those of the prefix cache. All are counters of tokens.
type CacheNames struct {
	Looked, Hits []string // of prompts: looked up there, and found; perhaps by label Source
	Elsewhere    []string // of prompts: found in a cache outside the server
	LoadedBack   []string // that came back from the server's other tiers
	Source       string   // label of Hits that says where they were
}

// GuessNames are those of speculation. All but the last are counters.
type GuessNames struct {
	Drafts, DraftTokens  []string // times that tokens were guessed, tokens guessed
	Accepted, AcceptedAt []string // guesses that were right; likewise by label "position"
	Verified             []string // times that guesses were verified, where drafts are not counted
	Generated            []string // tokens generated
	VerifiedAtOnce       []string // gauge: tokens verified at once, the one besides the guesses among them
}

// TransferNames are those of KV cache that goes from prefill to decode.
type TransferNames struct {
	Seconds, Ms []string // histograms; Ms perhaps a gauge
	Bytes, MB   []string // histograms or counters
	Failures    []string // counters, each of another kind
}

// join makes the names of several makes into one, in order.
func join(list []Names) (all Names) {
	for _, n := range list {
		add(reflect.ValueOf(&all).Elem(), reflect.ValueOf(n))
	}
	return all
}

// add appends the names of each field to those of all; of a text the last counts.
func add(all, more reflect.Value) {
	for i := range all.NumField() {
		switch into, from := all.Field(i), more.Field(i); into.Kind() {
		case reflect.Struct:
			add(into, from)
		case reflect.Slice:
			into.Set(reflect.AppendSlice(into, from))
		default:
			if !from.IsZero() {
				into.Set(from)
			}
		}
	}
}

// parse reads the texts of /metrics pages. Several label sets of one metric
// (the ranks of a data-parallel server) are added up; of the KV cache the
// fullest counts.
func parse(pages []Page, names Names, at time.Time) (*Sample, error) {
	families, err := read(pages)
	if err != nil {
		return nil, err
	}
	s := &Sample{at: at, ranks: ranks(families, names)}
	s.Ranks = apart(s.ranks)
	s.Running, s.Waiting = total(families, names.Running), total(families, names.Waiting)
	s.KVCache = highest(families, names.KVCache)
	s.Preemptions, s.Prompts = total(families, names.Preemptions), total(families, names.Cache.Looked)
	s.hits, s.counts = hits(families, names), counts(families)
	s.spec = guesses(families, names)
	s.transfer, s.Queues, s.odd = transfers(families, names), queues(families, names), odd(families, names)
	s.Moved = s.transfer.moved(total(families, slices.Concat(names.Cache.LoadedBack, names.Cache.Elsewhere)))
	for _, name := range names.TTFT {
		if f := families[name]; f != nil && f.GetType() == dto.MetricType_HISTOGRAM {
			s.ttft = addUp(f)
			break
		}
	}
	return s, nil
}

// hits are the prompt tokens found in a cache, by where. A counter appears with
// its first hit, so that one which is not there is 0.
func hits(families map[string]*dto.MetricFamily, names Names) map[string]float64 {
	out := map[string]float64{}
	for _, name := range names.Cache.Hits {
		if f := families[name]; f != nil {
			for _, m := range f.GetMetric() {
				source := ""
				for _, l := range m.GetLabel() {
					if l.GetName() == names.Cache.Source {
						source = l.GetValue()
					}
				}
				if v, ok := valueOf(m); ok {
					out[source] += v
				}
			}
			break
		}
	}
	if v := total(families, names.Cache.Elsewhere); v != nil {
		out["external"] = *v
		if own, ok := out[""]; ok { // what is not elsewhere
			delete(out, "")
			out["device"] += own
		}
	}
	return out
}

// valueOf is a metric's value; false for what is no count and no share.
func valueOf(m *dto.Metric) (float64, bool) {
	v := m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue() // two of them are not there: 0
	return v, v >= 0 && !math.IsInf(v, 1)
}

// odd names a figure of the page that is below 0, which none of them can be; "" where
// there is none.
func odd(families map[string]*dto.MetricFamily, names Names) string {
	for _, list := range [][]string{names.Running, names.Waiting, names.KVCache, names.Preemptions, names.Cache.Looked,
		names.Cache.Hits, names.Cache.Elsewhere, names.Guesses.Drafts, names.Guesses.DraftTokens,
		names.Guesses.Accepted, names.Guesses.Verified,
		names.Guesses.Generated, names.Queues} {
		for _, name := range list {
			for _, m := range families[name].GetMetric() {
				if v, ok := valueOf(m); !ok && v < 0 {
					return fmt.Sprintf("the server's %s is %g, which cannot be: nothing was taken of its counters", name, v)
				}
			}
		}
	}
	return ""
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
			if v, ok := valueOf(m); ok {
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

// since is what was observed after old; false where nothing was, where the server
// began again in between, or where the sum is no number.
func (c cumulative) since(old cumulative) (cumulative, bool) {
	d := cumulative{bounds: c.bounds, sum: c.sum - old.sum, n: c.n - old.n}
	if d.n <= 0 || !(d.sum >= 0) || math.IsInf(d.sum, 1) { // NaN is not above 0 either
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
// Nothing that was observed is taken to be above most, and low is what it is at
// least, by its bucket.
func (c cumulative) quantile(q, most float64) (v *float64, low float64) {
	rank, before := q*c.n, 0.0
	for i, n := range c.counts {
		if n < rank || math.IsInf(c.bounds[i], 1) {
			continue
		}
		if i > 0 {
			low, before = c.bounds[i-1], c.counts[i-1]
		}
		at := c.bounds[i]
		if most > low {
			at = min(at, most)
		}
		if n > before {
			at = low + (at-low)*(rank-before)/(n-before)
		}
		return &at, low
	}
	return nil, 0
}

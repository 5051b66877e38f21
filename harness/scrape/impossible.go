package scrape

import (
	"fmt"
	"maps"
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// severalPages is what to do where a page is of one engine after another.
const severalPages = "name each engine's page in METRICS_URLS"

// started is the gauge by which Prometheus's own libraries tell one process from
// another.
const started = "process_start_time_seconds"

// counts is how often each counter and histogram of a page has counted, and when
// its process started.
func counts(families map[string]*dto.MetricFamily) map[string]float64 {
	out := map[string]float64{}
	for name, f := range families {
		sum := 0.0
		for _, m := range f.GetMetric() {
			switch {
			case f.GetType() == dto.MetricType_COUNTER, name == started:
				v, _ := valueOf(m)
				sum += v
			case f.GetType() == dto.MetricType_HISTOGRAM:
				sum += float64(m.GetHistogram().GetSampleCount())
			}
		}
		if sum > 0 && !math.IsInf(sum, 0) {
			out[name] = sum
		}
	}
	return out
}

// backwards says that the looks from base on are not of one engine: a counter
// went back from one to the next, or another process answered. It is "" where
// they may be.
func backwards(samples []*Sample, base *Sample) string {
	var before *Sample
	for _, s := range samples {
		if s == nil || before == nil && s != base {
			continue
		}
		if before != nil {
			for _, name := range slices.Sorted(maps.Keys(before.counts)) {
				then, now, there := before.counts[name], 0.0, false
				if now, there = s.counts[name]; !there {
					continue
				}
				if now < then || name == started && now != then {
					return fmt.Sprintf("from one look at its /metrics to the next %s went from %.10g to %.10g, as where a "+
						"router answers for one engine after another, or the server began again: no figure was taken; %s",
						name, then, now, severalPages)
				}
			}
		}
		before = s
	}
	return ""
}

// Beside holds the server's own TTFT against the longest that the client saw, in
// milliseconds, of the so many requests that were answered. A share of requests
// that lies in a bucket of the server's is told no higher than that; where all of
// the bucket is above it, the figures are of other requests and are dropped: of
// others' among them where the server counts more than were sent, else of another
// engine's. So are counts of a server that has seen fewer of the requests.
func (r *Report) Beside(longestMs float64, requests int) {
	if r == nil || r.MeanTTFT == nil {
		return
	}
	most := longestMs / 1e3
	_, least := r.ttft.quantile(0.99, most)
	switch {
	case least > most, *r.MeanTTFT > 1.01*longestMs: // a hundredth for two clocks
		whose := "it is of other requests, as where a router answers for one engine after another: it was left out; " +
			severalPages
		if more := r.ttft.n - float64(requests); more > 0 {
			whose = fmt.Sprintf("it is of %.0f requests, %.0f more than this pass sent: others use the server too, and theirs "+
				"waited longer, so it was left out", r.ttft.n, more)
		}
		r.Dropped = fmt.Sprintf("the server's own TTFT (mean %.4g ms, 99th percentile over %.4g ms) is above the longest "+
			"that the client saw (%.4g ms): %s", *r.MeanTTFT, least*1e3, longestMs, whose)
		r.MeanTTFT, r.MedianTTFT, r.P99TTFT, r.TTFTOf = nil, nil, nil, nil
	case r.ttft.n > 0 && r.ttft.n <= float64(requests):
		r.tellTTFT(most)
	}
	if r.TTFTOf != nil && *r.TTFTOf < float64(requests) {
		r.Dropped = fmt.Sprintf("the server's own TTFT is of %.0f requests, of %d that this pass sent: it has not told of "+
			"all, or they went elsewhere too; what it counted, preemptions and cached tokens, was left out", *r.TTFTOf, requests)
		r.Preemptions, r.CachedTokens, r.PrefixHits, r.HitsBySource = nil, nil, nil, nil
	}
}

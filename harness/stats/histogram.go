package stats

import (
	"fmt"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histogram holds any number of durations in about a quarter of a megabyte, as
// an HdrHistogram of three significant digits: a percentile is within 0.1 % of
// the exact one. Mean and standard deviation are exact, kept beside it.
// Histograms of several runs or machines merge into one.
type Histogram struct {
	h    *hdrhistogram.Histogram
	n    float64
	mean float64 // ns
	m2   float64 // sum of squared distances from the mean, ns²
	max  time.Duration
}

// histogramMax is the longest duration a Histogram tells apart: longer ones
// count as this in its percentiles (not in mean, deviation and maximum).
const histogramMax = time.Hour

// NewHistogram is an empty histogram.
func NewHistogram() *Histogram {
	return &Histogram{h: hdrhistogram.New(1, int64(histogramMax), 3)}
}

// Record adds a duration; a negative one counts as zero.
func (h *Histogram) Record(d time.Duration) {
	d = max(d, 0)
	_ = h.h.RecordValue(int64(min(d, histogramMax))) // cannot be out of range
	h.n++
	delta := float64(d) - h.mean
	h.mean += delta / h.n
	h.m2 += delta * (float64(d) - h.mean)
	h.max = max(h.max, d)
}

// RecordAll adds every gap of g.
func (h *Histogram) RecordAll(g Gaps) {
	for d := range g.All() {
		h.Record(d)
	}
}

// Len is the number of durations.
func (h *Histogram) Len() int64 { return h.h.TotalCount() }

// Merge adds the durations of other, which stays as it is.
func (h *Histogram) Merge(other *Histogram) {
	if other == nil || other.n == 0 {
		return
	}
	h.h.Merge(other.h)
	// Chan et al., "Updating formulae and a pairwise algorithm for computing
	// sample variances", 1979.
	n := h.n + other.n
	delta := other.mean - h.mean
	h.mean += delta * other.n / n
	h.m2 += other.m2 + delta*delta*h.n*other.n/n
	h.n = n
	h.max = max(h.max, other.max)
}

// Encode is the histogram in HdrHistogram's own compressed form (V2, base64),
// which its tools in every language read. Values are nanoseconds.
func (h *Histogram) Encode() (string, error) {
	b, err := h.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return "", fmt.Errorf("encode histogram: %w", err)
	}
	return string(b), nil
}

// dist is the distribution of the durations.
func (h *Histogram) dist() Dist {
	if h.n == 0 {
		return Dist{}
	}
	at := func(p float64) *float64 { return ms(float64(min(h.h.ValueAtPercentile(p), int64(h.max)))) }
	return Dist{
		Mean: ms(h.mean), Median: at(50), Std: ms(math.Sqrt(h.m2 / h.n)),
		P90: at(90), P95: at(95), P99: at(99), P99_9: at(99.9), Max: ms(float64(h.max)),
	}
}

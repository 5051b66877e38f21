package stats

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Histogram holds any number of durations in about a quarter of a megabyte, as
// an HdrHistogram of three significant digits: a percentile is within 0.1 % of
// the exact one. Mean and standard deviation are exact, kept beside it.
// Histograms of several runs or machines merge into one.
type Histogram struct {
	h       *hdrhistogram.Histogram
	sum     wide // ns
	squares wide // ns²
	max     time.Duration
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
	h.sum.add(wide{lo: uint64(d)})
	h.squares.add(square(uint64(d)))
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

// At is the percentile p, 0 to 100, of what was recorded; 0 of nothing.
func (h *Histogram) At(p float64) time.Duration {
	return time.Duration(h.h.ValueAtPercentile(p))
}

// Merge adds the durations of other, which stays as it is. The result is what
// one histogram of all of them would be, to the last bit.
func (h *Histogram) Merge(other *Histogram) {
	if other == nil {
		return
	}
	h.h.Merge(other.h)
	h.sum.add(other.sum)
	h.squares.add(other.squares)
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
	n := float64(h.Len())
	if n == 0 {
		return Dist{}
	}
	mean := h.sum.float() / n
	at := func(p float64) *float64 { return ms(float64(min(h.h.ValueAtPercentile(p), int64(h.max)))) }
	return Dist{
		Mean: ms(mean), Median: at(50), Std: ms(deviation(h.sum, h.squares, h.Len())),
		P90: at(90), P95: at(95), P99: at(99), P99_9: at(99.9), Max: ms(float64(h.max)),
	}
}

// wireHistogram is how a histogram travels: see [Histogram.GobEncode].
type wireHistogram struct {
	HDR          string
	Sum, Squares [2]uint64
	Max          time.Duration
}

// GobEncode keeps everything, so that a histogram made elsewhere merges as one
// made here does.
func (h *Histogram) GobEncode() ([]byte, error) {
	hdr, err := h.Encode()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = gob.NewEncoder(&b).Encode(wireHistogram{hdr, [2]uint64{h.sum.hi, h.sum.lo}, [2]uint64{h.squares.hi,
		h.squares.lo}, h.max})
	return b.Bytes(), err
}

// GobDecode is the other way of [Histogram.GobEncode].
func (h *Histogram) GobDecode(b []byte) error {
	var w wireHistogram
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&w); err != nil {
		return err
	}
	hdr, err := hdrhistogram.Decode([]byte(w.HDR))
	if err != nil {
		return fmt.Errorf("decode histogram: %w", err)
	}
	*h = *NewHistogram()
	if dropped := h.h.Merge(hdr); dropped > 0 {
		return fmt.Errorf("decode histogram: %d of its durations are out of range", dropped)
	}
	h.sum, h.squares, h.max = wide{w.Sum[0], w.Sum[1]}, wide{w.Squares[0], w.Squares[1]}, w.Max
	return nil
}

package report

import (
	"math"
	"time"
)

// Heat is how the gaps between tokens were spread, over the run: how many lay in
// each band of lengths in each slice of time.
type Heat struct {
	Low    float64    `json:"low_ms"` // where the first band begins
	Factor float64    `json:"factor"` // each band ends at so many times where it begins
	Counts [][]uint32 `json:"counts"` // by slice of time, by band
}

// A gapGrid counts gaps by slice of time and by length, in bins of equal ratio:
// fine enough for a median to within 1.1 %, and of a size that does not grow with
// the run.
type gapGrid struct {
	counts [timeSlices][gapBins]uint32
	some   bool
}

const (
	perOctave = 32
	gapBins   = 40 * perOctave // up to 2⁴⁰ ns, 18 minutes
	perBand   = 8              // bins of the grid in a band of the heat map
)

func (g *gapGrid) add(slice int, gap time.Duration) {
	bin := int(math.Log2(max(1, float64(gap))) * perOctave)
	g.counts[slice][min(bin, gapBins-1)]++
	g.some = true
}

// edge returns where a bin begins, in ms.
func edge(bin int) float64 { return math.Exp2(float64(bin)/perOctave) / 1e6 }

// medians returns those of each slice of time, in ms; nil where it has no gap.
func (g *gapGrid) medians() []*float64 {
	if !g.some {
		return nil
	}
	out := make([]*float64, timeSlices)
	for i := range g.counts {
		var all, seen uint64
		for _, n := range g.counts[i] {
			all += uint64(n)
		}
		for bin, n := range g.counts[i] {
			if seen += uint64(n); all > 0 && 2*seen >= all {
				m := round(math.Sqrt(edge(bin) * edge(bin+1)))
				out[i] = &m
				break
			}
		}
	}
	return out
}

// heat returns the grid in bands, from the shortest gap to the longest; nil where
// there is no gap.
func (g *gapGrid) heat() *Heat {
	if !g.some {
		return nil
	}
	first, last := gapBins/perBand, 0
	var bands [timeSlices][gapBins / perBand]uint32
	for i := range g.counts {
		for bin, n := range g.counts[i] {
			if n > 0 {
				band := bin / perBand
				bands[i][band] += n
				first, last = min(first, band), max(last, band)
			}
		}
	}
	h := &Heat{Low: round(edge(first * perBand)), Factor: math.Exp2(float64(perBand) / perOctave)}
	for i := range bands {
		h.Counts = append(h.Counts, append([]uint32(nil), bands[i][first:last+1]...))
	}
	return h
}

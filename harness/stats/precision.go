package stats

import (
	"math"
	"slices"
	"time"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Precision is how well the figures of a run that ended early are known. Shares
// are of the figure: 0.02 is ±2 %.
type Precision struct {
	Asked        float64    `json:"asked"`
	Reached      float64    `json:"reached"`       // the widest of HalfWidths
	StoppedAfter int        `json:"stopped_after"` // requests that had ended when no more were sent
	HalfWidths   HalfWidths `json:"half_widths"`
	Drifting     []string   `json:"drifting,omitempty"` // figures that still changed from round to round
}

// HalfWidths are halves of 95 % intervals, as shares of the figures.
type HalfWidths struct {
	Throughput float64 `json:"total_token_throughput"`
	E2EL       float64 `json:"median_e2el_ms"`
	TTFT       float64 `json:"median_ttft_ms"`
}

// The rule by which a run ends early. A round is CONC requests that follow one
// another: those in flight together share their luck, so that a round is the
// least that counts as one observation. The figures are looked at once a round,
// and each look is a chance to be wrong: so the intervals at a look are wider than
// 95 %, and wider still while the rounds are few. docs/search.md has what all
// looks together come to.
const (
	leastRounds   = 3     // in the steady state
	mostBatches   = 16    // into which the rounds are gathered
	fewBatches    = 10    // fewer than these need confidenceFew
	confidence    = 0.98  // of the interval at one look
	confidenceFew = 0.995 // likewise
	driftSure     = 0.95  // confidence at which a trend over the rounds counts
	driftWaits    = 0.2   // share of all requests up to which a drift is waited for
)

// heads are the shares of a run that are left out at its begin: its requests began
// together, and it takes rounds until they no longer do.
var heads = []float64{0.4, 0.5}

// LeastRequests is how many requests a run with a Stopper has at least.
func LeastRequests(conc int) int { return (leastRounds + 1) * conc }

// Stopper ends a closed loop once the throughput and the medians of E2EL and TTFT
// are known to ±Asked: batch means over the steady state, in which a median's
// interval is that of the share of requests under it (Woodruff 1952), and
// throughput is, by Little's law, tokens a second of a request × CONC.
type Stopper struct {
	Conc  int
	Most  int     // requests that the run has without it
	Asked float64 // half width of the intervals, as a share of the figures

	look       int // at which number of ended requests it looks next
	found      *Precision
	head, tail int // index of the first request that counts, and of the first after those
}

// Enough reports whether the run can end: see load.Options.
func (s *Stopper) Enough(ended int, timings func() []Timing) bool {
	if ended < max(s.look, 2*s.Conc) || ended+s.Conc > s.Most {
		return false
	}
	s.look = ended + max(s.Conc, ended/10/s.Conc*s.Conc)
	p := s.judge(timings())
	if p == nil || p.Reached > s.Asked || len(p.Drifting) > 0 && float64(ended) < driftWaits*float64(s.Most) {
		return false
	}
	p.StoppedAfter = ended
	s.found = p
	return true
}

// Found is how the run was ended; nil where it went on to its last request.
func (s *Stopper) Found() *Precision { return s.found }

// Reached is the precision of a run that was not ended early; nil where it was too
// short to tell.
func (s *Stopper) Reached(ts []Timing) *Precision { return s.judge(ts) }

// judge takes the precision of the requests so far, without those at the begin
// that keep the rest from being steady: the narrowest where none is good enough.
func (s *Stopper) judge(ts []Timing) (best *Precision) {
	n := 0 // those before the first that is still in flight: each of them counts, however long it took
	for n < len(ts) && ts[n].Index == n {
		if ts[n].Err != "" {
			return nil
		}
		n++
	}
	rounds := n / s.Conc
	for _, share := range heads {
		head := max(1, int(share*float64(rounds)))
		if rounds-head < leastRounds {
			break
		}
		p, from := s.precision(ts[head*s.Conc : n])
		better := best == nil || p.Reached < best.Reached && len(p.Drifting) <= len(best.Drifting)
		if better {
			best, s.head, s.tail = p, head*s.Conc+from, n
		}
		if p.Reached <= s.Asked && len(p.Drifting) == 0 {
			break
		}
	}
	return best
}

// precision takes the precision of requests that follow one another, from the
// position that it returns on: batches are of whole rounds, and all of one size.
func (s *Stopper) precision(ts []Timing) (p *Precision, from int) {
	rounds := len(ts) / s.Conc
	per := (rounds + mostBatches - 1) / mostBatches
	batches := rounds / per
	size := per * s.Conc
	from = len(ts) - batches*size
	ts = ts[from:]

	tokens, busy := make([]float64, batches), make([]float64, batches)
	for i, t := range ts {
		tokens[i/size] += float64(t.InputTokens + t.OutputTokens)
		busy[i/size] += t.E2EL().Seconds()
	}
	all, rate := stat.Mean(tokens, nil), stat.Mean(tokens, nil)/stat.Mean(busy, nil)
	residuals := make([]float64, batches)
	for i := range residuals {
		residuals[i] = tokens[i] - rate*busy[i]
	}
	p = &Precision{Asked: s.Asked}
	note := func(name string, half float64, drifts bool) float64 {
		p.Reached = max(p.Reached, half)
		if drifts {
			p.Drifting = append(p.Drifting, name)
		}
		return half
	}
	half, drifts := halfWidth(residuals)
	p.HalfWidths.Throughput = note("total_token_throughput", half/all, drifts)
	half, drifts = medianHalfWidth(ts, size, Timing.E2EL)
	p.HalfWidths.E2EL = note("median_e2el_ms", half, drifts)
	half, drifts = medianHalfWidth(ts, size, Timing.TTFT)
	p.HalfWidths.TTFT = note("median_ttft_ms", half, drifts)
	return p, from
}

// halfWidth is half of the interval of the mean of the batches by Student's t, and
// whether they have a trend.
func halfWidth(batches []float64) (half float64, drifts bool) {
	n := float64(len(batches))
	level := confidence
	if len(batches) < fewBatches {
		level = confidenceFew
	}
	half = quantileT(level, n-1) * stat.StdDev(batches, nil) / math.Sqrt(n)
	at := make([]float64, len(batches))
	for i := range at {
		at[i] = float64(i)
	}
	r := stat.Correlation(at, batches, nil) // not a number where all are alike
	return half, math.Abs(r)*math.Sqrt(n-2) > quantileT(driftSure, n-2)*math.Sqrt(1-r*r)
}

func quantileT(level, freedom float64) float64 {
	return distuv.StudentsT{Sigma: 1, Nu: freedom}.Quantile((1 + level) / 2)
}

// medianHalfWidth is half of the interval of a median, as a share of it: from the
// interval of the share of requests under it.
func medianHalfWidth(ts []Timing, size int, of func(Timing) time.Duration) (half float64, drifts bool) {
	values := make([]float64, len(ts))
	for i, t := range ts {
		values[i] = of(t).Seconds()
	}
	sorted := slices.Sorted(slices.Values(values))
	median := Percentile(sorted, 50)
	under := make([]float64, len(ts)/size)
	for i, v := range values {
		switch {
		case v < median:
			under[i/size] += 1 / float64(size)
		case v == median:
			under[i/size] += 0.5 / float64(size)
		}
	}
	share, drifts := halfWidth(under)
	low, high := Percentile(sorted, max(0, 50-100*share)), Percentile(sorted, min(100, 50+100*share))
	return max(high-median, median-low) / median, drifts
}

// Steady are the requests that count in a run that was ended early, and the time
// that they took: neither those at its begin that kept the rest from being steady,
// nor those that were in flight at its end, whose load was less and less. By
// Little's law CONC requests in flight take the sum of their times / CONC.
func (s *Stopper) Steady(ts []Timing) ([]Timing, time.Duration) {
	ts = ts[s.head:s.tail]
	var busy time.Duration
	for _, t := range ts {
		busy += max(t.Done, t.Last) - t.Sent
	}
	return ts, busy / time.Duration(s.Conc)
}

package capacity

import (
	"fmt"
	"math"
	"slices"
	"strings"

	moremath "github.com/aclements/go-moremath/stats"
	"gonum.org/v1/gonum/mathext"

	"inferbench/harness/stats"
)

// Verdict is what is known of a limit.
type Verdict string

const (
	Kept       Verdict = "kept"
	Missed     Verdict = "missed"
	Unresolved Verdict = "unresolved" // the requests do not suffice to say
)

// MissedReason begins the reason of a cell that FAILED for nothing but its limits.
const MissedReason = "SLO missed: "

// Judgement is a limit and what the requests say of it.
type Judgement struct {
	Limit    Limit    `json:"-"`
	SLO      string   `json:"slo"`
	Verdict  Verdict  `json:"verdict"`
	Value    *float64 `json:"value"`          // measured, in ms; of goodput the share; nil where there is none
	Requests int      `json:"requests"`       // judged
	Over     int      `json:"over,omitempty"` // of those, over the bound or failed
	Need     int      `json:"need,omitempty"` // more requests that would decide at this rate; 0 where none are needed or millions are
}

// String is the judgement in words: "ttft:p99<500 kept: 412 ms".
func (j Judgement) String() string {
	if j.Value == nil {
		return fmt.Sprintf("%s %s: no figure", j.SLO, j.Verdict)
	}
	value := fmt.Sprintf("%.4g ms", *j.Value)
	if j.Limit.Figure == Goodput {
		value = fmt.Sprintf("%.1f %%", *j.Value*100)
	}
	return fmt.Sprintf("%s %s: %s", j.SLO, j.Verdict, value)
}

// Figure is the limit and what was measured: "ttft:p99<500 was 612 ms".
func (j Judgement) Figure() string {
	return strings.Replace(j.String(), " "+string(j.Verdict)+":", " was", 1)
}

// Missed reports whether the figure itself is over its limit, decided or not.
func (j Judgement) Missed() bool {
	if j.Value == nil || j.Limit.Figure == Goodput {
		return j.Value == nil || *j.Value < j.Limit.Bound
	}
	return *j.Value > j.Limit.Bound
}

// InDoubt says how many more requests would decide a limit that is unresolved.
func (j Judgement) InDoubt() string {
	text := j.SLO
	if j.Value != nil {
		text = strings.Replace(j.Figure(), " was ", " is ", 1)
	}
	if j.Need > 0 {
		return fmt.Sprintf("%s after %d requests, some %d more would decide", text, j.Requests, j.Need)
	}
	return fmt.Sprintf("%s after %d requests, too near the limit to decide", text, j.Requests)
}

// Judge tests a limit on the requests of a run at a confidence, 0.95 for 95 %.
// slo are the levels that a request keeps to be good, for goodput.
//
// A limit on a percentile p is the claim that a share p of requests is under it.
// It is kept when so few over it would be seen with odds of at most
// 1 − confidence if the share were no more than p (MLPerf LoadGen's early
// stopping, loadgen/early_stopping.cc), and missed when so many would be if it
// were p. Of itl, whose gaps come in requests, the request is the unit. A mean is
// tested by Student's t over the means of blocks of requests that follow one
// another. A request that failed is over every limit.
func (l Limit) Judge(ts []stats.Timing, slo stats.SLO, confidence float64) Judgement {
	j := Judgement{Limit: l, SLO: l.String(), Verdict: Unresolved, Requests: len(ts)}
	switch {
	case len(ts) == 0:
	case l.Figure == "itl":
		l.judgeGaps(ts, confidence, &j)
	case l.share() == 0:
		l.judgeMean(ts, confidence, &j)
	default:
		l.judgeShare(ts, slo, confidence, &j)
	}
	return j
}

// judgeShare tests how many requests are over the bound.
func (l Limit) judgeShare(ts []stats.Timing, slo stats.SLO, confidence float64, j *Judgement) {
	var values []float64
	for _, t := range ts {
		over := t.Err != ""
		switch {
		case over:
		case l.Figure == Goodput:
			over = !slo.Good(t)
		default:
			v := l.value(t)
			if math.IsNaN(v) { // an answer of one token, or that came at once, has no TPOT
				j.Requests--
				continue
			}
			values = append(values, v)
			over = v > l.Bound
		}
		if over {
			j.Over++
		}
	}
	if j.Requests == 0 {
		return
	}
	if l.Figure == Goodput {
		share := 1 - float64(j.Over)/float64(j.Requests)
		j.Value = &share
	} else if len(values) > 0 {
		v := quantile(values, l.share())
		j.Value = &v
	}
	j.Verdict = decide(j.Requests, j.Over, l.share(), confidence)
	if j.Verdict == Unresolved {
		j.Need = need(j.Requests, j.Over, l.share(), confidence)
	}
}

// decide is the binomial test: n requests, over of them over the bound, where a
// share p must be under it.
func decide(n, over int, p, confidence float64) Verdict {
	switch {
	case atMost(over, n, 1-p) <= 1-confidence:
		return Kept
	case over > 0 && 1-atMost(over-1, n, 1-p) <= 1-confidence:
		return Missed
	}
	return Unresolved
}

// atMost is the probability of k or fewer of n, each with probability q: the
// regularised incomplete beta function I_{1−q}(n−k, k+1).
func atMost(k, n int, q float64) float64 {
	if k >= n {
		return 1
	}
	return mathext.RegIncBeta(float64(n-k), float64(k+1), 1-q)
}

// need is how many more requests would decide, were they over the bound as often
// as those so far; 0 where a million would not.
func need(n, over int, p, confidence float64) int {
	rate := float64(over) / float64(n)
	decided := func(m int) bool { return decide(m, int(math.Round(rate*float64(m))), p, confidence) != Unresolved }
	high := n
	for !decided(high) {
		if high *= 2; high > 1e6 {
			return 0
		}
	}
	low := n
	for high-low > 1 {
		if mid := (low + high) / 2; decided(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high - n
}

// judgeGaps tests the share of gaps over the bound, the request being the unit:
// gaps of one request share its luck.
func (l Limit) judgeGaps(ts []stats.Timing, confidence float64, j *Judgement) {
	var all, excess []float64
	p := l.share()
	for _, t := range ts {
		if t.Err != "" {
			j.Over++
			continue
		}
		n, under, sum := 0, 0, 0.0
		for gap := range t.ITL.All() {
			v := ms(gap)
			all = append(all, v)
			n++
			sum += v
			if v <= l.Bound {
				under++
			}
		}
		if n == 0 {
			continue
		}
		if p == 0 { // the mean: total time against what the bound would allow
			excess = append(excess, l.Bound*float64(n)-sum)
		} else {
			excess = append(excess, float64(under)-p*float64(n))
		}
	}
	if len(all) == 0 {
		return
	}
	v := moremath.Sample{Xs: all}.Mean()
	if p > 0 {
		v = quantile(all, p)
	}
	j.Value = &v
	if j.Over > 0 && p == 0 {
		j.Verdict = Missed
		return
	}
	j.Verdict = sign(blockMeans(excess), confidence)
}

// judgeMean tests the mean over the requests.
func (l Limit) judgeMean(ts []stats.Timing, confidence float64, j *Judgement) {
	var room []float64 // what is left to the bound
	sum := 0.0
	for _, t := range ts {
		if t.Err != "" {
			j.Over++
			continue
		}
		if v := l.value(t); !math.IsNaN(v) {
			room = append(room, l.Bound-v)
			sum += v
		}
	}
	if len(room) == 0 {
		return
	}
	mean := sum / float64(len(room))
	j.Value = &mean
	if j.Over > 0 { // a request without an answer has no finite latency
		j.Verdict = Missed
		return
	}
	j.Verdict = sign(blockMeans(room), confidence)
}

// blocks is how many blocks a run is cut into: enough for Student's t, few enough
// that neighbours in flight together fall into one.
const blocks = 10

// blockMeans are the means of successive blocks; the values themselves where
// there are too few to cut.
func blockMeans(xs []float64) []float64 {
	if len(xs) < 2*blocks {
		return xs
	}
	out := make([]float64, blocks)
	for i := range out {
		out[i] = moremath.Sample{Xs: xs[i*len(xs)/blocks : (i+1)*len(xs)/blocks]}.Mean()
	}
	return out
}

// sign tests whether the mean of xs is above zero (Kept) or below (Missed).
func sign(xs []float64, confidence float64) Verdict {
	if len(xs) < 3 {
		return Unresolved
	}
	s := moremath.Sample{Xs: xs}
	half := moremath.InvCDF(moremath.TDist{V: float64(len(xs) - 1)})(confidence) * s.StdDev() / math.Sqrt(float64(len(xs)))
	switch mean := s.Mean(); {
	case mean-half > 0:
		return Kept
	case mean+half < 0:
		return Missed
	}
	return Unresolved
}

// quantile is the share p of xs.
func quantile(xs []float64, p float64) float64 {
	return stats.Percentile(slices.Sorted(slices.Values(xs)), p*100)
}

// JudgeAll judges several limits, each and [Together].
func JudgeAll(limits []Limit, ts []stats.Timing, slo stats.SLO, confidence float64) (Verdict, []Judgement) {
	var out []Judgement
	for _, l := range limits {
		out = append(out, l.Judge(ts, slo, confidence))
	}
	return Together(out), out
}

// Together is the verdict on several limits: missed as soon as one is, kept when
// all are.
func Together(js []Judgement) Verdict {
	all := Kept
	for _, j := range js {
		switch {
		case j.Verdict == Missed:
			return Missed
		case j.Verdict == Unresolved:
			all = Unresolved
		}
	}
	return all
}

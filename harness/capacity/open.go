package capacity

import (
	"math"

	moremath "github.com/aclements/go-moremath/stats"

	"inferbench/harness/stats"
)

// JudgeOpen judges the limits of requests that come at a rate of their own, as
// [JudgeAll] does those of a closed loop. No rate is kept at which requests may be
// queueing up ([Queues]).
func JudgeOpen(limits []Limit, ts []stats.Timing, slo stats.SLO, confidence float64) (Verdict, []Judgement) {
	_, out := JudgeAll(limits, ts, slo, confidence)
	queues := Queues(ts)
	for i := range out {
		if j := &out[i]; j.Verdict == Kept && queues {
			j.Verdict, j.Need = Unresolved, j.Requests
		}
	}
	return Together(out), out
}

// mostOverload is by how much a rate may be above what the server can do and still
// pass: where requests queue up, each second of load adds (rate / what it can do) − 1
// seconds to how long the next one takes.
const mostOverload = 0.05

// Queues reports whether requests that come at a rate of their own may be queueing
// up: whether E2EL may rise by more than mostOverload for each second, at 95 %
// confidence, over the last two thirds of them. Whatever limits the first of them
// keep, such a rate keeps none for long.
func Queues(ts []stats.Timing) bool {
	var at, waits []float64
	for _, t := range ts[len(ts)/3:] {
		if t.Err == "" {
			at, waits = append(at, (t.Sent-t.Waited).Seconds()), append(waits, t.E2EL().Seconds())
		}
	}
	at, waits = blockMeans(at), blockMeans(waits)
	n := float64(len(at))
	if n < 4 {
		return true
	}
	midX, midY := moremath.Mean(at), moremath.Mean(waits)
	var xy, xx, yy float64
	for i := range at {
		x, y := at[i]-midX, waits[i]-midY
		xy, xx, yy = xy+x*y, xx+x*x, yy+y*y
	}
	slope := xy / xx
	se := math.Sqrt(max(yy-slope*xy, 0) / (n - 2) / xx)
	return slope+moremath.InvCDF(moremath.TDist{V: n - 2})(0.95)*se > mostOverload
}

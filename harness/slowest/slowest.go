// Package slowest says what the slowest requests of a run had in common: it lays
// them beside what was sampled meanwhile (the server's queue, preemptions, KV
// cache, others' prompts, transfers, clocks that throttled, the client itself). It
// is pure: no clock, no network, no files.
//
// A cause is named only where at least half of the slowest requests met it, a
// quarter of the others at most did, and chance does not do that (see [Explain]).
// Met together is not caused by: the sentence says the former.
package slowest

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"inferbench/harness/stats"
)

// Finding is what is known of the slowest requests of a run.
type Finding struct {
	Requests int      `json:"requests"`         // that are meant
	Of       int      `json:"of"`               // that were answered
	Times    float64  `json:"times"`            // how many times as long they took as others of their length, median
	Common   []Common `json:"common,omitempty"` // what they had in common, in the order of the causes
	Looked   []string `json:"looked_at"`        // the causes that could have been seen
	Sentence string   `json:"sentence"`         // for people
}

// Common is what the slowest requests had in common.
type Common struct {
	Cause  string  `json:"cause"`
	Share  float64 `json:"share"`           // of the slowest requests
	Others float64 `json:"share_of_others"` // of all other requests
	says   string
	p      float64
}

// Limits of what is worth a word.
const (
	fewest   = 50   // requests, below which the slowest hundredth says nothing
	atLeast  = 5    // of the slowest, however few the requests
	slower   = 1.2  // times as long as others of their length: below it there is nothing to explain
	most     = 0.5  // of the slowest at least must have met a cause
	few      = 0.25 // of the others at most
	unlikely = 0.01 // chance, for all causes together
	named    = 2    // causes at most in a sentence
)

// Explain lays the slowest hundredth of the requests that were answered (five at
// least) beside what was sampled. Slow is a request by how much longer it took than
// one of its length at the run's median TTFT and TPOT.
//
// Each request is exposed to a cause by the mean of its series over the request's
// life. A cause is met where that is above a level: the series's floor, or what half,
// three quarters, 90, 95 or 99 % of the other requests were exposed to, whichever tells
// best. It is common where at least half of the slowest met it and a quarter of the
// others at most, Fisher's exact test finds that unlikely by chance (0.01, divided by
// the number of causes and levels), and they did so twice as often as requests of
// their length that began when others did: those who take long meet more, whatever it
// is. Give causes in order, those first that others come of: a sentence names two.
func Explain(ts []stats.Timing, causes []Series) *Finding {
	ts = slices.DeleteFunc(slices.Clone(ts), func(t stats.Timing) bool { return t.Err != "" })
	f := &Finding{Of: len(ts)}
	for _, c := range causes {
		if !slices.Contains(f.Looked, c.Cause) {
			f.Looked = append(f.Looked, c.Cause)
		}
	}
	if len(ts) < fewest {
		f.Sentence = fmt.Sprintf("%d requests are too few to tell what the slowest had in common.", len(ts))
		return f
	}
	slow, others := split(ts)
	var times []float64
	for _, r := range slow {
		times = append(times, r.times)
	}
	slices.Sort(times)
	f.Requests, f.Times = len(slow), round(stats.Percentile(times, 50))
	begin := fmt.Sprintf("The slowest %d of %d requests took %s times as long as others of their length", f.Requests, f.Of,
		short(f.Times))
	if f.Times < slower {
		f.Sentence = begin + ": there is nothing to explain."
		return f
	}
	f.Common = common(slow, others, causes)
	switch {
	case len(f.Common) > 0:
		f.Sentence = begin + ". " + f.tell() + "."
	case len(causes) == 0:
		f.Sentence = begin + "; nothing was sampled that could say why."
	default:
		f.Sentence = begin + "; they had nothing in common of what was looked at (" + strings.Join(f.Looked, ", ") + ")."
	}
	return f
}

// tell says what was common.
func (f *Finding) tell() string {
	var parts []string
	for _, c := range f.Common {
		parts = append(parts, fmt.Sprintf("%s (%s of the others)", c.says, percent(c.Others)))
	}
	who := "All of them"
	if share := f.Common[0].Share; share < 1 {
		who = fmt.Sprintf("%d of them", int(math.Round(share*float64(f.Requests))))
	}
	return who + " " + strings.Join(parts, ", and ")
}

// request is one that was answered.
type request struct {
	stats.Timing
	from, to time.Duration // its life, as the user sees it
	excess   float64       // s, by which it took longer than others of its length
	times    float64       // how many times as long
}

// split tells the slowest from the others. Of the slowest hundredth those count
// that are slow beside the five slowest: where a stall holds up fewer, the rest are
// ordinary.
func split(ts []stats.Timing) (slow, others []request) {
	var ttft, tpot []float64
	for _, t := range ts {
		ttft = append(ttft, t.TTFT().Seconds())
		if t.HasTPOT() {
			tpot = append(tpot, t.TPOT().Seconds())
		}
	}
	slices.Sort(ttft)
	first, each := stats.Percentile(ttft, 50), 0.0
	if len(tpot) > 0 {
		slices.Sort(tpot)
		each = stats.Percentile(tpot, 50)
	}
	var all []request
	for _, t := range ts {
		expected := max(first+each*float64(t.OutputTokens-1), 1e-9)
		all = append(all, request{Timing: t, from: t.Sent - t.Waited, to: t.Last, excess: t.E2EL().Seconds() - expected,
			times: t.E2EL().Seconds() / expected})
	}
	slices.SortStableFunc(all, func(a, b request) int { return cmp.Compare(b.excess, a.excess) })
	n := max(atLeast, (len(all)+99)/100)
	enough := all[atLeast/2].excess / 4
	for n > atLeast && (all[n-1].excess < enough || all[n-1].times < slower) {
		n--
	}
	return all[:n], all[n:]
}

// common lists what the slow had in common, each cause once, in the order in which
// causes were given: several that pass were met at one time, and no test tells which of
// them comes of another.
func common(slow, others []request, causes []Series) (out []Common) {
	var lives []time.Duration
	for _, r := range slow {
		lives = append(lives, r.to-r.from)
	}
	slices.Sort(lives)
	life := lives[len(lives)/2]
	for _, c := range causes {
		theirs, own, longer := make([]float64, len(slow)), make([]float64, len(others)), make([]float64, len(others))
		for i, r := range others {
			own[i] = c.exposure(r, r.to)
			longer[i] = c.exposure(r, max(r.to, r.from+life))
		}
		for i, r := range slow {
			theirs[i] = c.exposure(r, r.to)
			if c.spans && theirs[i]*(r.to-r.from).Seconds() < r.excess/4 {
				theirs[i] = 0
			}
		}
		found, ok := c.best(theirs, own, longer, unlikely/float64(len(causes)*(1+len(levels))))
		if !ok {
			continue
		}
		if i := slices.IndexFunc(out, func(o Common) bool { return o.Cause == c.Cause }); i < 0 {
			out = append(out, found)
		} else if found.p < out[i].p {
			out[i] = found
		}
	}
	return out[:min(len(out), named)]
}

// levels are the percentiles of the other requests' exposures above which a cause
// may be met, beside the series's floor alone.
var levels = []float64{50, 75, 90, 95, 99}

// best lays the slow requests' exposures beside the others', at the level that tells
// them apart best; false where none does. longer are those of the others if they had
// taken as long as the slow.
func (s Series) best(slow, others, longer []float64, chance float64) (out Common, ok bool) {
	sorted := slices.Sorted(slices.Values(others))
	limits := []float64{s.Floor}
	for _, level := range levels {
		limits = append(limits, max(s.Floor, stats.Percentile(sorted, level)))
	}
	for _, limit := range limits {
		above := func(v float64) bool { return v > limit }
		a, b := count(slow, above), count(others, above)
		share, theirs := part(a, len(slow)), part(b, len(others))
		p := fisher(a, len(slow), b, len(others))
		if share < most || theirs > few || p > chance || share < 2*part(count(longer, above), len(others)) ||
			ok && p >= out.p {
			continue
		}
		out, ok = Common{Cause: s.Cause, Share: round(share), Others: round(theirs), says: s.Says, p: p}, true
	}
	return out, ok
}

func count(values []float64, is func(float64) bool) (n int) {
	for _, v := range values {
		if is(v) {
			n++
		}
	}
	return n
}

func part(n, of int) float64 { return float64(n) / float64(max(of, 1)) }

// fisher is the chance that of a+c hits among n+m draws so many as a or more fall
// among the n: Fisher's exact test, one-sided.
func fisher(a, n, c, m int) float64 {
	hits := a + c
	choose := func(n, k int) float64 {
		if k < 0 || k > n {
			return math.Inf(-1)
		}
		x, _ := math.Lgamma(float64(n + 1))
		y, _ := math.Lgamma(float64(k + 1))
		z, _ := math.Lgamma(float64(n - k + 1))
		return x - y - z
	}
	p, all := 0.0, choose(n+m, hits)
	for k := a; k <= min(n, hits); k++ {
		p += math.Exp(choose(n, k) + choose(m, hits-k) - all)
	}
	return min(p, 1)
}

func round(v float64) float64 { return math.Round(v*1000) / 1000 }

func short(v float64) string {
	if v >= 10 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

func percent(share float64) string {
	if share > 0 && share < 0.01 {
		return fmt.Sprintf("%.1f %%", 100*share)
	}
	return fmt.Sprintf("%.0f %%", 100*share)
}

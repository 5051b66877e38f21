package capacity

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Options say where a load is searched.
type Options struct {
	Varies    string  // what the load is, as it is told: CONC or REQUEST_RATE
	Start     float64 // the first load; doubled until the limits are missed; 0 = 4
	Least     float64 // below this nothing is tried; 0 = 1
	Most      float64 // above this neither; 0 = 1024
	Tolerance float64 // (missed − kept) / missed at which the search ends; 0 = 0.1
	Probes    int     // at most so many; 0 = 15
	Whole     bool    // loads are whole numbers
}

func (o Options) withDefaults() Options {
	fill := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	fill(&o.Start, 4)
	fill(&o.Least, 1)
	fill(&o.Most, 1024)
	fill(&o.Tolerance, 0.1)
	if o.Probes == 0 {
		o.Probes = 15
	}
	o.Start = min(max(o.Start, o.Least), o.Most)
	return o
}

// Probe is one load that was tried.
type Probe struct {
	Load       float64     `json:"load"`
	Verdict    Verdict     `json:"verdict"`
	Judgements []Judgement `json:"judgements"`
	Requests   int         `json:"requests"` // that it took
	Reason     string      `json:"reason,omitempty"`

	ClientLimited bool `json:"client_limited,omitempty"` // the client, not the server, may have missed the limits
}

// Answer is what a search found.
type Answer struct {
	Options Options
	Kept    *Probe // the most load that keeps the limits; nil where none does
	Broken  *Probe // the least load above it that does not, or could not be told; nil where all were kept
	Probes  []Probe
	Ended   string // why the search ended, where the bracket is wider than the tolerance
}

// Requests is how many requests all probes took.
func (a Answer) Requests() (n int) {
	for _, p := range a.Probes {
		n += p.Requests
	}
	return n
}

// Found reports whether the bracket is as narrow as was asked for.
func (a Answer) Found() bool { return a.Kept != nil && a.Broken != nil && a.Ended == "" }

// String is the answer in one sentence.
func (a Answer) String() string {
	name := func(p *Probe) string { return fmt.Sprintf("%s %.4g", a.Options.Varies, p.Load) }
	why := func(p *Probe) string {
		if p.Verdict == Unresolved {
			return fmt.Sprintf("%s is unresolved: %s", trimLoad(p.Load), p.unresolved())
		}
		return fmt.Sprintf("%s does not: %s", trimLoad(p.Load), p.missed())
	}
	end := ""
	if a.Ended != "" {
		end = "; " + a.Ended
	}
	if a.Broken != nil && a.Broken.ClientLimited {
		end += "; there the client was the limit, so the server may carry more: give the client more CPU, and search again"
	}
	switch {
	case a.Kept == nil && a.Broken == nil:
		return "nothing was tried" + end
	case a.Kept == nil && a.Broken.Verdict == Unresolved:
		return fmt.Sprintf("no load was shown to keep the limits: %s is unresolved: %s%s", name(a.Broken),
			a.Broken.unresolved(), end)
	case a.Kept == nil:
		return fmt.Sprintf("no load keeps the limits: %s does not: %s%s", name(a.Broken), a.Broken.missed(), end)
	case a.Broken == nil:
		return fmt.Sprintf("%s keeps all limits at 95 %% confidence, and more was not tried%s", name(a.Kept), end)
	}
	return fmt.Sprintf("%s keeps all limits at 95 %% confidence; %s%s", name(a.Kept), why(a.Broken), end)
}

func trimLoad(v float64) string { return fmt.Sprintf("%.4g", v) }

// missed says which limits were missed, and by what.
func (p Probe) missed() string {
	var out []string
	for _, j := range p.Judgements {
		if j.Verdict == Missed && j.Value != nil {
			out = append(out, j.Figure())
		}
	}
	if len(out) == 0 {
		return p.Reason
	}
	return strings.Join(out, ", ")
}

// unresolved says what it would take to tell.
func (p Probe) unresolved() string {
	var out []string
	for _, j := range p.Judgements {
		if j.Verdict == Unresolved {
			out = append(out, j.InDoubt())
		}
	}
	return strings.Join(out, ", ")
}

// String is what a probe found, in a few words.
func (p Probe) String() string {
	var out []string
	for _, j := range p.Judgements {
		out = append(out, j.String())
	}
	if p.Reason != "" {
		out = append(out, p.Reason)
	}
	return fmt.Sprintf("%s (%d requests): %s", p.Verdict, p.Requests, strings.Join(out, ", "))
}

// Search finds the most load that keeps the limits: it doubles from Start until a
// probe does not keep them, then bisects. A probe that stays unresolved counts as
// not kept, so that the answer is on the safe side, and is told as unresolved.
// The error is that of a probe, or of the context; the answer then has what was
// found before.
func Search(ctx context.Context, o Options, probe func(context.Context, float64) (Probe, error)) (*Answer, error) {
	o = o.withDefaults()
	a := &Answer{Options: o}
	try := func(load float64) (kept bool, err error) {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		p, err := probe(ctx, load)
		if err != nil {
			return false, err
		}
		p.Load = load
		a.Probes = append(a.Probes, p)
		if p.Verdict == Kept {
			a.Kept = &p
		} else {
			a.Broken = &p
		}
		return p.Verdict == Kept, nil
	}
	for load := o.Start; ; {
		kept, err := try(load)
		if err != nil {
			return a, err
		}
		next := load * 2
		if !kept {
			next = load / 2
		}
		if a.Kept != nil && a.Broken != nil {
			break
		}
		if kept && load >= o.Most {
			a.Ended = fmt.Sprintf("%s %s is the most that was allowed", o.Varies, trimLoad(o.Most))
			return a, nil
		}
		if !kept && load <= o.Least {
			return a, nil
		}
		load = o.round(min(max(next, o.Least), o.Most))
	}
	for len(a.Probes) < o.Probes {
		mid := o.round((a.Kept.Load + a.Broken.Load) / 2)
		if (a.Broken.Load-a.Kept.Load)/a.Broken.Load <= o.Tolerance || mid <= a.Kept.Load || mid >= a.Broken.Load {
			return a, nil
		}
		if _, err := try(mid); err != nil {
			return a, err
		}
	}
	if (a.Broken.Load-a.Kept.Load)/a.Broken.Load > o.Tolerance {
		a.Ended = fmt.Sprintf("%d probes were made, the most that were allowed", o.Probes)
	}
	return a, nil
}

// round rounds a load to what one can type: a whole number, or three digits.
func (o Options) round(load float64) float64 {
	if o.Whole {
		return math.Floor(load)
	}
	v, err := strconv.ParseFloat(strconv.FormatFloat(load, 'g', 3, 64), 64)
	if err != nil {
		return load
	}
	return v
}

// Look is one of the times at which a probe is judged.
type Look struct {
	Requests   int     // after so many
	Confidence float64 // that a judgement needs then
	Early      bool    // it can only end what is hopeless
}

// Decides reports whether a verdict at this look ends the probe.
func (l Look) Decides(v Verdict) bool { return v == Missed || v == Kept && !l.Early }

// Looks lists when a probe is judged, so that all looks together are wrong with
// odds of at most 1 − confidence: each spends its part of them (Bonferroni's
// inequality). The early ones spend next to nothing: they end a probe that is
// hopeless. The first that can find every limit kept comes where none over it
// suffices, and is followed by two of twice as many requests each. With conc in
// flight, requests that run together share their luck and the first of all begin
// together: so no look comes before two waves, and none that can find the limits
// kept before ten.
func Looks(limits []Limit, conc int, confidence float64) []Look {
	return looks(limits, conc, 3, confidence)
}

// LooksOpen are the looks at requests that come at a rate of their own. How many are
// in flight is not known before, and bursts share their luck for longer than a wave
// lasts: so it looks later, and once more.
func LooksOpen(limits []Limit, confidence float64) []Look { return looks(limits, 100, 4, confidence) }

func looks(limits []Limit, conc, late int, confidence float64) []Look {
	const early, spent = 3, 0.001
	each := 1 - (1-confidence-early*spent)/float64(late)
	n := max(first(limits, each), 10*conc)
	var out []Look
	for i := early; i > 0; i-- {
		out = append(out, Look{max(n>>i, 2*conc), 1 - spent, true})
	}
	for i := range late {
		out = append(out, Look{n << i, each, false})
	}
	return out
}

// first is the fewest requests that can decide every limit in its favour: none
// over it. A p99 at 95 % takes 299.
func first(limits []Limit, confidence float64) int {
	n := 2 * blocks
	for _, l := range limits {
		if p := l.share(); p > 0 {
			n = max(n, int(math.Ceil(math.Log(1-confidence)/math.Log(p))))
		}
	}
	return n
}

// Sorted lists the probes by load.
func (a Answer) Sorted() []Probe {
	return slices.SortedFunc(slices.Values(a.Probes), func(x, y Probe) int { return cmp.Compare(x.Load, y.Load) })
}

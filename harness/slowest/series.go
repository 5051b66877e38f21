package slowest

import (
	"cmp"
	"math"
	"slices"
	"sort"
	"time"

	"inferbench/harness/stats"
)

// Series is something that was sampled over a run and may make requests slow.
// Times count from the start of the run.
type Series struct {
	Cause string  // what it is, in a word or two: "queue"
	Says  string  // what the requests that met it did: "waited while the server's queue was longer"
	Floor float64 // exposure up to which it makes nothing slow

	steps []step // in order, without overlap
	sums  []float64
	own   func(stats.Timing) float64 // what a request adds itself, in value times seconds; nil: nothing
	each  func(stats.Timing) float64 // in place of steps: the exposure of each request
	spans bool                       // its steps are spells in which nothing went on
}

// step is a value from an instant to another.
type step struct {
	from, to time.Duration
	value    float64
}

// Sample is a look at something; a nil value was not told.
type Sample struct {
	At    time.Duration
	Value *float64
}

// Gauge makes a series of looks at something that rises and falls: each stands for
// the time that is nearer to it than to another.
func Gauge(looks []Sample) Series {
	looks = told(looks)
	var s Series
	for i, l := range looks {
		from, to := l.At, l.At
		if i > 0 {
			from = (looks[i-1].At + l.At) / 2
		}
		if i+1 < len(looks) {
			to = (l.At + looks[i+1].At) / 2
		}
		s.steps = append(s.steps, step{from, to, *l.Value})
	}
	return s.done()
}

// Counter makes a series of looks at something that only grows: by how much a
// second between one and the next. Where it fell, it began again, and nothing is
// known.
func Counter(looks []Sample) Series {
	looks = told(looks)
	var s Series
	for i := 1; i < len(looks); i++ {
		a, b := looks[i-1], looks[i]
		if grown := *b.Value - *a.Value; grown >= 0 && b.At > a.At {
			s.steps = append(s.steps, step{a.At, b.At, grown / (b.At - a.At).Seconds()})
		}
	}
	return s.done()
}

// Spans makes a series that is 1 in spells in which nothing went on, else 0, so that
// the exposure to it is the share of a request's life. Spells that make up less than a
// quarter of what a request took too long are not why.
func Spans(spans [][2]time.Duration) Series {
	s := Series{spans: true}
	for _, p := range spans {
		s.steps = append(s.steps, step{p[0], p[1], 1})
	}
	return s.done()
}

// Prompts makes a series of the tokens a second that others' prompts took, as far as
// the run's own requests tell: each one's prompt from when it was sent to its first
// token.
func Prompts(ts []stats.Timing) Series {
	type edge struct {
		at   time.Duration
		rate float64
	}
	var edges []edge
	for _, t := range ts {
		if d := (t.First - t.Sent).Seconds(); t.Err == "" && d > 0 && !t.Prompt.Unknown {
			rate := float64(t.InputTokens-t.Prompt.Cached) / d
			edges = append(edges, edge{t.Sent, rate}, edge{t.First, -rate})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Compare(a.at, b.at) })
	s := Series{own: func(t stats.Timing) float64 { return float64(t.InputTokens - t.Prompt.Cached) }}
	rate := 0.0
	for i, e := range edges {
		rate += e.rate
		if i+1 < len(edges) && edges[i+1].at > e.at {
			s.steps = append(s.steps, step{e.at, edges[i+1].at, max(rate, 0)})
		}
	}
	return s.done()
}

// Each makes a series of something that each request has of its own.
func Each(of func(stats.Timing) float64) Series { return Series{each: of} }

func told(looks []Sample) []Sample {
	return slices.DeleteFunc(slices.Clone(looks), func(l Sample) bool {
		return l.Value == nil || math.IsNaN(*l.Value) || math.IsInf(*l.Value, 0)
	})
}

// done orders the steps and adds them up, so that a request is laid beside them in
// no time.
func (s Series) done() Series {
	slices.SortFunc(s.steps, func(a, b step) int { return cmp.Compare(a.from, b.from) })
	for i := 1; i < len(s.steps); i++ { // spans may overlap
		s.steps[i].from = max(s.steps[i].from, s.steps[i-1].to)
		s.steps[i].to = max(s.steps[i].to, s.steps[i].from)
	}
	s.sums = make([]float64, len(s.steps)+1)
	for i, p := range s.steps {
		s.sums[i+1] = s.sums[i] + p.value*(p.to-p.from).Seconds()
	}
	return s
}

// Known reports whether there is anything to lay a request beside.
func (s Series) Known() bool { return len(s.steps) > 0 || s.each != nil }

// until is the sum of value times seconds up to an instant.
func (s Series) until(at time.Duration) float64 {
	i := sort.Search(len(s.steps), func(i int) bool { return s.steps[i].to > at })
	if i == len(s.steps) || s.steps[i].from >= at {
		return s.sums[i]
	}
	return s.sums[i] + s.steps[i].value*(at-s.steps[i].from).Seconds()
}

// exposure is the mean of the series over a request's life, which ends at an
// instant, without what the request adds itself.
func (s Series) exposure(r request, to time.Duration) float64 {
	if s.each != nil {
		return s.each(r.Timing)
	}
	d := (to - r.from).Seconds()
	if d <= 0 {
		return 0
	}
	sum := s.until(to) - s.until(r.from)
	if s.own != nil {
		sum -= s.own(r.Timing)
	}
	return max(sum, 0) / d
}

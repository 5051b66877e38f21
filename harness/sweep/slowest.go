package sweep

import (
	"strings"
	"time"

	"inferbench/harness/scrape"
	"inferbench/harness/slowest"
	"inferbench/harness/stats"
)

// explain says what the slowest requests of a pass had in common, of whatever was
// sampled beside it. Causes that others come of go first: a client or a server that
// stands still, then clocks, then what the server ran out of, its queue last.
func (m *measured) explain() *slowest.Finding {
	causes := append(m.ofClient(), m.ofServer()...)
	return slowest.Explain(m.rec.Timings, append(causes, m.queues()...))
}

// cause gives a series its words, where there is anything to lay requests beside.
func cause(list []slowest.Series, s slowest.Series, name, says string, floor float64) []slowest.Series {
	if !s.Known() {
		return list
	}
	s.Cause, s.Says, s.Floor = name, says, floor
	return append(list, s)
}

// Exposures that make nothing slow: a share of a request's life, requests that wait,
// a share of the KV cache.
const (
	briefly  = 0.05
	noQueue  = 1
	notFull  = 0.95
	fullPace = 0.05 // by which share clocks may be below their best
)

// looks are what the looks at the server's metrics showed of a figure; nil where
// there were none, or where they are of several servers in turn.
func (m *measured) looks(of func(s *scrape.Sample) *float64) (list []slowest.Sample) {
	if m.seen == nil || m.seen.Dropped != "" && m.seen.MaxRunning == nil {
		return nil
	}
	for i := range m.seen.Samples {
		s := &m.seen.Samples[i]
		list = append(list, slowest.Sample{At: instant(s.AtS), Value: of(s)})
	}
	return list
}

// ofServer are the causes that the server's metrics and its GPUs tell of.
func (m *measured) ofServer() (out []slowest.Series) {
	if m.seen != nil {
		out = cause(out, slowest.Spans(m.silent()), "silence",
			"were under way while the server did not answer at /metrics either", briefly)
	}
	best := 0.0
	for _, s := range m.used.samples {
		if s.SMClock != nil {
			best = max(best, *s.SMClock)
		}
	}
	var clocks []slowest.Sample
	for _, s := range m.used.samples {
		if s.SMClock != nil && (s.Utilization == nil || *s.Utilization > 0.5) {
			clocks = append(clocks, slowest.Sample{At: instant(s.AtS), Value: new(1 - *s.SMClock/best)})
		}
	}
	out = cause(out, slowest.Gauge(clocks), "throttling", "were under way while the GPUs' clocks were lower", fullPace)
	preempted := m.looks(func(s *scrape.Sample) *float64 { return s.Preemptions })
	out = cause(out, slowest.Counter(preempted), "preemption",
		"were under way while the server put requests back for want of KV cache", 0)
	moving := m.looks(func(s *scrape.Sample) *float64 { return inTransfer(s.Queues) })
	out = cause(out, slowest.Gauge(moving), "transfer",
		"were under way while more requests waited for their KV cache to come from elsewhere", noQueue)
	moved := m.looks(func(s *scrape.Sample) *float64 { return s.Moved })
	out = cause(out, slowest.Counter(moved), "transfer", "were under way while more KV cache came from elsewhere", 0)
	full := m.looks(func(s *scrape.Sample) *float64 { return s.KVCache })
	return cause(out, slowest.Gauge(full), "KV cache", "were under way while the KV cache was full", notFull)
}

// queues are the causes that are often there because of another: prompts of others
// and the server's queue.
func (m *measured) queues() (out []slowest.Series) {
	prompts := m.looks(func(s *scrape.Sample) *float64 { return s.Prompts })
	out = cause(out, slowest.Counter(prompts), "others' prompts",
		"were under way while the server computed more prompts", 0)
	out = cause(out, slowest.Prompts(m.rec.Timings), "others' prompts",
		"were under way while more prompts of others waited for their first token", 0)
	waiting := m.looks(func(s *scrape.Sample) *float64 { return s.Waiting })
	return cause(out, slowest.Gauge(waiting), "queue", "were under way while the server's queue was longer", noQueue)
}

// ofClient are the causes that lie with the client or with the requests themselves.
func (m *measured) ofClient() (out []slowest.Series) {
	waits, cached, lengths := false, false, map[int]bool{}
	for _, t := range m.rec.Timings {
		waits = waits || t.Waited > 0
		cached = cached || t.Prompt.Cached > 0
		lengths[t.InputTokens] = true
	}
	out = cause(out, slowest.Spans(m.rec.StoodStill), "the client",
		"were under way while the client itself stood still", briefly)
	if waits {
		out = cause(out, slowest.Each(func(t stats.Timing) float64 { return t.Waited.Seconds() }), "waiting for CONC",
			"had waited longer here, until fewer than CONC were in flight", 0.001)
	}
	switch {
	case cached:
		out = cause(out, slowest.Each(func(t stats.Timing) float64 { return float64(t.InputTokens - t.Prompt.Cached) }),
			"prefix cache", "found less of their prompts in the prefix cache", 0)
	case len(lengths) > 1:
		out = cause(out, slowest.Each(func(t stats.Timing) float64 { return float64(t.InputTokens) }), "long prompts",
			"had longer prompts", 0)
	}
	return out
}

// inTransfer is how many requests wait for their KV cache, of queues by their names;
// nil where there are none. Those that wait for another reason are in the server's
// one queue too.
func inTransfer(queues map[string]float64) (sum *float64) {
	for name, n := range queues {
		if !strings.Contains(name, "waiting") {
			if sum == nil {
				sum = new(0.0)
			}
			*sum += n
		}
	}
	return sum
}

// silent are the spells in which the server answered no look for much longer than
// looks are apart, though the client was there to ask.
func (m *measured) silent() (out [][2]time.Duration) {
	all := m.seen.Samples
	for i := 1; i < len(all); i++ {
		from, to := instant(all[i-1].AtS+m.seen.Every), instant(all[i].AtS)
		stood := time.Duration(0)
		for _, s := range m.rec.StoodStill {
			stood += max(0, min(s[1], to)-max(s[0], from))
		}
		if to-from > instant(2*m.seen.Every) && stood < (to-from)/2 {
			out = append(out, [2]time.Duration{from, to})
		}
	}
	return out
}

func instant(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

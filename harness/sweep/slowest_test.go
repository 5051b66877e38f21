package sweep

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/load"
	"inferbench/harness/power"
	"inferbench/harness/scrape"
	"inferbench/harness/stats"
)

// Everything that is sampled beside a pass is laid beside its slowest requests, in
// words of its own. In each case the requests from 100 to 110 s are slow.
func TestWhatIsSampledIsLaidBesideTheSlowest(t *testing.T) {
	slow := func(at float64) bool { return at >= 100 && at < 110 }
	look := func(set func(s *scrape.Sample, at float64)) *scrape.Report {
		r := &scrape.Report{Every: 1, MaxRunning: new(1.0)}
		for at := range 301 {
			s := scrape.Sample{AtS: float64(at)}
			set(&s, float64(at))
			r.Samples = append(r.Samples, s)
		}
		return r
	}
	grows := func(at float64) *float64 { return new(max(0, min(at, 110)-100)) }
	for want, change := range map[string]func(*measured){
		"queue": func(m *measured) {
			m.seen = look(func(s *scrape.Sample, at float64) {
				if s.Waiting = new(0.0); slow(at) {
					*s.Waiting = 9
				}
			})
		},
		"preemption": func(m *measured) {
			m.seen = look(func(s *scrape.Sample, at float64) { s.Preemptions = grows(at) })
		},
		"KV cache": func(m *measured) {
			m.seen = look(func(s *scrape.Sample, at float64) {
				if s.KVCache = new(0.5); slow(at) {
					*s.KVCache = 0.99
				}
			})
		},
		"others' prompts": func(m *measured) {
			m.seen = look(func(s *scrape.Sample, at float64) { s.Prompts = new(100*at + 9000**grows(at)) })
		},
		"transfer": func(m *measured) {
			m.seen = look(func(s *scrape.Sample, at float64) { s.Moved = grows(at) })
		},
		"silence": func(m *measured) {
			m.seen = look(func(s *scrape.Sample, at float64) { s.AtS = at; s.Waiting = new(0.0) })
			m.seen.Samples = append(m.seen.Samples[:100:100], m.seen.Samples[110:]...)
		},
		"throttling": func(m *measured) {
			for at := range 300 {
				s := power.Sample{AtS: float64(at), SMClock: new(1980.0), Utilization: new(0.99)}
				if slow(float64(at)) {
					*s.SMClock = 1200
				}
				m.used.samples = append(m.used.samples, s)
			}
		},
		"the client": func(m *measured) { m.rec.StoodStill = [][2]time.Duration{{100 * time.Second, 109 * time.Second}} },
		"waiting for CONC": func(m *measured) {
			for i := range m.rec.Timings {
				if q := &m.rec.Timings[i]; q.E2EL() > time.Second {
					q.Waited = q.E2EL() / 2
					q.Sent += q.Waited
				} else {
					q.Waited = time.Microsecond
				}
			}
		},
		"long prompts": func(m *measured) {
			for i := range m.rec.Timings {
				if q := &m.rec.Timings[i]; q.E2EL() > time.Second {
					q.InputTokens = 5000
				}
			}
		},
		"prefix cache": func(m *measured) {
			for i := range m.rec.Timings {
				if q := &m.rec.Timings[i]; q.E2EL() <= time.Second {
					q.Prompt.Cached = 90
				}
			}
		},
	} {
		t.Run(want, func(t *testing.T) {
			m := &measured{rec: &load.Recording{}}
			for i := range 1000 {
				sent := time.Duration(i) * 290 * time.Millisecond
				took := time.Second
				if sent > 101*time.Second && sent < 105*time.Second {
					took = 4 * time.Second
				}
				m.rec.Timings = append(m.rec.Timings, stats.Timing{Index: i, Sent: sent, First: sent + took/10, Last: sent + took,
					InputTokens: 100, OutputTokens: 10})
			}
			change(m)
			f := m.explain()
			require.NotEmpty(t, f.Common, f.Sentence)
			assert.Equal(t, want, f.Common[0].Cause, f.Sentence)
			assert.Contains(t, f.Sentence, "All of them ")
		})
	}

	// A client that stood still did not look: the server was not silent.
	m := &measured{rec: &load.Recording{StoodStill: [][2]time.Duration{{99 * time.Second, 108 * time.Second}}},
		seen: look(func(s *scrape.Sample, at float64) { s.Waiting = new(0.0) })}
	m.seen.Samples = append(m.seen.Samples[:100:100], m.seen.Samples[110:]...)
	assert.Empty(t, m.silent())
	m.rec.StoodStill = nil
	assert.Len(t, m.silent(), 1)

	// Looks at several servers in turn, as behind a router, say nothing.
	m = &measured{rec: &load.Recording{}, seen: look(func(s *scrape.Sample, at float64) { s.Waiting = new(at) })}
	m.seen.Dropped, m.seen.MaxRunning = "from one look to the next it fell", nil
	assert.Nil(t, m.looks(func(s *scrape.Sample) *float64 { return s.Waiting }))
	assert.Len(t, m.queues(), 0)
}

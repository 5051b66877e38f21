package slowest_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine/schedule"
	"inferbench/harness/slowest"
	"inferbench/harness/stats"
)

// server is the embedded engine's scheduler in virtual time, with a closed loop of
// clients before it and a look at it each second: what the suite sees of a server.
type server struct {
	conc, isl, osl, requests int
	limits                   func(*schedule.Limits)
	cost                     func(*schedule.Cost)

	others  func(now time.Duration) []schedule.Seq       // that someone else sends, asked for before each step
	prompt  func(i int) *schedule.Seq                    // the i-th request; nil: isl and osl
	stretch func(now time.Duration) float64              // how many times as long a step takes; nil: once
	late    func(at time.Duration) (until time.Duration) // when a client that stands still reads what came; nil: at once
}

// looks are what was sampled.
type looks struct{ waiting, kv, preempted, queried, loaded, clock []slowest.Sample }

type client struct {
	i           int
	sent, first time.Duration
}

func (v server) run(t *testing.T) ([]stats.Timing, looks) {
	t.Helper()
	p, err := schedule.LoadProfile("b200-dsr1-fp4")
	require.NoError(t, err)
	if v.limits != nil {
		v.limits(&p.Limits)
	}
	if v.cost != nil {
		v.cost(&p.Cost)
	}
	s := schedule.New(p)
	var out []stats.Timing
	var seen looks
	now, look, sent := time.Duration(0), time.Duration(0), 0
	read := func(at time.Duration) time.Duration {
		if v.late != nil {
			return v.late(at)
		}
		return at
	}
	send := func() {
		if sent == v.requests {
			return
		}
		q := &schedule.Seq{Prompt: v.isl, Output: v.osl}
		if v.prompt != nil {
			q = v.prompt(sent)
		}
		q.Owner = &client{i: sent, sent: read(now)}
		s.Add(q)
		sent++
	}
	sample := func() {
		add := func(list *[]slowest.Sample, value float64) {
			*list = append(*list, slowest.Sample{At: now, Value: &value})
		}
		c := s.CacheStats()
		add(&seen.waiting, float64(s.Waiting()))
		add(&seen.kv, s.KVUsage())
		add(&seen.preempted, float64(s.Preemptions))
		add(&seen.queried, float64(c.Queried))
		add(&seen.loaded, float64(c.LoadedBack))
		if v.stretch != nil {
			add(&seen.clock, 1-1/v.stretch(now))
		}
	}
	for range v.conc {
		send()
	}
	for len(out) < v.requests {
		if v.others != nil {
			for _, q := range v.others(now) {
				s.Add(&q)
			}
		}
		d := s.Begin()
		require.NotZero(t, d)
		if v.stretch != nil {
			d = time.Duration(float64(d) * v.stretch(now))
		}
		now += d
		ended := 0
		s.End(func(q *schedule.Seq, n int) bool {
			c, ours := q.Owner.(*client)
			if ours && q.Produced == n {
				c.first = read(now)
			}
			if q.Produced < q.Output {
				return false
			}
			if ours {
				ended++
				out = append(out, stats.Timing{Index: c.i, Sent: c.sent, First: c.first, Last: read(now), Done: read(now),
					InputTokens: q.Prompt, OutputTokens: q.Output, Chunks: q.Output})
			}
			return true
		})
		for range ended {
			send()
		}
		for ; look <= now; look += time.Second {
			sample()
		}
	}
	sample()
	return out, seen
}

// causes are what a sweep lays requests beside: see harness/sweep/slowest.go.
func (l looks) causes(ts []stats.Timing, stood [][2]time.Duration) []slowest.Series {
	named := func(s slowest.Series, cause string, floor float64) slowest.Series {
		s.Cause, s.Says, s.Floor = cause, "met "+cause, floor
		return s
	}
	return []slowest.Series{
		named(slowest.Gauge(l.waiting), "queue", 1), named(slowest.Counter(l.preempted), "preemption", 0),
		named(slowest.Gauge(l.kv), "KV cache", 0.95), named(slowest.Counter(l.queried), "prefill", 0),
		named(slowest.Prompts(ts), "prefill", 0), named(slowest.Counter(l.loaded), "transfer", 0),
		named(slowest.Gauge(l.clock), "throttling", 0.05), named(slowest.Spans(stood), "client", 0.05),
	}
}

// between is true in a few spells of the run.
func between(now time.Duration, spells ...float64) bool {
	for _, at := range spells {
		if s := now.Seconds(); s >= at && s < at+2 {
			return true
		}
	}
	return false
}

func TestEachCauseIsFoundWhereItWasMade(t *testing.T) {
	base := server{conc: 16, isl: 1024, osl: 256, requests: 1200}
	once := map[int]bool{}
	first := func(now time.Duration, spells ...float64) bool { // once a spell
		for i, at := range spells {
			if now.Seconds() >= at && !once[i] {
				once[i] = true
				return true
			}
		}
		return false
	}
	for name, c := range map[string]struct {
		change func(*server)
		stood  [][2]time.Duration
		want   []string // one of these is named
	}{
		"queue": {change: func(v *server) {
			v.limits = func(l *schedule.Limits) { l.MaxRunning = 16 }
			v.others = func(now time.Duration) (out []schedule.Seq) {
				if first(now, 20, 60) {
					for range 12 {
						out = append(out, schedule.Seq{Prompt: 16, Output: 512})
					}
				}
				return out
			}
		}, want: []string{"queue"}},
		"preemption": {change: func(v *server) {
			v.limits = func(l *schedule.Limits) { l.KVTokens = 16*1280 + 2048 }
			v.others = func(now time.Duration) (out []schedule.Seq) {
				if first(now, 20, 60) {
					out = append(out, schedule.Seq{Prompt: 2000, Output: 1200})
				}
				return out
			}
		}, want: []string{"preemption", "KV cache"}},
		"prefill of others": {change: func(v *server) {
			v.others = func(now time.Duration) (out []schedule.Seq) {
				if first(now, 20, 60) {
					for range 6 {
						out = append(out, schedule.Seq{Prompt: 30000, Output: 1})
					}
				}
				return out
			}
		}, want: []string{"prefill"}},
		"transfer": {change: func(v *server) {
			v.limits = func(l *schedule.Limits) { l.KVTokens, l.HostTokens, l.PrefixCaching = 60000, 200000, true }
			v.cost = func(c *schedule.Cost) { c.HostRate = 8000 }
			v.others = func(now time.Duration) (out []schedule.Seq) {
				if first(now, 5, 10, 15, 60, 61, 120) { // three long prompts, then two of them again
					q := schedule.Seq{Prompt: 20000, Output: 1}
					for i := range q.Prompt / 16 {
						q.Hashes = append(q.Hashes, uint64(len(once)%3)<<32+uint64(i)+1)
					}
					out = append(out, q)
				}
				return out
			}
		}, want: []string{"transfer"}},
		"throttling": {change: func(v *server) {
			v.stretch = func(now time.Duration) float64 {
				if between(now, 20, 60) {
					return 2.5
				}
				return 1
			}
		}, want: []string{"throttling"}},
		"the client itself": {change: func(v *server) {
			v.late = func(at time.Duration) time.Duration {
				if s := at.Seconds(); s >= 20 && s < 26 {
					return 26 * time.Second
				}
				return at
			}
		}, stood: [][2]time.Duration{{20 * time.Second, 26 * time.Second}}, want: []string{"client"}},
	} {
		t.Run(name, func(t *testing.T) {
			clear(once)
			v := base
			c.change(&v)
			ts, seen := v.run(t)
			f := slowest.Explain(ts, seen.causes(ts, c.stood))
			t.Log(f.Sentence)
			require.NotEmpty(t, f.Common, f.Sentence)
			assert.True(t, slices.ContainsFunc(f.Common, func(found slowest.Common) bool {
				return slices.Contains(c.want, found.Cause)
			}), f.Sentence)
		})
	}
}

// A server that does nothing out of the ordinary is not blamed for anything: its
// slowest are no slower than the others, or chance made them so.
func TestNothingIsFoundOnAQuietServer(t *testing.T) {
	for name, v := range map[string]server{
		"fixed lengths": {conc: 16, isl: 1024, osl: 256, requests: 1200},
		"lone client":   {conc: 1, isl: 1024, osl: 64, requests: 100},
		"a queue that is always there": {conc: 32, isl: 1024, osl: 128, requests: 1200,
			limits: func(l *schedule.Limits) { l.MaxRunning = 16 }},
	} {
		t.Run(name, func(t *testing.T) {
			ts, seen := v.run(t)
			f := slowest.Explain(ts, seen.causes(ts, nil))
			t.Log(f.Sentence)
			for _, c := range f.Common {
				assert.Equal(t, "prefill", c.Cause, "at the start all prompts come at once: %s", f.Sentence)
			}
		})
	}
	// Slow by chance, beside causes that come and go by chance.
	rng := rand.New(rand.NewPCG(1, 2))
	blamed := 0
	for range 200 {
		var ts []stats.Timing
		var looks []slowest.Sample
		for i := range 100 {
			v := float64(rng.IntN(10))
			looks = append(looks, slowest.Sample{At: time.Duration(i) * time.Second, Value: &v})
		}
		for i := range 800 {
			sent := time.Duration(rng.Float64() * 97 * float64(time.Second))
			took := time.Duration((1 + rng.ExpFloat64()/2) * float64(time.Second))
			ts = append(ts, stats.Timing{Index: i, Sent: sent, First: sent + took/10, Last: sent + took, OutputTokens: 10})
		}
		s := slowest.Gauge(looks)
		s.Cause = "chance"
		if f := slowest.Explain(ts, []slowest.Series{s}); len(f.Common) > 0 {
			blamed++
		}
	}
	assert.Less(t, blamed, 4, "of 200")
}

package schedule

import (
	"hash/fnv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/session"
	"inferbench/harness/stats"
)

// hashesOf are of each full block of a prompt with all before it.
func hashesOf(tokens []int32, size int) (out []uint64) {
	h := fnv.New64a()
	for i, t := range tokens {
		h.Write([]byte{byte(t), byte(t >> 8), byte(t >> 16), byte(t >> 24)})
		if (i+1)%size == 0 {
			out = append(out, h.Sum64())
		}
	}
	return out
}

// replayed runs sessions against an engine in virtual time, and returns what a
// client would know of each request.
func replayed(t *testing.T, p *Profile, traces []session.Trace, rules session.Rules) ([]stats.Timing, *Scheduler) {
	t.Helper()
	r, err := session.NewReplay(traces, rules)
	require.NoError(t, err)
	wire := session.IDs{Seed: 1, Low: 10, High: 50_000}
	s := New(p)
	var out []stats.Timing
	var now time.Duration
	run := func() {
		for !r.Over(now) {
			for q := r.Next(now); q != nil; q = r.Next(now) {
				w, err := wire.Request(nil, nil, q)
				require.NoError(t, err)
				s.Add(&Seq{Prompt: len(w.Tokens), Output: q.Out, Hashes: hashesOf(w.Tokens, p.Limits.BlockTokens), Owner: q})
			}
			step := s.Begin()
			if step == 0 {
				wake, ok := r.Wake(now)
				require.True(t, ok && wake > now, "it would wait for nothing")
				now = wake
				continue
			}
			sent := now
			now += step
			s.End(func(q *Seq, n int) bool {
				if q.Produced < q.Output {
					return false
				}
				of := q.Owner.(*session.Request)
				out = append(out, stats.Timing{Index: of.Index, Sent: sent, Last: now, InputTokens: q.Prompt,
					Prompt: stats.Prompt{Cached: q.Cached, CachedTold: true}})
				r.Ended(of, now, session.Outcome{})
				return true
			})
		}
	}
	if r.WarmUp() {
		run()
		now, out = 0, nil
	}
	r.Measure()
	run()
	for i := range out {
		require.NotEmpty(t, out)
		require.Less(t, out[i].Index, len(r.Log().Requests))
	}
	r.Log().Tell(out)
	return out, s
}

func synthetic(n int) (out []session.Trace) {
	m := session.Synthetic{Seed: 7, Turns: session.Dist{Shape: "normal", Mean: 10, SD: 3}, System: 640,
		Input: session.Dist{Shape: "lognormal", Mean: 300, SD: 200}, Output: session.Dist{Shape: "lognormal", Mean: 30, SD: 20},
		Delay: session.Dist{Shape: "lognormal", Mean: 1, SD: 1}, SubAgents: session.Dist{Mean: 2},
		SubAgentTurns: session.Dist{Mean: 3}, Compact: 4000, Keep: 1500}
	for i := range n {
		out = append(out, m.Trace(i))
	}
	return out
}

// Of sessions that run side by side, with sub-agents, compaction, recycling and the
// rules of AgentX, a cache that holds everything finds exactly what an infinite one
// would: the leading blocks that the session had, but of a prompt that is known to
// its end not the last token.
func TestSessionsFindWhatAnInfiniteCacheWould(t *testing.T) {
	p, err := LoadProfile("fast")
	require.NoError(t, err)
	agentx := session.AgentX(8)
	agentx.Duration, agentx.WarmUp = 5*time.Minute, 2
	for name, rules := range map[string]session.Rules{
		"each once":              {Lanes: 8, Seed: 1},
		"again, with marks":      {Lanes: 8, Seed: 1, Duration: 2 * time.Minute, Mark: true, Run: "a"},
		"again, without":         {Lanes: 8, Seed: 1, Duration: 2 * time.Minute},
		"by the rules of AgentX": agentx,
	} {
		ts, s := replayed(t, p, synthetic(20), rules)
		require.Greater(t, len(ts), 100, name)
		blocks, hits := 0, 0
		for _, x := range ts {
			least := (x.InputTokens - 1) / p.Limits.BlockTokens * p.Limits.BlockTokens
			want := min(x.Turn.Hits*64, least)
			if x.Turn.Hits == x.Turn.Blocks { // sent before, with what no block covers too
				require.Equal(t, want/64, x.Prompt.Cached/64, "%s: turn %+v", name, *x.Turn)
			} else {
				require.Equal(t, want, x.Prompt.Cached, "%s: turn %+v", name, *x.Turn)
			}
			blocks, hits = blocks+x.Turn.Blocks, hits+x.Turn.Hits
		}
		assert.Zero(t, s.CacheStats().Evicted, name)
		assert.Greater(t, float64(hits)/float64(blocks), 0.5, name)
	}
}

// With less room the cache finds less, and what the host tier holds makes up for it.
func TestSessionsInASmallCache(t *testing.T) {
	last := 0
	for _, kv := range []int{8_000, 32_000, 4_000_000} {
		p, err := LoadProfile("fast")
		require.NoError(t, err)
		p.Limits.KVTokens = kv
		ts, s := replayed(t, p, synthetic(20), session.Rules{Lanes: 8, Seed: 1})
		cached := 0
		for _, x := range ts {
			cached += x.Prompt.Cached
		}
		assert.Greater(t, cached, last)
		last = cached
		assert.Equal(t, s.CacheStats().Device, cached)
		p.Limits.HostTokens = 4_000_000
		_, tiered := replayed(t, p, synthetic(20), session.Rules{Lanes: 8, Seed: 1})
		c := tiered.CacheStats()
		assert.Equal(t, kv < 4_000_000, c.Host > 0)
		if kv >= 32_000 {
			assert.GreaterOrEqual(t, c.Device+c.Host, cached)
		}
	}
}

package schedule

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// profile is a small engine whose step times are easy to add up: 1 ms a decode
// step, 1 ms a prefilled token.
func profile(change func(*Profile)) *Profile {
	p := &Profile{Name: "test", MaxModelLen: 1000,
		Limits: Limits{MaxRunning: 4, TokenBudget: 10, KVTokens: 1000, BlockTokens: 10},
		Cost:   Cost{DecodeStep: []Point{{1, time.Millisecond}, {2, time.Millisecond}}, PrefillRate: 1000}}
	if change != nil {
		change(p)
	}
	return p
}

// event is a sequence that was given tokens at the end of a step.
type event struct {
	at     time.Duration
	seq    string
	tokens int
}

// play runs sequences, all there from the beginning, to their end.
func play(t *testing.T, s *Scheduler, seqs ...*Seq) []event {
	for _, q := range seqs {
		s.Add(q)
	}
	var out []event
	var now time.Duration
	for range 10_000 {
		step := s.Begin()
		if step == 0 {
			require.Zero(t, s.Running()+s.Waiting(), "nothing to do, but some wait")
			require.Zero(t, s.cache.total-s.cache.free, "blocks lost")
			return out
		}
		now += step
		s.End(func(q *Seq, n int) bool {
			out = append(out, event{now, q.Owner.(string), n})
			return false
		})
		require.GreaterOrEqual(t, s.cache.free, 0)
		require.LessOrEqual(t, s.Running(), s.limits.MaxRunning)
	}
	require.Fail(t, "it never ended")
	return nil
}

func seq(name string, prompt, output int) *Seq {
	return &Seq{Owner: name, Prompt: prompt, Output: output}
}

func ms(n float64) time.Duration { return time.Duration(n * float64(time.Millisecond)) }

func TestScheduling(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Profile)
		seqs   []*Seq
		want   []event
	}{
		"prefill gives the first token, each step one more": {nil,
			[]*Seq{seq("a", 5, 3)},
			[]event{{ms(5), "a", 1}, {ms(6), "a", 1}, {ms(7), "a", 1}}},
		"a long prompt is cut into chunks of the budget": {nil,
			[]*Seq{seq("a", 25, 1)},
			[]event{{ms(25), "a", 1}}},
		"chunks go along with decoding": {nil,
			[]*Seq{seq("a", 2, 4), seq("b", 20, 1)},
			// 2 of a and 8 of b; then a decodes beside 9 of b, then beside the last 3
			[]event{{ms(10), "a", 1}, {ms(20), "a", 1}, {ms(24), "a", 1}, {ms(24), "b", 1}, {ms(25), "a", 1}}},
		"no more run than may": {func(p *Profile) { p.Limits.MaxRunning = 1 },
			[]*Seq{seq("a", 1, 2), seq("b", 1, 1)},
			[]event{{ms(1), "a", 1}, {ms(2), "a", 1}, {ms(3), "b", 1}}},
		"who finds no room in the KV cache waits, and nobody overtakes": {func(p *Profile) { p.Limits.KVTokens = 20 },
			[]*Seq{seq("a", 9, 2), seq("b", 15, 1), seq("c", 1, 1)},
			// b's first chunk, 1 token, fits beside a; its second finds no block
			// until a is done
			nil},
		"several rounds make one chunk": {func(p *Profile) { p.Limits.DecodeRounds = 4 },
			[]*Seq{seq("a", 5, 8)},
			[]event{{ms(5), "a", 1}, {ms(9), "a", 4}, {ms(13), "a", 3}}},
		"every guess right": {func(p *Profile) { p.Limits.SpecTokens, p.Limits.SpecAccept = 2, 1 },
			[]*Seq{seq("a", 5, 6)},
			[]event{{ms(5), "a", 1}, {ms(6), "a", 3}, {ms(7), "a", 2}}},
		"no guess right": {func(p *Profile) { p.Limits.SpecTokens = 2 },
			[]*Seq{seq("a", 5, 2)},
			[]event{{ms(5), "a", 1}, {ms(6), "a", 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := profile(c.change)
			require.NoError(t, p.Validate())
			got := play(t, New(p), c.seqs...)
			if c.want != nil {
				assert.Equal(t, c.want, got)
			}
			for _, q := range c.seqs {
				assert.Equal(t, q.Output, q.Produced)
			}
		})
	}
}

// Requests that outgrow the KV cache together: the youngest goes back, and in
// the end all have what they asked for.
func TestPreemption(t *testing.T) {
	s := New(profile(func(p *Profile) { p.Limits.KVTokens = 50 }))
	a, b, c := seq("a", 5, 30), seq("b", 5, 30), seq("c", 5, 30)
	play(t, s, a, b, c)
	assert.Positive(t, s.Preemptions)
	for _, q := range []*Seq{a, b, c} {
		assert.Equal(t, 30, q.Produced)
	}
	assert.True(t, s.Fits(50))
	assert.False(t, s.Fits(51))
}

func TestPrefixCache(t *testing.T) {
	hashes := func(h ...uint64) []uint64 { return h }
	caching := func(p *Profile) { p.Limits.PrefixCaching = true }
	one := func(h []uint64) *Seq { return &Seq{Owner: "x", Prompt: 35, Output: 1, Hashes: h} }

	t.Run("an equal beginning is not computed again", func(t *testing.T) {
		s := New(profile(caching))
		play(t, s, one(hashes(1, 2, 3)))
		q := one(hashes(1, 2, 9))
		got := play(t, s, q)
		assert.Equal(t, 20, q.Cached)
		assert.Equal(t, ms(15), got[0].at)
		assert.Equal(t, CacheStats{Queried: 70, Device: 20}, s.CacheStats())
	})
	t.Run("at least one token is computed", func(t *testing.T) {
		s := New(profile(caching))
		q := &Seq{Owner: "x", Prompt: 30, Output: 1, Hashes: hashes(1, 2, 3)}
		play(t, s, q)
		r := &Seq{Owner: "x", Prompt: 30, Output: 1, Hashes: hashes(1, 2, 3)}
		play(t, s, r)
		assert.Equal(t, 20, r.Cached)
	})
	t.Run("it can be turned off", func(t *testing.T) {
		s := New(profile(nil))
		play(t, s, one(hashes(1, 2, 3)))
		q := one(hashes(1, 2, 3))
		play(t, s, q)
		assert.Zero(t, q.Cached)
	})
	t.Run("it gives way, the least recently used first", func(t *testing.T) {
		s := New(profile(func(p *Profile) { caching(p); p.Limits.KVTokens = 80 }))
		play(t, s, one(hashes(1, 2, 3)))
		play(t, s, one(hashes(4, 5, 6)))
		play(t, s, one(hashes(1, 2, 3))) // 1, 2, 3 are now the newer
		play(t, s, one(hashes(7, 8, 9)))
		q := one(hashes(1, 2, 3))
		play(t, s, q)
		assert.Equal(t, 30, q.Cached)
		r := one(hashes(4, 5, 6))
		play(t, s, r)
		assert.Less(t, r.Cached, 30)
	})
	t.Run("and can be flushed", func(t *testing.T) {
		s := New(profile(caching))
		play(t, s, one(hashes(1, 2, 3)))
		s.FlushCache(true)
		q := one(hashes(1, 2, 3))
		play(t, s, q)
		assert.Zero(t, q.Cached)
	})
	t.Run("two that run together share", func(t *testing.T) {
		s := New(profile(func(p *Profile) { caching(p); p.Limits.TokenBudget = 100 }))
		a, b := one(hashes(1, 2, 3)), one(hashes(1, 2, 3))
		a.Output = 5
		s.Add(a)
		s.Begin()
		s.End(func(*Seq, int) bool { return false })
		s.Add(b)
		s.Begin()
		assert.Equal(t, 30, b.Cached)
		assert.Equal(t, s.cache.total-5, s.cache.free, "three shared, and one more for each")
		s.Cancel(a)
		s.Cancel(b)
	})
}

func TestCancelGivesEverythingBack(t *testing.T) {
	s := New(profile(nil))
	a, b := seq("a", 15, 5), seq("b", 15, 5)
	s.Add(a)
	s.Add(b)
	s.Begin()
	s.End(func(*Seq, int) bool { return false })
	assert.Equal(t, 1, s.Running())
	assert.Equal(t, 1, s.Waiting())
	s.Cancel(b)
	s.Cancel(a)
	s.Cancel(a)
	assert.Zero(t, s.Running()+s.Waiting())
	assert.Equal(t, 0.0, s.KVUsage())
	assert.Zero(t, s.Begin())
}

func TestStopEndsASequenceEarly(t *testing.T) {
	s := New(profile(nil))
	q := seq("a", 1, 100)
	s.Add(q)
	for range 3 {
		require.NotZero(t, s.Begin())
		s.End(func(q *Seq, _ int) bool { return q.Produced == 3 })
	}
	assert.Equal(t, 3, q.Produced)
	assert.Zero(t, s.Begin())
}

func TestCost(t *testing.T) {
	c := Cost{DecodeStep: []Point{{4, ms(8)}, {8, ms(10)}, {16, ms(12)}}, PerContextToken: 1000, PrefillRate: 1e6, PrefillOverhead: ms(1), PerPrefillPair: 10}
	for name, x := range map[string]struct {
		load Load
		want time.Duration
	}{
		"nothing":                         {Load{}, 0},
		"below the first point it's flat": {Load{Decoding: 1}, ms(8)},
		"at a point":                      {Load{Decoding: 8}, ms(10)},
		"between two":                     {Load{Decoding: 6}, ms(9)},
		"beyond the last, along the pair": {Load{Decoding: 24}, ms(14)},
		"context costs":                   {Load{Decoding: 4, Context: 2000}, ms(10)},
		"rounds multiply":                 {Load{Decoding: 4, Context: 2000, Rounds: 3}, ms(30)},
		"prefill":                         {Load{Prefill: 5000}, ms(6)},
		"prefill that looks far back":     {Load{Prefill: 5000, Pairs: 100_000}, ms(7)},
		"both":                            {Load{Decoding: 4, Prefill: 5000}, ms(14)},
	} {
		assert.Equal(t, x.want, c.Step(x.load), name)
	}
}

func TestProfiles(t *testing.T) {
	for _, name := range Profiles() {
		p, err := LoadProfile(name)
		require.NoError(t, err)
		assert.Equal(t, name, p.Name)
		assert.NotEmpty(t, p.About)
		assert.NotEmpty(t, p.Source)
		b, err := p.MarshalJSON()
		require.NoError(t, err)
		again, err := parseProfile(b)
		require.NoError(t, err)
		assert.Equal(t, p, again, "what is written is what was read")
	}
	p, err := LoadProfile("")
	require.NoError(t, err)
	assert.Equal(t, "fast", p.Name)
	_, err = LoadProfile("h9000")
	assert.ErrorContains(t, err, "there are: agents, b200-dsr1-fp4, fast")

	for want, change := range map[string]func(*Profile){
		"max_tokens_per_step is 3: want 4": func(p *Profile) { p.Limits.TokenBudget = 3 },
		"kv_block_tokens is 0":             func(p *Profile) { p.Limits.BlockTokens = 0 },
		"host_cache_tokens is -1":          func(p *Profile) { p.Limits.HostTokens = -1 },
		"kv_cache_tokens is 9":             func(p *Profile) { p.Limits.KVTokens = 9 },
		"point 2: want ascending":          func(p *Profile) { p.Cost.DecodeStep[1].Batch = 1 },
		"points of decode_step":            func(p *Profile) { p.Cost.DecodeStep = nil },
		"prefill_tokens_per_s is 0":        func(p *Profile) { p.Cost.PrefillRate = 0 },
		"a cost is below 0":                func(p *Profile) { p.Cost.PerContextToken = -1 },
		"speculative_acceptance is 2":      func(p *Profile) { p.Limits.SpecAccept = 2 },
	} {
		assert.ErrorContains(t, profile(change).Validate(), want)
	}
}

// A closed loop keeps Little's law: requests in flight = rate × time in the
// system.
func TestSimulateKeepsLittlesLaw(t *testing.T) {
	p, err := LoadProfile("b200-dsr1-fp4")
	require.NoError(t, err)
	s := Simulate(p, Workload{ISL: 256, OSL: 64, Conc: 8, Prompts: 400, WarmUp: 16, Ratio: 1, Seed: 1})
	rate := 400 / s.Duration.Seconds()
	assert.InEpsilon(t, 8, rate*s.MedianE2EL.Seconds(), 0.05)
	assert.Equal(t, 400*256, s.InputTokens)
	assert.Equal(t, 400*64, s.OutputTokens)
	assert.Positive(t, s.MedianTTFT)
	assert.Equal(t, s, Simulate(p, Workload{ISL: 256, OSL: 64, Conc: 8, Prompts: 400, WarmUp: 16, Ratio: 1, Seed: 1}))
}

package session_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/session"
)

func dist(t testing.TB, text string) session.Dist {
	d, err := session.ParseDist(text)
	require.NoError(t, err)
	return d
}

// made is a set of settings with everything in it.
func made(t testing.TB) session.Synthetic {
	return session.Synthetic{Sessions: 50, Seed: 42, Turns: dist(t, "normal:10:3"), System: 500,
		Input: dist(t, "lognormal:600:400"), Output: dist(t, "lognormal:200:100"), Delay: dist(t, "normal:1.5:1"),
		SubAgents: dist(t, "2"), SubAgentTurns: dist(t, "normal:3:1"), Compact: 8000, Keep: 2000}
}

func TestSyntheticSessions(t *testing.T) {
	m := made(t)
	agents, turns, joined, compacted := 0, 0, 0, 0
	for i := range m.Sessions {
		tr := m.Trace(i)
		require.NoError(t, tr.Check())
		require.Equal(t, tr, m.Trace(i), "it follows from the seed and the index")
		agents += len(tr.Streams) - 1
		turns += len(tr.Turns)
		waited := map[int]bool{} // turns that some turn comes after
		for k, u := range tr.Turns {
			assert.Equal(t, u.In/64, len(u.Blocks), "whole blocks")
			assert.LessOrEqual(t, tr.Streams[0].Prefix, u.In-1)
			assert.Equal(t, 512, tr.Streams[0].Prefix, "in whole blocks")
			if u.After >= 0 {
				waited[u.After] = true
				before := tr.Turns[u.After]
				assert.Equal(t, before.At+before.Took+u.Delay, u.At)
			}
			for _, w := range u.Waits {
				waited[w] = true
				joined++
			}
			p := tr.Previous(k)
			if p < 0 {
				continue
			}
			if last := tr.Turns[p]; u.In < last.In {
				assert.Equal(t, 2000, u.In, "compacted")
				assert.Equal(t, last.Blocks[:8], u.Blocks[:8], "the system prompt stays")
				assert.NotEqual(t, last.Blocks[8], u.Blocks[8])
				compacted++
			} else {
				assert.Greater(t, u.In, last.In+last.Out)
				assert.Equal(t, last.Blocks, u.Blocks[:len(last.Blocks)], "a turn goes on where the last one was")
				assert.LessOrEqual(t, u.In, 8000)
			}
		}
		ends := 0 // turns that nothing comes after: the root's last, as every sub-agent is joined
		for k := range tr.Turns {
			if !waited[k] {
				ends++
			}
		}
		assert.Equal(t, 1, ends)
	}
	assert.Equal(t, 100, agents)
	assert.InDelta(t, 50*10+100*3, turns, 60)
	assert.Positive(t, joined)
	assert.Positive(t, compacted)

	m.Seed++
	other := m.Trace(0)
	m.Seed--
	assert.NotEqual(t, m.Trace(0), other)
}

// The numbers that are drawn have the mean and the deviation that they were asked
// for.
func TestDistributions(t *testing.T) {
	for _, text := range []string{"600", "normal:600:50", "lognormal:600:400"} {
		m := session.Synthetic{Seed: 1, Turns: dist(t, "400"), Input: dist(t, "1"), Output: dist(t, text), Delay: dist(t, "0")}
		var sum, squares, n float64
		for i := range 20 {
			tr := m.Trace(i)
			for _, u := range tr.Turns {
				sum, squares, n = sum+float64(u.Out), squares+float64(u.Out)*float64(u.Out), n+1
			}
		}
		assert.InEpsilon(t, 600, sum/n, 0.03, text)
		assert.InDelta(t, dist(t, text).SD, math.Sqrt(squares/n-sum/n*sum/n), 60, text)
	}
	for _, bad := range []string{"", "x", "-1", "NaN", "inf", "normal", "normal:1", "normal:1:x", "uniform:1:2", "lognormal:0:1",
		"normal:1:2:3", "normal:-1:2"} {
		_, err := session.ParseDist(bad)
		assert.ErrorContains(t, err, "normal:MEAN:SD", bad)
	}
}

// A sub-agent that begins with the root's system prompt finds it; a compacted
// context finds no more than that; a prompt sent again is found whole.
func TestTheoreticalHits(t *testing.T) {
	tr := session.Trace{Block: 4, Streams: []session.Stream{{Parent: -1}, {ID: "a"}}, Turns: []session.Turn{
		{At: 0, Blocks: []uint32{0, 1, 2}},
		{At: time.Second, Stream: 1, Blocks: []uint32{0, 9}},
		{At: 2 * time.Second, Blocks: []uint32{0, 1, 2, 3}},
		{At: 3 * time.Second, Blocks: []uint32{0, 1, 2, 3}},
		{At: 4 * time.Second, Blocks: []uint32{0, 7, 2, 3}}, // what lies behind a new block is computed anew
		{At: 5 * time.Second},
	}}
	assert.Equal(t, []int{0, 1, 3, 4, 1, 0}, tr.Hits())
}

// A slip in a setting is told at once, in place of taking all memory.
func TestSessionsThatAreTooLarge(t *testing.T) {
	for name, m := range map[string]session.Synthetic{
		"turns":      {Sessions: 1, Turns: dist(t, "1e9"), Input: dist(t, "1")},
		"tokens":     {Sessions: 1, Turns: dist(t, "1e6"), Input: dist(t, "1e6")},
		"sub-agents": {Sessions: 1, Turns: dist(t, "2"), Input: dist(t, "1"), SubAgents: dist(t, "1e9"), SubAgentTurns: dist(t, "1e9")},
		"sessions":   {Sessions: 1e9, Turns: dist(t, "1000"), Input: dist(t, "1")},
		"a prompt":   {Sessions: 1, Turns: dist(t, "1"), Input: dist(t, "1e9")},
		"its system": {Sessions: 1, Turns: dist(t, "1"), Input: dist(t, "1"), System: 1e12},
	} {
		t.Run(name, func(t *testing.T) {
			m.Seed = 1
			_, err := m.Traces(t.Context())
			assert.ErrorContains(t, err, "made-up")
		})
	}
	m := made(t)
	m.Sessions = 1
	all, err := m.Traces(t.Context())
	require.NoError(t, err)
	assert.Equal(t, []session.Trace{m.Trace(0)}, all)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = m.Traces(ctx)
	assert.ErrorIs(t, err, context.Canceled)
}

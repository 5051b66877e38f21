package stats

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// turn is a request of a session: it was sent at a second, its first token came
// after ttft ms, and each further one after 10 ms more.
func turn(session, stream, number, at, ttft, in, cached, out, blocks, hits int) Timing {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	sent := time.Duration(at) * time.Second
	first := sent + ms(ttft)
	last := first + ms(10*(out-1))
	return Timing{Sent: sent, First: first, Last: last, Done: last, Chunks: out, InputTokens: in, OutputTokens: out,
		Prompt: Prompt{Counted: true, Server: in, Cached: cached, CachedTold: true},
		Turn:   &Turn{Session: session, Stream: stream, Number: number, Blocks: blocks, Hits: hits}}
}

func sessionsRun() Run {
	failed := turn(1, 0, 2, 4, 0, 0, 0, 0, 4, 2)
	failed.Err = "HTTP 500"
	return Run{Duration: 10 * time.Second, GPUs: 2, Timings: []Timing{
		turn(0, 0, 1, 0, 100, 128, 0, 11, 2, 0),   // 0.2 s for 11 tokens
		turn(0, 1, 1, 1, 50, 96, 64, 6, 1, 1),     // 0.1 s for 6
		turn(0, 0, 2, 3, 300, 256, 192, 21, 4, 3), // 0.5 s for 21
		turn(1, 0, 1, 2, 400, 128, 0, 1, 2, 0),    // 0.4 s for 1
		failed,
		turn(2, 0, 1, 9, 200, 64, 0, 11, 1, 0), // 0.3 s for 11
	}, Sessions: []Session{
		{ID: "a", Trace: "x", Began: 0, Ended: 3500 * time.Millisecond, Whole: true, Done: true},
		{ID: "b", Trace: "y", Lane: 1, Began: 2 * time.Second, Ended: 5 * time.Second, Whole: true, Failed: true},
		{ID: "c", Trace: "x", Lane: 1, Began: 9 * time.Second, Ended: 9300 * time.Millisecond, Whole: true},
	}}
}

func TestSessions(t *testing.T) {
	sum := sessionsRun().Summary()
	s := sum.Sessions
	require.NotNil(t, s)
	assert.Equal(t, []int{1, 1, 5, 1}, []int{s.Completed, s.Failed, s.Turns, s.TurnsLost})
	assert.InDelta(t, 1/10.*3600/2, *s.PerHour, 1e-9)
	assert.InDelta(t, 3.5, *s.Times.Mean, 1e-9)
	assert.InDelta(t, 67.2, *s.InputRate, 1e-9)
	assert.InDelta(t, 41.6, *s.Uncached, 1e-9, "256 of 672 came from the cache")
	assert.InDelta(t, 4/10., *s.Hits, 1e-9, "of the turns that succeeded")
	assert.InDelta(t, 256/672., *sum.HitRate, 1e-9)
	assert.Equal(t, 1, s.InFlight.Max)
	assert.InDelta(t, 0.15, *s.InFlight.Mean, 1e-9)

	// E2EL/OSL: 0.2/11, 0.1/6, 0.5/21, 0.4, 0.3/11, sorted 0.01667 0.01818 0.02381 0.02727 0.4
	assert.InDelta(t, 21/0.5, *s.E2ENormIntvty.P50, 1e-9)
	assert.InDelta(t, 1/(0.3/11+0.6*(0.4-0.3/11)), *s.E2ENormIntvty.P90, 1e-9)
	assert.InDelta(t, 5/(0.2/11+0.1/6+0.5/21+0.4+0.3/11), *s.E2ENormIntvty.Mean, 1e-9)
	for _, v := range []*float64{s.Intvty.Mean, s.Intvty.P50, s.Intvty.P95} {
		assert.InDelta(t, 100, *v, 1e-9, "10 ms a token, where there is a second one")
	}

	require.Len(t, s.ByTurn, 2)
	assert.Equal(t, 4, s.ByTurn[0].Requests)
	assert.InDelta(t, 150, s.ByTurn[0].P50, 1e-9)
	assert.InDelta(t, 64/416., *s.ByTurn[0].Cached, 1e-9)
	assert.Equal(t, 2, s.ByTurn[1].Turn)
	assert.InDelta(t, 300, s.ByTurn[1].P99, 1e-9)

	require.Len(t, s.BySession, 3)
	assert.Equal(t, []string{"done", "failed", "cut off"}, []string{s.BySession[0].Status, s.BySession[1].Status, s.BySession[2].Status})
	assert.InDelta(t, 4/7., *s.BySession[0].Hits, 1e-9)
	assert.InDelta(t, 256/480., *s.BySession[0].HitRate, 1e-9)
	assert.Equal(t, []int64{480, 38}, []int64{s.BySession[0].Input, s.BySession[0].Output})
}

// What nobody told is null, and a run of no sessions has none of the keys.
func TestSessionsThatNobodyTold(t *testing.T) {
	r := sessionsRun()
	for i := range r.Timings {
		r.Timings[i].Prompt = Prompt{Unknown: true}
		r.Timings[i].Turn.Blocks, r.Timings[i].Turn.Hits = 0, 0
	}
	r.Sessions[0].Done = false
	sum := r.Summary()
	s := sum.Sessions
	for _, v := range []*float64{s.InputRate, s.Uncached, s.Hits, s.PerHour, s.Times.P50, s.ByTurn[0].Cached, s.BySession[0].Hits} {
		assert.Nil(t, v)
	}
	b, err := json.Marshal(sum)
	require.NoError(t, err)
	assert.Contains(t, string(b), `"session_completion_s":{"mean":null,"p50":null,"p90":null,"p99":null}`)
	var again Summary
	require.NoError(t, json.Unmarshal(b, &again))
	assert.Equal(t, sum.Sessions, again.Sessions)

	r.Sessions = nil
	b, err = json.Marshal(r.Summary())
	require.NoError(t, err)
	assert.NotContains(t, string(b), "session")
	assert.NotContains(t, string(b), "ttft_by_turn")
}

package truth

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/load"
	"inferbench/harness/server"
	"inferbench/harness/session"
	"inferbench/harness/stats"
)

// Sessions on an engine whose cache holds everything: each request is told the
// blocks that an infinite cache would hold, and the counters of /metrics are their
// sum. The last token of a prompt is computed anew, so one that is known to its end
// lacks its last block.
func TestSessionsFindWhatAnInfiniteCacheWould(t *testing.T) {
	made := session.Synthetic{Seed: 3, Turns: session.Dist{Mean: 6}, System: 640, Input: session.Dist{Shape: "lognormal", Mean: 200, SD: 100},
		Output: session.Dist{Mean: 8}, Delay: session.Dist{Mean: 0.01}, SubAgents: session.Dist{Mean: 2},
		SubAgentTurns: session.Dist{Mean: 2}, Compact: 1800, Keep: 1000}
	var traces []session.Trace
	for i := range 6 {
		traces = append(traces, made.Trace(i))
	}
	words, err := session.Vocabulary(func(text string) (int, error) { return len(text), nil }) // a byte is a token
	require.NoError(t, err)
	t.Run("token ids", func(t *testing.T) {
		foundByServer(t, traces, session.IDs{Seed: 1, Low: 0, High: 256}, load.Options{Conc: 3}, func(x stats.Timing, recorded int) {
			require.Equal(t, min(64*x.Turn.Hits, (recorded-1)/16*16), x.Prompt.Cached, "%+v of %d tokens", *x.Turn, recorded)
		})
	})
	t.Run("chat", func(t *testing.T) {
		foundByServer(t, traces, &session.Chat{Seed: 1, Words: words}, load.Options{Conc: 3, Chat: true}, func(x stats.Timing, recorded int) {
			template := x.Prompt.Server - recorded // the names of roles, a part of them between the blocks
			least := min(64*x.Turn.Hits, x.Prompt.Server-1) / 16 * 16
			require.GreaterOrEqual(t, x.Prompt.Cached, least, "%+v of %d tokens", *x.Turn, x.Prompt.Server)
			require.LessOrEqual(t, x.Prompt.Cached, 64*x.Turn.Hits+template, "%+v of %d tokens", *x.Turn, x.Prompt.Server)
		})
	})
}

// foundByServer replays sessions, hands each request to check, and holds the counters
// of /metrics to the sum of what they were told.
func foundByServer(t *testing.T, traces []session.Trace, wire session.Wire, o load.Options, check func(x stats.Timing, recorded int)) {
	r, err := session.NewReplay(traces, session.Rules{Lanes: 3, Seed: 1, Sessions: 9, Mark: true, Run: t.Name()})
	require.NoError(t, err)
	s := serveAlone(t, "fast")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tg := server.New(s.URL, "", "", nil)
	require.NoError(t, tg.Wait(ctx, server.WaitOptions{Timeout: time.Minute}))
	rec, err := load.Replay(ctx, tg, r, wire, o)
	require.NoError(t, err)
	require.Len(t, rec.Sessions, 9)
	tokens := map[[3]any]int{} // recorded, of a trace's turn of a stream
	for _, tr := range traces {
		numbers := map[int]int{}
		for _, u := range tr.Turns {
			numbers[u.Stream]++
			tokens[[3]any{tr.ID, u.Stream, numbers[u.Stream]}] = u.In
		}
	}
	blocks, hits, cached := 0, 0, 0
	for _, x := range rec.Timings {
		require.Empty(t, x.Err)
		check(x, tokens[[3]any{rec.Sessions[x.Turn.Session].Trace, x.Turn.Stream, x.Turn.Number}])
		blocks, hits, cached = blocks+x.Turn.Blocks, hits+x.Turn.Hits, cached+x.Prompt.Cached
	}
	sum := rec.Summary(1)
	assert.InDelta(t, float64(hits)/float64(blocks), *sum.Hits, 1e-12)
	assert.Equal(t, []int{9, 90, 0}, []int{sum.Sessions.Completed, sum.Turns, sum.TurnsLost})

	resp, err := http.Get(s.URL + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	for _, name := range []string{"vllm:prefix_cache_hits_total", `sglang:cached_tokens_total`} {
		_, line, _ := strings.Cut(string(page), "\n"+name+"{")
		line, _, _ = strings.Cut(line, "\n")
		_, value, _ := strings.Cut(line, "} ")
		assert.Equal(t, strconv.Itoa(cached), value, name)
	}
}

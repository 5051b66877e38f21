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
	r, err := session.NewReplay(traces, session.Rules{Lanes: 3, Seed: 1, Sessions: 9, Mark: true, Run: "truth"})
	require.NoError(t, err)
	s := serveAlone(t, "fast")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	tg := server.New(s.URL, "", "", nil)
	require.NoError(t, tg.Wait(ctx, server.WaitOptions{Timeout: time.Minute}))
	rec, err := load.Replay(ctx, tg, r, session.IDs{Seed: 1, Low: 0, High: 256}, load.Options{Conc: 3})
	require.NoError(t, err)
	require.Len(t, rec.Sessions, 9)
	blocks, hits, cached := 0, 0, 0
	for _, x := range rec.Timings {
		require.Empty(t, x.Err)
		least := (x.InputTokens - 1) / 16 * 16
		require.Equal(t, min(64*x.Turn.Hits, least), x.Prompt.Cached, "%+v of %d tokens", *x.Turn, x.InputTokens)
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

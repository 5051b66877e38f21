package realengine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/load"
	"inferbench/harness/server"
	"inferbench/harness/session"
)

// vllmBlock is the tokens of a block of vLLM's prefix cache on a CPU.
const vllmBlock = 128

// Made-up sessions on the real vLLM, whose cache holds all of them: what it counts
// of each request is what an infinite cache would hold, cut to its own blocks of 128
// tokens and to all but the prompt's last token. That is the whole difference.
func TestVLLMCountsWhatSessionsShare(t *testing.T) {
	s := vllm(t, nil, "--enable-prompt-tokens-details")
	made := session.Synthetic{Seed: 5, Turns: session.Dist{Mean: 6}, System: 512, Input: session.Dist{Shape: "lognormal", Mean: 150, SD: 80},
		Output: session.Dist{Mean: 12}, Delay: session.Dist{Mean: 0.02}, SubAgents: session.Dist{Mean: 1},
		SubAgentTurns: session.Dist{Mean: 2}, Compact: 1800, Keep: 900}
	var traces []session.Trace
	for i := range 6 {
		traces = append(traces, made.Trace(i))
	}
	r, err := session.NewReplay(traces, session.Rules{Lanes: 2, Seed: 1, Mark: true, Run: t.Name()})
	require.NoError(t, err)
	target := server.New(s.URL, "", "", nil)
	require.NoError(t, target.Wait(t.Context(), server.WaitOptions{Timeout: time.Minute}))
	rec, err := load.Replay(t.Context(), target, r, session.IDs{Seed: 1, Low: 2, High: 1000}, load.Options{Conc: 2})
	require.NoError(t, err)
	theory, whole, counted, input := 0, 0, 0, 0
	for _, x := range rec.Timings {
		require.Empty(t, x.Err)
		want := min(64*x.Turn.Hits, x.InputTokens-1) / vllmBlock * vllmBlock
		assert.Equal(t, want, x.Prompt.Cached, "%+v of %d tokens", *x.Turn, x.InputTokens)
		theory, whole, counted, input = theory+64*x.Turn.Hits, whole+want, counted+x.Prompt.Cached, input+x.InputTokens
	}
	share := func(n int) float64 { return 100 * float64(n) / float64(input) }
	t.Logf("%d requests of %d input tokens: an infinite cache holds %.1f %%, of it whole blocks of %d %.1f %%, vLLM counted %.1f %%",
		len(rec.Timings), input, share(theory), vllmBlock, share(whole), share(counted))
	assert.Less(t, counted, theory)
	assert.Positive(t, counted)
}

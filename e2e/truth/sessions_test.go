package truth

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
	"inferbench/harness/load"
	"inferbench/harness/server"
	"inferbench/harness/session"
	"inferbench/harness/stats"
	"inferbench/harness/traces"
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

// Every kind of recorded sessions, one after the other, each request held to what an
// infinite cache would hold of it.
func TestEveryKindFindsWhatAnInfiniteCacheWould(t *testing.T) {
	const tools = `"type":"s","model":"m","api_time":0.001`
	blocks := func(x stats.Timing, size, recorded int) { // of the trace
		assert.Equal(t, min(size*x.Turn.Hits, (recorded-1)/16*16), x.Prompt.Cached, "%+v of %d tokens", *x.Turn, recorded)
	}
	for _, c := range []struct {
		kind  *session.Kind
		file  string
		chat  bool
		rules session.Rules
		check func(x stats.Timing)
	}{
		{session.Weka, `{"id":"w","models":[],"block_size":64,"hash_id_scope":"local","requests":[
			{"t":0,` + tools + `,"in":200,"out":5,"hash_ids":[0,1,2]},
			{"t":0.01,"type":"subagent","agent_id":"a","subagent_type":"x","duration_ms":20,"total_tokens":0,"tool_use_count":0,"status":"completed","models":[],
			 "requests":[{"t":0.01,` + tools + `,"in":192,"out":5,"hash_ids":[0,1,9]},{"t":0.02,` + tools + `,"in":260,"out":5,"hash_ids":[0,1,9,10]}]},
			{"t":0.05,` + tools + `,"in":330,"out":5,"hash_ids":[0,1,2,3,4]},
			{"t":0.06,` + tools + `,"in":320,"out":5,"hash_ids":[0,1,2,3,4]}]}`, false, session.Rules{Mark: true, Run: "w", Sessions: 2},
			func(x stats.Timing) { blocks(x, 64, x.InputTokens) }},
		{session.Mooncake, `{"session_id":"a","input_length":1100,"output_length":3,"hash_ids":[1,2]}
			{"session_id":"a","delay":1,"input_length":1700,"output_length":3,"hash_ids":[1,2,3]}
			{"session_id":"b","timestamp":500,"input_length":1600,"output_length":3,"hash_ids":[1,2,4]}`, false, session.Rules{},
			func(x stats.Timing) { blocks(x, 512, x.InputTokens) }},
		{session.Turns, `{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"One of the first questions."},
			{"role":"assistant","content":"§ an answer that no model gives"},{"role":"user","content":"And a second one?"},
			{"role":"assistant","content":"§ neither this one"},{"role":"user","content":"Then a third."},{"role":"assistant","content":"§ end"}]}`,
			true, session.Rules{Mark: true, Run: "t", Sessions: 2}, func(x stats.Timing) {
				assert.Equal(t, x.Turn.Hits/16*16, x.Prompt.Cached, "%+v", *x.Turn)
			}},
		{session.Agent, `{"metadata":{},"conversations":[[{"messages":[{"role":"user","content":"Begin with the first of all things."}],"output_tokens":40},
			{"messages":[{"role":"user","content":"What came of it?"}],"output_tokens":40},{"messages":[{"role":"user","content":"Go on."}],"output_tokens":40}]]}`,
			true, session.Rules{Mark: true, Run: "s", Live: true}, func(x stats.Timing) {
				// The answer's last token was never computed.
				assert.Equal(t, max(x.Turn.Hits-1, 0)/16*16, x.Prompt.Cached, "%+v", *x.Turn)
			}},
		{session.Multi, `{"turns":[{"text":"Begin with the first of all things.","output_length":40},{"text":"What came of it?","output_length":40}]}`,
			true, session.Rules{Mark: true, Run: "m", Live: true}, func(x stats.Timing) {
				assert.Equal(t, max(x.Turn.Hits-1, 0)/16*16, x.Prompt.Cached, "%+v", *x.Turn)
			}},
		{session.DAG, `{"session_id":"r","turns":[{"messages":[{"role":"user","content":"Begin with the first of all things."}],"max_tokens":40,"forks":["a","b"]}]}
			{"session_id":"a","turns":[{"messages":[{"role":"user","content":"What came of it?"}],"max_tokens":40}]}
			{"session_id":"b","turns":[{"messages":[{"role":"user","content":"Leave it."}],"max_tokens":40}]}`,
			true, session.Rules{Mark: true, Run: "d", Live: true}, func(x stats.Timing) {
				assert.GreaterOrEqual(t, x.Prompt.Cached, max(x.Turn.Hits-1, 0)/16*16, "%+v", *x.Turn)
				assert.Less(t, x.Prompt.Cached, x.Turn.Hits+16, "what the two branches share besides")
			}},
		{session.Mooncake, `{"session_id":"a","text_input":"Begin with the first of all things.","output_length":40}
			{"session_id":"a","text_input":"What came of it?","output_length":40,"extra":{"top_p":0.9}}`,
			true, session.Rules{Live: true}, func(x stats.Timing) {
				assert.Equal(t, max(x.Turn.Hits-1, 0)/16*16, x.Prompt.Cached, "%+v", *x.Turn)
			}},
	} {
		e, err := engine.Start(engine.Config{})
		require.NoError(t, err)
		file := filepath.Join(t.TempDir(), "sessions.json")
		require.NoError(t, os.WriteFile(file, []byte(c.file), 0o600))
		all, _, err := traces.Open(t.Context(), traces.Options{Kind: c.kind, Path: file})
		require.NoError(t, err, c.kind)
		c.rules.Lanes = 1
		r, err := session.NewReplay(all, c.rules)
		require.NoError(t, err)
		var wire session.Wire = session.IDs{Seed: 1, Low: 0, High: 256}
		if c.chat {
			wire = &session.Chat{Seed: 1}
		}
		rec, err := load.Replay(t.Context(), server.New(e.URL(), "", "", nil), r, wire, load.Options{Conc: 1, Chat: c.chat})
		require.NoError(t, err, c.kind)
		hits := 0
		for _, x := range rec.Timings {
			require.Empty(t, x.Err, c.kind)
			c.check(x)
			hits += x.Turn.Hits
		}
		assert.Positive(t, hits, c.kind)
		assert.NotNil(t, rec.Summary(1).Hits, c.kind)
		require.NoError(t, e.Close())
	}
}

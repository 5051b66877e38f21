// Package aiperf has no code of its own: its test lays a replay of sessions beside
// AIPerf's, the client that AgentX is run with, on the same traces and engine.
package aiperf

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
	"inferbench/harness/traces"
)

// seen is what a client has of one request.
type seen struct {
	in, out    int
	start, end time.Duration
}

// key names a request: the trace, the sub-agent ("" for the root) and the turn, from 1.
type key struct {
	trace, agent string
	turn         int
}

// run is what a client has of a replay.
type run struct {
	requests map[key]seen
	hits     float64 // theoretical_cache_hit_rate

	recorded map[key]time.Duration // pauses of turns that wait for nothing else; ours alone
}

// pause is how long after the last end of a request of its session a request began.
func (r run) pause(k key) (time.Duration, bool) {
	last, some := time.Duration(0), false
	for o, s := range r.requests {
		if o.trace == k.trace && s.end <= r.requests[k].start && (!some || s.end > last) {
			last, some = s.end, true
		}
	}
	return r.requests[k].start - last, some
}

// The same traces, replayed by AIPerf 0.13 and by agentx-harness: as many requests,
// of the same lengths, in the same sessions, after the same pauses; and the same
// share of blocks that an infinite cache would hold.
func TestSessionsBesideAIPerf(t *testing.T) {
	if os.Getenv("PARITY") == "" {
		t.Skip("a comparison with AIPerf and agentx-harness: run `make parity-sessions`")
	}
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	defer func() { assert.NoError(t, e.Close()) }()
	folder := weka(t)
	ours := replay(t, e.URL(), folder)
	for _, peer := range []string{"aiperf", "agentx"} {
		t.Run(peer, func(t *testing.T) {
			theirs := aiperf(t, peer, e.URL(), folder)
			require.Len(t, ours.requests, len(theirs.requests))
			var apart, late, theirsLate []float64 // ms
			for k, o := range ours.requests {
				p, ok := theirs.requests[k]
				require.True(t, ok, "%+v is not among theirs", k)
				assert.Equal(t, []int{p.in, p.out}, []int{o.in, o.out}, "%+v", k)
				mine, some := ours.pause(k)
				other, also := theirs.pause(k)
				require.Equal(t, also, some, "%+v", k)
				if some {
					t.Logf("%+v: %v after the session's last answer, theirs %v", k, mine, other)
					apart = append(apart, math.Abs((mine-other).Seconds()*1e3))
				}
				if pause, simple := ours.recorded[k]; some && simple {
					late, theirsLate = append(late, (mine-pause).Seconds()*1e3), append(theirsLate, (other-pause).Seconds()*1e3)
				}
			}
			assert.InDelta(t, theirs.hits, ours.hits, 1e-4)
			slices.Sort(apart)
			t.Logf("%d requests of the same lengths, theoretical hits %.4f and %.4f, pauses apart by %.2f ms at the median, %.2f at p90",
				len(ours.requests), ours.hits, theirs.hits, stats.Percentile(apart, 50), stats.Percentile(apart, 90))
			slices.Sort(late)
			slices.Sort(theirsLate)
			t.Logf("of %d that wait for one turn, ours are %.2f ms later than recorded at the median, theirs %.2f", len(late),
				stats.Percentile(late, 50), stats.Percentile(theirsLate, 50))
		})
	}
}

// weka writes made-up sessions as Weka traces, a file each.
func weka(t *testing.T) string {
	dir := t.TempDir()
	made := session.Synthetic{Seed: 9, Turns: session.Dist{Mean: 6}, System: 256, Input: session.Dist{Shape: "lognormal", Mean: 150, SD: 80},
		Output: session.Dist{Shape: "lognormal", Mean: 30, SD: 15}, Delay: session.Dist{Shape: "lognormal", Mean: 0.3, SD: 0.2},
		SubAgents: session.Dist{Mean: 1}, SubAgentTurns: session.Dist{Mean: 2}}
	for i := range 8 {
		tr := made.Trace(i)
		b, err := json.Marshal(wekaTrace(&tr))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, tr.ID+".json"), b, 0o600))
	}
	return dir
}

type object = map[string]any

func wekaTrace(tr *session.Trace) object {
	var requests []object
	agents := map[int][]object{}
	began, ended := map[int]time.Duration{}, map[int]time.Duration{}
	for k := range tr.Turns {
		u := &tr.Turns[k]
		r := object{"t": u.At.Seconds(), "type": "s", "model": "m", "in": u.In, "out": u.Out, "hash_ids": u.Blocks,
			"input_types": []string{"text"}, "output_types": []string{"text"}, "stop": "end_turn",
			"api_time": u.Took.Seconds(), "think_time": nil, "ttft": 0.01}
		if u.Stream == 0 {
			requests = append(requests, r)
			continue
		}
		if agents[u.Stream] == nil {
			began[u.Stream] = u.At
		}
		agents[u.Stream] = append(agents[u.Stream], r)
		ended[u.Stream] = u.At + u.Took
	}
	for s, inner := range agents {
		requests = append(requests, object{"t": began[s].Seconds(), "type": "subagent", "agent_id": tr.Streams[s].ID,
			"subagent_type": "general", "duration_ms": (ended[s] - began[s]).Milliseconds(), "total_tokens": 0, "tool_use_count": 0,
			"status": "completed", "models": []string{"m"}, "tool_tokens": 0, "system_tokens": tr.Streams[0].Prefix, "requests": inner})
	}
	slices.SortFunc(requests, func(a, b object) int { return int(1e6 * (a["t"].(float64) - b["t"].(float64))) })
	return object{"id": tr.ID, "models": []string{"m"}, "block_size": tr.Block, "hash_id_scope": "local", "tool_tokens": 0,
		"system_tokens": tr.Streams[0].Prefix, "requests": requests, "totals": nil}
}

// replay is ours.
func replay(t *testing.T, url, folder string) run {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	all, _, err := traces.Open(ctx, traces.Options{Kind: session.Weka, Path: folder})
	require.NoError(t, err)
	r, err := session.NewReplay(all, session.Rules{Lanes: 2, Seed: 1, Run: t.Name()})
	require.NoError(t, err)
	words, err := session.Vocabulary(func(text string) (int, error) { return len(text), nil }) // a byte is a token
	require.NoError(t, err)
	rec, err := load.Replay(ctx, server.New(url, "", "", nil), r, &session.Chat{Seed: 1, Words: words}, load.Options{Conc: 2, Chat: true})
	require.NoError(t, err)
	out := run{requests: map[key]seen{}, recorded: map[key]time.Duration{}}
	for _, x := range rec.Timings {
		require.Empty(t, x.Err)
		trace := rec.Sessions[x.Turn.Session].Trace
		i := slices.IndexFunc(all, func(tr session.Trace) bool { return tr.ID == trace })
		k := key{trace, all[i].Streams[x.Turn.Stream].ID, x.Turn.Number}
		out.requests[k] = seen{x.Prompt.Server, x.OutputTokens, x.Sent, x.Done}
		n := 0
		for _, u := range all[i].Turns {
			if u.Stream != x.Turn.Stream {
				continue
			}
			if n++; n == x.Turn.Number && u.After >= 0 && !u.Beside && len(u.Waits) == 0 && all[i].Turns[u.After].Stream == u.Stream {
				out.recorded[k] = u.Delay
			}
		}
	}
	out.hits = *rec.Summary(1).Hits
	return out
}

// record is a request as AIPerf writes it down.
type record struct {
	Metadata struct {
		ConversationID string `json:"conversation_id"`
		TurnIndex      int    `json:"turn_index"`
		Start          int64  `json:"request_start_ns"`
		End            int64  `json:"request_end_ns"`
		Phase          string `json:"benchmark_phase"`
		Root           string `json:"root_correlation_id"`
	}
	Metrics map[string]struct{ Value any }
}

func (r record) key() key {
	trace, agent, _ := strings.Cut(r.Metadata.ConversationID, "::sa:")
	return key{trace, agent, r.Metadata.TurnIndex + 1}
}

// aiperf is AIPerf's, or agentx-harness's, which has it within.
func aiperf(t *testing.T, venv, url, folder string) run {
	files, err := os.ReadDir(folder)
	require.NoError(t, err)
	records, sum := profile(t, venv, url, folder, "--concurrency", "2", "--num-conversations", fmt.Sprint(len(files)))
	out := run{requests: map[key]seen{}}
	for _, r := range records {
		count := func(name string) int { return int(r.Metrics[name].Value.(float64)) }
		out.requests[r.key()] = seen{count("input_sequence_length"), count("output_sequence_length"),
			time.Duration(r.Metadata.Start), time.Duration(r.Metadata.End)}
	}
	hits := sum["theoretical_prefix_cache_hit"].(map[string]any)
	out.hits = hits["sum"].(float64) / hits["count"].(float64)
	return out
}

// profile has it replay Weka traces, and returns its requests and its summary.
func profile(t *testing.T, venv, url, folder string, more ...string) (records []record, sum map[string]any) {
	bin := "../../.venv-" + venv + "/bin/aiperf"
	if _, err := os.Stat(bin); err != nil {
		t.Skip("not installed: make parity-sessions does it")
	}
	art := t.TempDir()
	tokenizer, err := filepath.Abs("../../harness/tokenizer/testdata/bytes")
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), bin, append([]string{"profile", "--model", engine.ModelName, "--url", url, "--endpoint-type", "chat",
		"--streaming", "--custom-dataset-type", "weka_trace", "--input-file", folder, "--tokenizer", tokenizer, "--use-server-token-count",
		"--artifact-dir", art, "--ui", "none", "--random-seed", "42", "--extra-inputs", "ignore_eos:true"}, more...)...)
	said, err := cmd.CombinedOutput()
	require.NoError(t, err, string(said))
	f, err := os.Open(filepath.Join(art, "profile_export.jsonl"))
	require.NoError(t, err)
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var r record
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r))
		records = append(records, r)
	}
	b, err := os.ReadFile(filepath.Join(art, "profile_export_aiperf.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &sum))
	return records, sum
}

// entered is a replay by the scenario's rules: the requests of the warm-up, and those of
// each lane's first session with the time at which they were due.
type entered struct {
	warm  []key
	first map[key]time.Duration
}

// Entered in their middle, sessions send the same requests in both warm-ups as
// agentx-harness's, and then go on with the same turns.
func TestEntryBesideAgentX(t *testing.T) {
	if os.Getenv("PARITY") == "" {
		t.Skip("a comparison with agentx-harness: run `make parity-sessions`")
	}
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	defer func() { assert.NoError(t, e.Close()) }()
	folder := weka(t)
	records, _ := profile(t, "agentx", e.URL(), folder, "--scenario", "agentx", "--unsafe-override", "--benchmark-duration", "12",
		"--concurrency", "8", "--warmup-requests-per-lane", "2", "--trajectory-start-min-ratio", "0.5", "--trajectory-start-max-ratio", "0.5")
	slices.SortFunc(records, func(a, b record) int { return cmp.Compare(a.Metadata.Start, b.Metadata.Start) })
	theirs := entered{first: map[key]time.Duration{}}
	warmed, begin := map[string]bool{}, int64(0) // sessions that the warm-up began
	for _, r := range records {
		m := r.Metadata
		if m.Phase != "profiling" {
			theirs.warm, warmed[m.Root] = append(theirs.warm, r.key()), true
			continue
		}
		if begin = cmp.Or(begin, m.Start); warmed[m.Root] {
			theirs.first[r.key()] = time.Duration(m.Start - begin)
		}
	}
	ours := enter(t, folder)
	assert.ElementsMatch(t, theirs.warm, ours.warm)
	require.NotEmpty(t, ours.first)
	var apart []float64
	for k, at := range ours.first {
		other, ok := theirs.first[k]
		assert.True(t, ok, "%+v is not among theirs", k)
		apart = append(apart, math.Abs((at-other).Seconds()*1e3))
	}
	assert.Len(t, theirs.first, len(ours.first))
	slices.Sort(apart)
	t.Logf("%d requests of the warm-up and %d turns after it are the same, apart by %.2f ms at the median, %.2f at most", len(ours.warm),
		len(ours.first), stats.Percentile(apart, 50), apart[len(apart)-1])
}

// enter is ours, in virtual time, of a server that answers within 4 ms.
func enter(t *testing.T, folder string) entered {
	all, _, err := traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: folder})
	require.NoError(t, err)
	rules := session.AgentX(len(all))
	rules.EnterFrom, rules.EnterTo, rules.WarmUp, rules.Duration = 0.5, 0.5, 2, 12*time.Second
	r, err := session.NewReplay(all, rules)
	require.NoError(t, err)
	out := entered{first: map[key]time.Duration{}}
	require.True(t, r.WarmUp())
	drive(t, r, func(k key, _ *session.Request) { out.warm = append(out.warm, k) })
	r.Measure()
	drive(t, r, func(k key, q *session.Request) {
		if q.Live.Number < len(all) {
			out.first[k] = q.Due
		}
	})
	return out
}

// drive takes a stage of a replay to its end and tells of each request.
func drive(t *testing.T, r *session.Replay, sent func(key, *session.Request)) {
	const took = 4 * time.Millisecond
	var flying []*session.Request // the next to end first
	for now := time.Duration(0); !r.Over(now); {
		for q := r.Next(now); q != nil; q = r.Next(now) {
			sent(keyOf(q), q)
			flying = append(flying, q)
		}
		wake, ok := r.Wake(now)
		if len(flying) > 0 && (!ok || flying[0].Due+took <= wake) {
			now = max(now, flying[0].Due+took)
			r.Ended(flying[0], now, session.Outcome{})
			flying = flying[1:]
			continue
		}
		require.True(t, ok || r.Over(now))
		now = max(now, wake)
	}
}

func keyOf(q *session.Request) key {
	tr, n := q.Live.Trace, 0
	for k := range q.Turn + 1 {
		if tr.Turns[k].Stream == tr.Turns[q.Turn].Stream {
			n++
		}
	}
	return key{tr.ID, tr.Streams[tr.Turns[q.Turn].Stream].ID, n}
}

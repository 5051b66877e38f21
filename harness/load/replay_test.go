package load

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/hint"
	"inferbench/harness/session"
)

// talk is a session of one root with turns of two blocks more each, and a sub-agent
// that works beside the second turn.
func talk(id string) session.Trace {
	t := session.Trace{ID: id, Block: 8, Streams: []session.Stream{{Parent: -1}, {ID: "agent"}}}
	for k := range 4 {
		turn := session.Turn{At: time.Duration(k) * 20 * time.Millisecond, Took: 10 * time.Millisecond, In: 16*(k+1) + 3, Out: 3}
		for b := range 2 * (k + 1) {
			turn.Blocks = append(turn.Blocks, uint32(b))
		}
		t.Turns = append(t.Turns, turn)
	}
	t.Turns = append(t.Turns, session.Turn{Stream: 1, At: 21 * time.Millisecond, Took: 30 * time.Millisecond, In: 5, Out: 2,
		Blocks: []uint32{100}})
	t.Settle()
	return t
}

var idsWire = session.IDs{Seed: 1, Low: 10, High: 900}

func replay(t *testing.T, rules session.Rules, traces ...session.Trace) *session.Replay {
	t.Helper()
	r, err := session.NewReplay(traces, rules)
	require.NoError(t, err)
	return r
}

// Every turn of every session is sent once, with its prompt and after its predecessors,
// and the recording says which it was.
func TestReplaySendsSessions(t *testing.T) {
	var mu sync.Mutex
	prompts := map[int]int{} // length to how often
	tg := fake(t, func(w http.ResponseWriter, _ *http.Request, a asked) {
		mu.Lock()
		prompts[len(a.ids())]++
		mu.Unlock()
		stream(w, a.MaxTokens, len(a.ids()), 0)
	})
	r := replay(t, session.Rules{Lanes: 2, Sessions: 3, Mark: true}, talk("a"), talk("b"))
	var last Progress
	rec, err := Replay(t.Context(), tg, r, idsWire, Options{Conc: 2, OnProgress: func(p Progress) { last = p }})
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()
	assert.Equal(t, map[int]int{19: 3, 35: 3, 51: 3, 67: 3, 5: 3}, prompts)
	assert.Equal(t, 3, last.Sessions.Ended)
	assert.Zero(t, last.Total)
	require.Len(t, rec.Timings, 15)
	require.Len(t, rec.Sessions, 3)
	assert.Empty(t, rec.Contradictions)
	assert.Len(t, rec.Audit.LaneIdleShare, 2)
	ends := map[[2]int]time.Duration{} // of a session's turns on the root
	for _, x := range rec.Timings {
		require.Empty(t, x.Err)
		assert.True(t, x.Turn.Stream == 1 && x.OutputTokens == 2 || x.Turn.Stream == 0 && x.OutputTokens == 3)
		if x.Turn.Stream == 0 {
			ends[[2]int{x.Turn.Session, x.Turn.Number}] = x.Done
			assert.Equal(t, 2*x.Turn.Number, x.Turn.Blocks)
			assert.Equal(t, 2*(x.Turn.Number-1), x.Turn.Hits)
		}
	}
	for _, x := range rec.Timings {
		if x.Turn.Stream == 0 && x.Turn.Number > 1 {
			pause := x.Sent - ends[[2]int{x.Turn.Session, x.Turn.Number - 1}]
			assert.GreaterOrEqual(t, pause, 10*time.Millisecond, "the recorded pause is from the live end")
		}
	}
	for _, s := range rec.Sessions {
		assert.True(t, s.Done && s.Whole && !s.Failed)
		assert.Greater(t, s.Ended, s.Began)
	}
}

// A turn that fails is counted, ends its session, and its lane goes on.
func TestReplayCountsATurnThatFails(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, _ *http.Request, a asked) {
		if a.number == 2 {
			http.Error(w, "out of memory", http.StatusInternalServerError)
			return
		}
		stream(w, a.MaxTokens, len(a.ids()), 0)
	})
	one := session.Trace{ID: "one", Streams: []session.Stream{{Parent: -1}}}
	for k := range 3 {
		one.Turns = append(one.Turns, session.Turn{At: time.Duration(k), In: 4 + k, Out: 2})
	}
	one.Settle()
	rec, err := Replay(t.Context(), tg, replay(t, session.Rules{Lanes: 1, Sessions: 2}, one), idsWire, Options{Conc: 1})
	require.NoError(t, err)
	require.Len(t, rec.Timings, 5)
	assert.Contains(t, rec.Timings[1].Err, "out of memory")
	assert.True(t, rec.Sessions[0].Failed)
	assert.True(t, rec.Sessions[1].Done)
}

// The warm-up's requests are asked for one token and are in no figure; where one fails,
// nothing is measured.
func TestReplayWarmsUp(t *testing.T) {
	var mu sync.Mutex
	asks := map[int]int{}
	fails := false
	tg := fake(t, func(w http.ResponseWriter, _ *http.Request, a asked) {
		mu.Lock()
		asks[a.MaxTokens]++
		refuse := fails
		mu.Unlock()
		if refuse {
			http.Error(w, "no", http.StatusInternalServerError)
			return
		}
		stream(w, a.MaxTokens, len(a.ids())+1, 0) // and a BOS
	})
	rules := session.Rules{Lanes: 2, Sessions: 2, EnterFrom: 0.4, EnterTo: 0.4, Primers: true, WarmUp: 1}
	rec, err := Replay(t.Context(), tg, replay(t, rules, talk("a")), idsWire, Options{Conc: 2})
	require.NoError(t, err)
	assert.Equal(t, 1, rec.InputOffset.Tokens)
	assert.Equal(t, 4, rec.WarmUps)
	assert.Equal(t, 4, rec.Summary(1).WarmUps)
	assert.Equal(t, rec.Timings[0].OutputTokens, rec.Timings[0].Turn.Out)
	assert.Empty(t, rec.Contradictions)
	mu.Lock()
	assert.GreaterOrEqual(t, asks[1], 4, "a primer and one more a lane")
	assert.Equal(t, len(rec.Timings), asks[3]+asks[2])
	assert.False(t, rec.Sessions[0].Whole)
	fails = true
	mu.Unlock()
	_, err = Replay(t.Context(), tg, replay(t, rules, talk("a")), idsWire, Options{Conc: 2})
	assert.ErrorContains(t, err, "warm-up requests failed")
}

// A warm-up whose answers do not come is given up, and its requests are ended.
func TestReplayGivesUpAWarmUp(t *testing.T) {
	ended := make(chan struct{}, 2)
	tg := fake(t, func(_ http.ResponseWriter, r *http.Request, _ asked) {
		<-r.Context().Done()
		ended <- struct{}{}
	})
	rules := session.Rules{Lanes: 2, WarmUp: 1, Grace: 50 * time.Millisecond}
	_, err := Replay(t.Context(), tg, replay(t, rules, talk("a")), idsWire, Options{Conc: 2})
	assert.EqualError(t, err, "2 of the warm-up's 2 requests had not been answered 50ms after the last was sent")
	assert.Contains(t, hint.For(err), "REPLAY_GRACE")
	<-ended
	<-ended
}

// What has not ended when the time to end in is over is cut off, and in no figure.
func TestReplayCutsOffWhatIsLate(t *testing.T) {
	ended := make(chan struct{})
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		if a.number == 2 {
			<-r.Context().Done()
			close(ended)
			return
		}
		stream(w, a.MaxTokens, len(a.ids()), 0)
	})
	rules := session.Rules{Lanes: 1, Duration: 80 * time.Millisecond, Drain: 40 * time.Millisecond}
	rec, err := Replay(t.Context(), tg, replay(t, rules, talk("a")), idsWire, Options{Conc: 1})
	require.NoError(t, err)
	<-ended
	require.NotEmpty(t, rec.Timings)
	for _, x := range rec.Timings {
		assert.Empty(t, x.Err)
		assert.LessOrEqual(t, x.Done, rec.Duration)
	}
	assert.False(t, rec.Sessions[0].Failed)
	assert.Contains(t, rec.Notes, fmt.Sprintf("1 of %d requests had not been answered when the time to end in was over, and were cut off: no figure is of them",
		len(rec.Timings)+1))
	assert.Zero(t, rec.Summary(1).Failed)
}

// Ctrl+C ends a replay at once, whatever it waits for.
func TestReplayEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		if a.number == 2 {
			cancel()
			<-r.Context().Done()
			return
		}
		stream(w, a.MaxTokens, len(a.ids()), 0)
	})
	slow := talk("a")
	slow.Turns[3].Delay = time.Hour
	rec, err := Replay(ctx, tg, replay(t, session.Rules{Lanes: 1, Sessions: 9}, slow), idsWire, Options{Conc: 1})
	assert.ErrorIs(t, err, context.Canceled)
	assert.NotNil(t, rec)
}

// A server that hangs up on everything does not keep a replay going for ever.
func TestReplayStopsWhenNothingSucceeds(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, _ *http.Request, _ asked) {
		http.Error(w, "no", http.StatusInternalServerError)
	})
	rec, err := Replay(t.Context(), tg, replay(t, session.Rules{Lanes: 1, Sessions: 1000}, talk("a")), idsWire, Options{Conc: 1})
	require.NoError(t, err)
	assert.Len(t, rec.Timings, 22)
	rec, err = Replay(t.Context(), tg, replay(t, session.Rules{Lanes: 1, Sessions: 1000, ErrorShare: 0.1}, talk("a")), idsWire,
		Options{Conc: 1})
	require.NoError(t, err)
	assert.Len(t, rec.Timings, 10)
	assert.Contains(t, rec.Stopped, "10 of 10 requests failed")
}

// Requests say which conversation they are of, and send back what the server gave the
// session.
func TestAffinity(t *testing.T) {
	var mu sync.Mutex
	var heads []http.Header
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		mu.Lock()
		heads = append(heads, r.Header.Clone())
		w.Header().Set("X-Session-Token", fmt.Sprint("worker-", a.number))
		mu.Unlock()
		stream(w, a.MaxTokens, len(a.ids()), 0)
	})
	o := Options{Conc: 1, Affinity: Affinity{Token: "x-session-token", Headers: []Header{{"X-Session-ID", "{session}"},
		{"X-Parent", "{parent}"}, {"X-Root", "r-{root}"}}}}
	rec, err := Replay(t.Context(), tg, replay(t, session.Rules{Lanes: 1, Sessions: 2, Run: "r"}, talk("a")), idsWire, o)
	require.NoError(t, err)
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, heads, 10)
	roots, conversations := map[string]int{}, map[string]int{}
	for i, h := range heads {
		id := h.Get("X-Correlation-ID")
		conversations[id]++
		roots[h.Get("X-Root")]++
		assert.Regexp(t, `^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$`, id)
		assert.Equal(t, id, h.Get("X-Session-Affinity"))
		assert.Equal(t, id, h.Get("X-Session-ID"))
		if h.Get("X-Root") == "r-"+id {
			assert.NotContains(t, h, "X-Parent", "a root has none")
		} else {
			assert.Equal(t, h.Get("X-Root"), "r-"+h.Get("X-Parent"))
		}
		if i%5 == 0 {
			assert.NotContains(t, h, "X-Session-Token", "the session is new")
		} else {
			assert.Contains(t, h.Get("X-Session-Token"), "worker-")
		}
	}
	assert.Equal(t, 2, len(roots))
	assert.Equal(t, 4, len(conversations))
	assert.Contains(t, roots, "r-"+rec.Sessions[0].ID)
}

// With live answers, what the server said stands in the history, and its reasoning does
// not.
func TestLiveAnswers(t *testing.T) {
	var mu sync.Mutex
	var asks [][]string
	tg := fake(t, func(w http.ResponseWriter, _ *http.Request, a asked) {
		mu.Lock()
		var said []string
		for _, m := range a.Messages {
			said = append(said, m.Content)
		}
		asks = append(asks, said)
		mu.Unlock()
		say(w, 0, delta(`{"role":"assistant","reasoning_content":"hm"}`, "null"), delta(fmt.Sprintf(`{"content":"yes %d"}`, a.number), "null"),
			delta(`{"content":"\n!"}`, `"length"`), usage(9, 3), done)
	})
	text := session.Trace{ID: "t", Streams: []session.Stream{{Parent: -1}}}
	for k := range 3 {
		text.Turns = append(text.Turns, session.Turn{After: k - 1, In: 5, Out: 3, Answer: "recorded",
			Says: []session.Message{{Role: "user", Content: fmt.Sprint("turn ", k)}}})
	}
	for _, live := range []bool{true, false} {
		mu.Lock()
		asks = nil
		mu.Unlock()
		_, err := Replay(t.Context(), tg, replay(t, session.Rules{Lanes: 1, Live: live}, text), &session.Chat{}, Options{Conc: 1, Chat: true})
		require.NoError(t, err)
		mu.Lock()
		if live {
			assert.Equal(t, []string{"turn 0", "yes 1\n!", "turn 1", "yes 2\n!", "turn 2"}, asks[2])
		} else {
			assert.Equal(t, []string{"turn 0", "recorded", "turn 1", "recorded", "turn 2"}, asks[2])
		}
		mu.Unlock()
	}
}

// A chat of made-up words is held against the server's count of them, but not where the
// server's own answers, which are as long as they are, stand in its history.
func TestWordsOfAChatAreCounted(t *testing.T) {
	made := session.Trace{ID: "t", Block: 64, Streams: []session.Stream{{Parent: -1}}}
	for k := range 3 {
		u := session.Turn{After: k - 1, In: 640 + 192*k, Out: 64}
		for b := range u.In / 64 {
			u.Blocks = append(u.Blocks, uint32(b))
		}
		made.Turns = append(made.Turns, u)
	}
	for name, c := range map[string]struct {
		live  bool
		lost  int // words that the server leaves out
		wrong bool
	}{"whole": {false, 0, false}, "cut": {false, 100, true}, "live answers": {true, 0, false}} {
		tg := fake(t, func(w http.ResponseWriter, _ *http.Request, a asked) {
			words := 0
			for _, m := range a.Messages {
				words += len(strings.Fields(m.Content))
			}
			say(w, 0, delta(`{"content":"yes"}`, `"length"`), usage(words-c.lost, a.MaxTokens), done)
		})
		rec, err := Replay(t.Context(), tg, replay(t, session.Rules{Lanes: 1, Live: c.live}, made),
			&session.Chat{Words: session.Words()}, Options{Conc: 1, Chat: true})
		require.NoError(t, err, name)
		require.Len(t, rec.Timings, 3, name)
		assert.Equal(t, c.wrong, strings.Contains(fmt.Sprint(rec.Contradictions), "it left some out"), "%s: %v", name, rec.Contradictions)
	}
}

// A header of the user's takes the place of the one that is always sent, and the server's
// token that of either.
func TestAffinityOfOneName(t *testing.T) {
	one := talk("a")
	v := &session.Live{Trace: &one, ID: "id"}
	q := &session.Request{Live: v}
	a := affinity{Affinity{Headers: []Header{{"x-correlation-id", "mine-{session}"}}, Token: "X-Session-Affinity"}, map[*session.Live]string{}}
	assert.Equal(t, "\r\nX-Session-Affinity: id\r\nx-correlation-id: mine-id", string(a.lines(q)))
	a.keep(v, "worker-3")
	assert.Equal(t, "\r\nx-correlation-id: mine-id\r\nX-Session-Affinity: worker-3", string(a.lines(q)))
}

func TestAppendID(t *testing.T) {
	for _, id := range []int32{-5, 0, 7, 999, 1000, 1001, 9999, 10000, 10203, 99999, 100000, 654321, 999999, 1000000, 2147483647} {
		assert.Equal(t, fmt.Sprint(id), string(appendID(nil, id)))
	}
}

// Bodies of turns that are due are made before the others', in their order; one that is
// being made is in no list.
func TestDueBodiesAreMadeFirst(t *testing.T) {
	var q [6]*session.Request
	for i := range q {
		q[i] = &session.Request{Index: i}
	}
	got := dueFirst([]*session.Request{q[0], q[1], q[2], q[3]}, []*session.Request{q[5], q[3], q[1]})
	assert.Equal(t, []*session.Request{q[3], q[1], q[0], q[2]}, got)
	assert.Equal(t, []*session.Request{q[0]}, dueFirst([]*session.Request{q[0]}, []*session.Request{q[4], q[5]}))
	assert.Empty(t, dueFirst(nil, []*session.Request{q[4]}))
}

// A server that cuts chats short did other work than was asked for.
func TestChatsAreReadWhole(t *testing.T) {
	for most, wrong := range map[int]bool{1 << 20: false, 30: true} {
		tg := fake(t, func(w http.ResponseWriter, _ *http.Request, a asked) {
			words := 0
			for _, m := range a.Messages {
				words += 3 + len(strings.Fields(m.Content)) // and the template
			}
			for i := range a.MaxTokens {
				say(w, 0, delta(`{"content":"a"}`, map[bool]string{true: `"length"`, false: "null"}[i == a.MaxTokens-1]))
			}
			say(w, 0, usage(min(words, most), a.MaxTokens), done)
		})
		r := replay(t, session.Rules{Lanes: 1}, talk("a"))
		rec, err := Replay(t.Context(), tg, r, &session.Chat{Words: session.Words()}, Options{Conc: 1, Chat: true})
		require.NoError(t, err)
		require.Empty(t, rec.Timings[0].Err)
		if wrong {
			require.Len(t, rec.Contradictions, 1)
			assert.Contains(t, rec.Contradictions[0], "for 2 of 5 chats the server counts fewer input tokens than words were sent, as 30 for 51")
		} else {
			assert.Empty(t, rec.Contradictions)
		}
	}
}

// Of sub-agents that wait at once a lane's time passes once.
func TestLateTurnsOfALaneAreCountedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		spans []span
		want  time.Duration
	}{
		"none":       {nil, 0},
		"apart":      {[]span{{5, 6}, {1, 2}}, 2},
		"at once":    {[]span{{0, 3}, {0, 3}, {0, 3}}, 3},
		"overlap":    {[]span{{0, 3}, {2, 5}, {1, 2}}, 5},
		"within":     {[]span{{5, 6}, {0, 7}}, 7},
		"one's edge": {[]span{{0, 3}, {3, 4}}, 4},
	} {
		assert.Equal(t, c.want, covered(c.spans), name)
	}
}

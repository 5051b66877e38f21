package session_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/session"
)

// event is a request as a server in virtual time sees it.
type event struct {
	at      time.Duration
	session int
	turn    int
	out     int
}

func (e event) String() string { return fmt.Sprintf("%v s%d.%d", e.at, e.session, e.turn) }

// server answers every request after a time, or fails it.
type server struct {
	took  func(q *session.Request) time.Duration // nil: a second
	fails func(q *session.Request) bool
	flight
}

type flight []struct {
	q   *session.Request
	end time.Duration
}

// drive takes a stage to its end in virtual time, and returns what was sent.
func (s *server) drive(t *testing.T, r *session.Replay) (sent []event) {
	t.Helper()
	now := time.Duration(0)
	for range 100_000 {
		for q := r.Next(now); q != nil; q = r.Next(now) {
			took := time.Second
			if s.took != nil {
				took = s.took(q)
			}
			require.LessOrEqual(t, q.Due, now)
			sent = append(sent, event{now, q.Live.Number, q.Turn, q.Out})
			s.flight = append(s.flight, struct {
				q   *session.Request
				end time.Duration
			}{q, now + took})
		}
		if r.Over(now) || r.Expire(now) {
			return sent
		}
		wake, ok := r.Wake(now)
		next := -1
		for i, f := range s.flight {
			if next < 0 || f.end < s.flight[next].end {
				next = i
			}
		}
		switch {
		case next >= 0 && (!ok || s.flight[next].end <= wake):
			f := s.flight[next]
			s.flight = append(s.flight[:next], s.flight[next+1:]...)
			now = f.end
			r.Ended(f.q, now, session.Outcome{Failed: s.fails != nil && s.fails(f.q)})
		case ok:
			require.Greater(t, wake, now, "it would wait for nothing")
			now = wake
		default:
			t.Fatal("nothing is in flight, nothing is due, and it is not over")
		}
	}
	t.Fatal("it does not end")
	return nil
}

// chain is a session of n turns of one stream, each recorded to take a second, with a
// pause before each but the first.
func chain(id string, n int, pause time.Duration) session.Trace {
	t := session.Trace{ID: id, Block: 4, Streams: []session.Stream{{Parent: -1}}}
	for k := range n {
		t.Turns = append(t.Turns, session.Turn{At: time.Duration(k) * (s + pause), Took: s, In: 4 * (k + 1), Out: 7})
	}
	t.Settle()
	return t
}

func replay(t *testing.T, rules session.Rules, traces ...session.Trace) *session.Replay {
	t.Helper()
	r, err := session.NewReplay(traces, rules)
	require.NoError(t, err)
	return r
}

// times are when requests were sent, each as session.turn.
func times(sent []event) (out []string) {
	for _, e := range sent {
		out = append(out, e.String())
	}
	return out
}

// measure begins the measured stage and takes it to its end.
func measure(t *testing.T, r *session.Replay, s server) []string {
	t.Helper()
	r.Measure()
	return times(s.drive(t, r))
}

func slow(d time.Duration) server {
	return server{took: func(*session.Request) time.Duration { return d }}
}

// A turn follows the live end of the one before it by the recorded pause, however long
// the server takes.
func TestDelaysCountFromTheLiveEnd(t *testing.T) {
	r := replay(t, session.Rules{Lanes: 1}, chain("a", 3, 2*s))
	assert.Equal(t, []string{"0s s0.0", "12s s0.1", "24s s0.2"}, measure(t, r, slow(10*s)))
	log := r.Log()
	assert.Equal(t, []session.Session{{ID: log.Sessions[0].ID, Ended: 34 * s, Turns: 3, Done: true}}, log.Sessions)
	assert.Equal(t, []session.Place{{Turn: 0}, {Turn: 1, Due: 12 * s}, {Turn: 2, Due: 24 * s}}, log.Requests)
	assert.Equal(t, session.Counts{Sent: 3, Ended: 3, Sessions: 1}, r.Counts())
}

// CONC sessions are live at a time; a lane that is through takes the next one from its
// first turn, until there were as many as asked for.
func TestLanesTakeTheNextSession(t *testing.T) {
	a, b := chain("a", 2, 0), chain("b", 2, 0)
	r := replay(t, session.Rules{Lanes: 2, Sessions: 3}, a, b)
	assert.Equal(t, []string{"0s s0.0", "0s s1.0", "1s s0.1", "1s s1.1", "2s s2.0", "3s s2.1"}, measure(t, r, slow(s)))
	assert.Equal(t, 3, r.Counts().Sessions)
	var lanes []int
	for _, x := range r.Log().Sessions {
		lanes = append(lanes, x.Lane)
	}
	assert.Equal(t, []int{0, 1, 0}, lanes)
	all := replay(t, session.Rules{Lanes: 1}, a, b)
	measure(t, all, slow(s))
	assert.Equal(t, 2, all.Counts().Sessions, "one of each trace where nothing bounds the run")
	wide := replay(t, session.Rules{Lanes: 5}, a, b)
	measure(t, wide, slow(s))
	assert.Equal(t, 5, wide.Counts().Sessions, "each lane has one")
}

// Sub-agents run beside the root, beyond CONC; the root waits for those that had ended
// in the recording, and for no other; the lane is free when all have ended.
func TestSpawnAndJoin(t *testing.T) {
	f := family()
	f.Settle()
	r := replay(t, session.Rules{Lanes: 1, Sessions: 2}, f)
	most := 0
	srv := server{took: func(q *session.Request) time.Duration {
		if q.Turn == 3 {
			return 20 * s // the sub-agent's last turn takes longer than in the recording
		}
		return s
	}}
	srv.fails = func(*session.Request) bool { most = max(most, len(srv.flight)+1); return false }
	got := measure(t, r, srv)
	assert.Equal(t, []string{
		"0s s0.0", "2s s0.1", "2s s0.2", // both sub-agents, one second after the root's end
		"5s s0.3",  // two seconds after its stream's
		"25s s0.4", // not 8 s after the root's end: the join holds it back
		"26s s1.0", // the lane goes on
	}, got[:6])
}

// The root goes on without a sub-agent that was still at work in the recording, and the
// lane waits for it all the same.
func TestBackgroundSubAgentsHoldTheLane(t *testing.T) {
	f := family()
	f.Settle()
	r := replay(t, session.Rules{Lanes: 1, Sessions: 2}, f)
	got := measure(t, r, server{took: func(q *session.Request) time.Duration {
		if q.Turn == 2 {
			return 100 * s
		}
		return s
	}})
	assert.Equal(t, "9s s0.4", got[4])
	assert.Equal(t, "1m42s s1.0", got[5])
}

// A turn of one stream waits for turns of its siblings that had ended before it began.
func TestHappensBefore(t *testing.T) {
	f := session.Trace{ID: "x", Streams: []session.Stream{{Parent: -1}, {Spawned: s}, {Spawned: s}}, Turns: []session.Turn{
		{At: 0, Took: s, In: 1, Out: 1},
		{Stream: 1, At: 2 * s, Took: 2 * s, In: 1, Out: 1},
		{Stream: 2, At: 5 * s, Took: s, In: 1, Out: 1},
	}}
	f.Settle()
	require.Equal(t, []int{1}, f.Turns[2].Waits)
	r := replay(t, session.Rules{Lanes: 1}, f)
	assert.Equal(t, []string{"0s s0.0", "2s s0.1", "42s s0.2"}, measure(t, r, server{took: func(q *session.Request) time.Duration {
		if q.Turn == 1 {
			return 40 * s
		}
		return s
	}}))
}

// A stream that was spawned while a turn was under way begins beside it, however long
// that takes now, and what came after both waits for both.
func TestBeside(t *testing.T) {
	f := session.Trace{ID: "x", Streams: []session.Stream{{Parent: -1}, {Spawned: 2 * s}}, Turns: []session.Turn{
		{At: 0, Took: 5 * s, In: 1, Out: 1},
		{Stream: 1, At: 2 * s, Took: s, In: 1, Out: 1},
		{At: 6 * s, Took: s, In: 1, Out: 1},
	}}
	f.Settle()
	assert.Equal(t, []string{"0s s0.0", "2s s0.1", "43s s0.2"}, measure(t, replay(t, session.Rules{Lanes: 1}, f),
		server{took: func(q *session.Request) time.Duration { return []time.Duration{s, 41 * s, s}[q.Turn] }}))
	assert.Equal(t, []string{"0s s0.0", "2s s0.1", "41s s0.2"}, measure(t, replay(t, session.Rules{Lanes: 1}, f),
		server{took: func(q *session.Request) time.Duration { return []time.Duration{40 * s, s, s}[q.Turn] }}))
}

// With nothing in flight for as long as the rule allows, all delays are moved up by as
// much as the first one needs.
func TestSystemIdleIsCapped(t *testing.T) {
	a, b := chain("a", 2, 100*s), chain("b", 2, 130*s)
	r := replay(t, session.Rules{Lanes: 2, SystemIdle: 10 * s}, a, b)
	got := measure(t, r, slow(s))
	assert.Equal(t, []string{"0s", "0s", "11s", "22s"}, at(got), "a's turn 10 s after all ended; b's another 10 s later")
	r = replay(t, session.Rules{Lanes: 2, SystemIdle: 40 * s}, a, b)
	assert.Equal(t, []string{"0s", "0s", "41s", "1m11s"}, at(measure(t, r, slow(s))), "spacing is kept: 30 s between the two")
}

// One session alone may be idle for so long, whatever the others do.
func TestTreeIdleIsCapped(t *testing.T) {
	a, busy := chain("a", 2, 1000*s), chain("busy", 400, 0)
	r := replay(t, session.Rules{Lanes: 2, TreeIdle: 300 * s, Seed: 1}, a, busy)
	r.Measure()
	srv := slow(s)
	var of []event
	for _, e := range srv.drive(t, r) {
		if len(r.Log().Traces[r.Log().Sessions[e.session].Trace].Turns) == 2 {
			of = append(of, e)
		}
	}
	require.Len(t, of, 2)
	assert.Equal(t, 301*s, of[1].at)
}

func at(events []string) (out []string) {
	for _, e := range events {
		var at string
		fmt.Sscan(e, &at)
		out = append(out, at)
	}
	return out
}

// No turn is sent after the duration; what is in flight is waited for.
func TestDurationEndsTheRun(t *testing.T) {
	r := replay(t, session.Rules{Lanes: 1, Duration: 25 * s}, chain("a", 3, 0))
	assert.Equal(t, []string{"0s s0.0", "10s s0.1", "20s s0.2"}, measure(t, r, slow(10*s)))
	r = replay(t, session.Rules{Lanes: 1, Duration: 5 * s}, chain("a", 3, 0))
	assert.Len(t, measure(t, r, slow(10*s)), 1)
	assert.False(t, r.Log().Sessions[0].Done, "it was cut off")
	assert.False(t, r.Log().Sessions[0].Failed)
}

// Once the duration is over, answers may take so long; what takes longer is cut off, and
// has neither failed nor ended its session.
func TestDrainCutsOffWhatTakesLonger(t *testing.T) {
	for took, cut := range map[time.Duration]bool{7 * s: false, 9 * s: true} {
		r := replay(t, session.Rules{Lanes: 1, Duration: 5 * s, Drain: 3 * s}, chain("a", 3, 0))
		r.Measure()
		q := r.Next(0)
		require.NotNil(t, q)
		wake, ok := r.Wake(0)
		require.True(t, ok)
		assert.Equal(t, 8*s, wake)
		assert.False(t, r.Expire(8*s-1))
		if cut {
			assert.True(t, r.Expire(8*s))
			assert.False(t, r.Expire(8*s), "once")
		}
		r.Ended(q, min(took, 8*s), session.Outcome{Failed: cut, CutOff: cut})
		assert.True(t, r.Over(8*s))
		x := r.Log().Sessions[0]
		assert.False(t, x.Done || x.Failed)
		assert.Equal(t, session.Counts{Sent: 1, Ended: map[bool]int{false: 1}[cut]}, r.Counts())
		assert.Empty(t, r.Log().Stopped)
	}
	assert.Equal(t, 30*s, session.AgentX(1).Drain)
}

// A turn that fails ends its session, once its other streams' requests are through; the
// lane goes on with the next.
func TestAFailedTurnEndsItsSession(t *testing.T) {
	f := family()
	f.Settle()
	r := replay(t, session.Rules{Lanes: 1, Sessions: 2}, f)
	got := measure(t, r, server{
		took: func(q *session.Request) time.Duration {
			if q.Turn == 2 {
				return 30 * s
			}
			return s
		},
		fails: func(q *session.Request) bool { return q.Live.Number == 0 && q.Turn == 1 },
	})
	assert.Equal(t, []string{"0s s0.0", "2s s0.1", "2s s0.2", "32s s1.0"}, got[:4])
	first := r.Log().Sessions[0]
	assert.True(t, first.Failed)
	assert.False(t, first.Done)
	assert.Equal(t, 2, first.Turns, "of three that were sent")
	assert.Equal(t, session.Counts{Sent: 8, Ended: 8, Failed: 1, Sessions: 2}, r.Counts())
}

// Too many errors stop the run, and not before there were enough requests to tell.
func TestErrorShareStopsTheRun(t *testing.T) {
	fails := func(n int) server {
		i := 0
		return server{fails: func(*session.Request) bool { i++; return i%n == 0 }}
	}
	r := replay(t, session.Rules{Lanes: 1, Sessions: 100, ErrorShare: 0.1}, chain("a", 1, 0))
	assert.Len(t, measure(t, r, fails(2)), 10)
	assert.Equal(t, "5 of 10 requests failed, which is more than 10 %", r.Log().Stopped)
	r = replay(t, session.Rules{Lanes: 1, Sessions: 100, ErrorShare: 0.1}, chain("a", 1, 0))
	assert.Len(t, measure(t, r, fails(10)), 100, "a tenth is not more than a tenth")
	assert.Empty(t, r.Log().Stopped)
	r = replay(t, session.Rules{Lanes: 20, Sessions: 100, ErrorShare: 0.1}, chain("a", 1, 0))
	assert.Len(t, measure(t, r, fails(1)), 20+19, "as many as there are lanes must have ended")
}

// The first session of each lane is entered between a quarter and three quarters of its
// time; what is before that is history, and the pauses between lanes' turns are kept.
func TestEntry(t *testing.T) {
	rules := session.Rules{Lanes: 8, Sessions: 16, EnterFrom: 0.25, EnterTo: 0.75, Seed: 42}
	r := replay(t, rules, chain("a", 101, 0)) // a turn a second from 0 to 100
	r.Measure()
	srv := slow(s)
	sent := srv.drive(t, r)
	seen := map[int]bool{}
	for _, x := range r.Log().Sessions[:8] {
		assert.GreaterOrEqual(t, x.History, 25)
		assert.LessOrEqual(t, x.History, 76)
		seen[x.History] = true
	}
	assert.Greater(t, len(seen), 4, "each lane has an entry of its own")
	assert.Equal(t, time.Duration(0), sent[0].at, "the first is due at once")
	for _, e := range sent[:8] {
		assert.Less(t, e.at, s, "turns were a second apart")
	}
	again := replay(t, rules, chain("a", 101, 0))
	again.Measure()
	assert.Equal(t, sent[:50], (&server{took: srv.took}).drive(t, again)[:50], "the seed decides")
	for _, x := range r.Log().Sessions[8:] {
		assert.Zero(t, x.History, "a lane's later sessions begin at their first turn")
	}
}

// The warm-up sends each stream's last turn before the entry again, then goes on by so
// many turns a lane, all for one token; the measured stage goes on from there.
func TestWarmUp(t *testing.T) {
	f := family()
	f.Settle()
	rules := session.Rules{Lanes: 1, Sessions: 1, EnterFrom: 0.55, EnterTo: 0.55, Primers: true, WarmUp: 1}
	r := replay(t, rules, f) // entered at 5.5 s: the root and a are under way, b is at its only turn
	require.True(t, r.WarmUp())
	srv := slow(s)
	warm := srv.drive(t, r)
	assert.Equal(t, []string{"0s s0.0", "3s s0.1"}, times(warm)[:2], "5.5 s and 2.5 s before the entry")
	assert.Equal(t, []string{"4s s0.3"}, times(warm)[2:], "then one more turn, without its delay")
	for _, e := range warm {
		assert.Equal(t, 1, e.out)
	}
	assert.False(t, r.WarmUp(), "once")
	r.Measure()
	rest := srv.drive(t, r)
	assert.Equal(t, []event{{0, 0, 4, 4}}, rest)
	assert.Equal(t, 4, r.Log().Sessions[0].History)

	none := replay(t, session.Rules{Lanes: 1}, f)
	assert.False(t, none.WarmUp())
}

// A stream's last turn is sent again as long before the others' as it was before the
// entry, and 10 s before at most.
func TestPrimersAreSpreadOverTenSecondsAtMost(t *testing.T) {
	r := replay(t, session.Rules{Lanes: 2, EnterFrom: 0.5, EnterTo: 0.5, Primers: true}, chain("a", 2, 1000*s), chain("b", 2, 7*s))
	require.True(t, r.WarmUp())
	srv := slow(s)
	sent := srv.drive(t, r)
	require.Len(t, sent, 2)
	assert.Equal(t, []time.Duration{0, 6 * s}, []time.Duration{sent[0].at, sent[1].at}, "500.5 s and 4 s before the entry")
}

// A lane that comes to the end of its session in the warm-up goes on with the next.
func TestWarmUpGoesOnWithTheNextSession(t *testing.T) {
	r := replay(t, session.Rules{Lanes: 2, Duration: time.Hour, WarmUp: 3}, chain("a", 2, 0))
	require.True(t, r.WarmUp())
	srv := slow(s)
	assert.Equal(t, []string{"0s s0.0", "0s s1.0", "1s s0.1", "1s s1.1", "2s s2.0", "2s s3.0"}, times(srv.drive(t, r)))
	r.Measure()
	assert.Equal(t, "0s s2.1", times(srv.drive(t, r))[0])
}

func TestAFailureEndsTheWarmUp(t *testing.T) {
	r := replay(t, session.Rules{Lanes: 2, Duration: time.Hour, WarmUp: 3}, chain("a", 2, 0))
	require.True(t, r.WarmUp())
	srv := server{fails: func(q *session.Request) bool { return q.Live.Number == 0 }}
	assert.Len(t, srv.drive(t, r), 2)
	assert.Equal(t, 1, r.Counts().Failed)
}

// Once the warm-up has sent its last request, its answers may take so long and no longer;
// until then no answer is too late.
func TestTheWarmUpsAnswersMayTakeALimitedTime(t *testing.T) {
	for name, c := range map[string]struct {
		rules   session.Rules
		took    func(q *session.Request) time.Duration
		stopped string
	}{
		"in time": {session.Rules{WarmUp: 2, Grace: 30 * s}, func(*session.Request) time.Duration { return 29 * s }, ""},
		"too late": {session.Rules{WarmUp: 2, Grace: 30 * s}, func(q *session.Request) time.Duration { return time.Duration(1+q.Live.Lane) * 20 * s },
			"1 of the warm-up's 4 requests had not been answered 30s after the last was sent"},
		"late before the last": {session.Rules{WarmUp: 2, Grace: 30 * s}, func(q *session.Request) time.Duration {
			return map[bool]time.Duration{true: 100 * s, false: s}[q.Turn == 0]
		}, ""},
		"primers alone": {session.Rules{Primers: true, EnterFrom: 0.5, EnterTo: 0.5, Grace: 30 * s}, func(*session.Request) time.Duration { return 31 * s },
			"2 of the warm-up's 2 requests had not been answered 30s after the last was sent"},
		"without": {session.Rules{WarmUp: 2}, func(*session.Request) time.Duration { return time.Hour }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.rules.Lanes = 2
			r := replay(t, c.rules, chain("a", 4, 0), chain("b", 4, 0))
			require.True(t, r.WarmUp())
			srv := server{took: c.took}
			srv.drive(t, r)
			assert.Equal(t, c.stopped, r.Log().Stopped)
		})
	}
	// A failure ends the sending, and what is in flight has as long.
	r := replay(t, session.Rules{Lanes: 2, WarmUp: 2, Grace: 30 * s}, chain("a", 4, 0), chain("b", 4, 0))
	require.True(t, r.WarmUp())
	srv := server{took: func(q *session.Request) time.Duration { return time.Duration(1+99*q.Live.Lane) * s },
		fails: func(*session.Request) bool { return true }}
	assert.Len(t, srv.drive(t, r), 2)
	assert.Contains(t, r.Log().Stopped, "1 of the warm-up's 2 requests")
	assert.Equal(t, 30*time.Minute, session.AgentX(1).Grace)
}

// Each session has a mark of its own, the same from warm-up to measured stage.
func TestMarks(t *testing.T) {
	r := replay(t, session.Rules{Lanes: 1, Sessions: 3, Mark: true, Run: "r", WarmUp: 1}, chain("a", 2, 0))
	require.True(t, r.WarmUp())
	marks := map[string]int{}
	srv := server{took: func(q *session.Request) time.Duration { marks[q.Live.Mark]++; return s }}
	srv.drive(t, r)
	r.Measure()
	srv.drive(t, r)
	assert.Len(t, marks, 3)
	for m, turns := range marks {
		assert.Regexp(t, `^\[rid:[0-9a-f]{12}\]\n\n$`, m)
		assert.Equal(t, 2, turns)
	}
	plain := replay(t, session.Rules{Lanes: 1}, chain("a", 1, 0))
	plain.Measure()
	assert.Empty(t, plain.Next(0).Live.Mark)
}

// Bodies can be made while the turn before is still in flight, unless its answer is
// part of them.
func TestAhead(t *testing.T) {
	for _, live := range []bool{false, true} {
		r := replay(t, session.Rules{Lanes: 1, Live: live}, chain("a", 3, s))
		r.Measure()
		require.Len(t, r.Ahead(), 1)
		q := r.Next(0)
		ahead := r.Ahead()
		if live {
			assert.Empty(t, ahead)
		} else {
			require.Len(t, ahead, 1)
			assert.Equal(t, 1, ahead[0].Turn)
		}
		r.Ended(q, s, session.Outcome{Answer: "yes"})
		assert.Nil(t, r.Next(s), "its delay is not over")
		assert.NotNil(t, r.Next(2*s))
	}
}

func TestRules(t *testing.T) {
	for _, rules := range []session.Rules{{}, {Lanes: 1, EnterFrom: 0.5, EnterTo: 0.4}, {Lanes: 1, EnterTo: 2},
		{Lanes: 1, Duration: -1}, {Lanes: 1, ErrorShare: 2}} {
		_, err := session.NewReplay([]session.Trace{chain("a", 1, 0)}, rules)
		assert.Error(t, err, "%+v", rules)
	}
	_, err := session.NewReplay(nil, session.Rules{Lanes: 1})
	assert.ErrorContains(t, err, "none to replay")
	_, err = session.NewReplay([]session.Trace{{ID: "odd"}}, session.Rules{Lanes: 1})
	assert.ErrorContains(t, err, "session odd: no requests")
	require.NoError(t, session.AgentX(4).Check())
}

func TestSelect(t *testing.T) {
	traces := []session.Trace{chain("a", 1, 0), chain("long", 9, 0), chain("b", 2, 0), chain("c", 2, 0)}
	fit, tooLong := session.Rules{Context: 20, Traces: 2}.Select(traces)
	assert.Equal(t, 1, tooLong)
	assert.Equal(t, []string{"a", "b"}, []string{fit[0].ID, fit[1].ID})
	fit, tooLong = session.Rules{}.Select(traces)
	assert.Len(t, fit, 4)
	assert.Zero(t, tooLong)
}

// Whatever the sessions and the rules: a replay ends, no turn is sent twice or before
// those that it comes after, and no more sessions are live than there are lanes.
func TestReplayHoldsItsPromises(t *testing.T) {
	rng := rand.New(rand.NewPCG(18, 4))
	for n := range 150 {
		made := session.Synthetic{Seed: int64(n), Turns: session.Dist{Shape: "normal", Mean: 6, SD: 4}, System: 64,
			Input: session.Dist{Shape: "lognormal", Mean: 100, SD: 100}, Output: session.Dist{Mean: 5},
			Delay: session.Dist{Shape: "lognormal", Mean: 20, SD: 60}, SubAgents: session.Dist{Shape: "normal", Mean: 2, SD: 2},
			SubAgentTurns: session.Dist{Shape: "normal", Mean: 3, SD: 2}}
		var traces []session.Trace
		for i := range 1 + rng.IntN(5) {
			traces = append(traces, made.Trace(i))
		}
		rules := session.Rules{Lanes: 1 + rng.IntN(6), Seed: int64(n), Sessions: 1 + rng.IntN(20), Primers: rng.IntN(2) == 0,
			WarmUp: rng.IntN(2) * rng.IntN(12), EnterTo: float64(rng.IntN(2)) * rng.Float64(),
			SystemIdle: time.Duration(rng.IntN(2)) * 10 * s, TreeIdle: time.Duration(rng.IntN(2)) * 30 * s, Mark: true,
			Live: rng.IntN(2) == 0, ErrorShare: float64(rng.IntN(2)) * 0.3}
		if rng.IntN(3) == 0 {
			rules.Duration = time.Duration(1+rng.IntN(500)) * s
		}
		r := replay(t, rules, traces...)
		failing := rng.Float64() * 0.1
		flying := map[*session.Live]map[int]bool{}
		warm := r.WarmUp()
		srv := server{took: func(q *session.Request) time.Duration {
			u := q.Live.Trace.Turns[q.Turn]
			for _, before := range append([]int{u.After}, u.Waits...) {
				require.False(t, !warm && flying[q.Live][before], "case %d: turn %d was sent before %d had ended", n, q.Turn, before)
			}
			if flying[q.Live] == nil {
				flying[q.Live] = map[int]bool{}
			}
			flying[q.Live][q.Turn] = true
			return time.Duration(rng.IntN(40)) * s / 10
		}}
		srv.fails = func(q *session.Request) bool {
			delete(flying[q.Live], q.Turn)
			return !warm && rng.Float64() < failing
		}
		if warm {
			srv.drive(t, r)
			warm = false
		}
		r.Measure()
		sent := map[[2]int]bool{}
		for _, e := range srv.drive(t, r) {
			key := [2]int{e.session, e.turn}
			require.False(t, sent[key], "case %d: turn %v was sent twice", n, key)
			sent[key] = true
		}
		log, c := r.Log(), r.Counts()
		require.Equal(t, c.Sent, c.Ended)
		require.Equal(t, len(sent), c.Sent)
		live := map[int][]session.Session{}
		for _, x := range log.Sessions {
			live[x.Lane] = append(live[x.Lane], x)
			if x.Done {
				require.Equal(t, len(log.Traces[x.Trace].Turns), x.Turns+x.History, "case %d: all of its turns", n)
			}
		}
		require.LessOrEqual(t, len(live), rules.Lanes)
		for lane, all := range live {
			for i := range all[1:] {
				require.GreaterOrEqual(t, all[i+1].Began, all[i].Ended, "case %d: lane %d has one at a time", n, lane)
			}
		}
	}
}

package session_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/session"
)

const s = time.Second

// family is a root with two sub-agents that run side by side, the second of which
// ends after the root has gone on.
func family() session.Trace {
	return session.Trace{ID: "family", Block: 4, Streams: []session.Stream{{Parent: -1}, {ID: "a", Spawned: 2 * s}, {ID: "b", Spawned: 2 * s}},
		Turns: []session.Turn{
			{Stream: 0, At: 0, Took: 2 * s, In: 8, Out: 4, Blocks: []uint32{0, 1}},
			{Stream: 1, At: 3 * s, Took: 1 * s, In: 4, Out: 4, Blocks: []uint32{2}},
			{Stream: 2, At: 3 * s, Took: 9 * s, In: 4, Out: 4, Blocks: []uint32{3}},
			{Stream: 1, At: 6 * s, Took: 1 * s, In: 12, Out: 4, Blocks: []uint32{2, 4, 5}},
			{Stream: 0, At: 10 * s, Took: 1 * s, In: 16, Out: 4, Blocks: []uint32{0, 1, 6, 7}},
		}}
}

func TestSettle(t *testing.T) {
	f := family()
	f.Turns[0], f.Turns[3] = f.Turns[3], f.Turns[0] // a file's order is not that of time
	f.Settle()
	require.NoError(t, f.Check())
	type link struct {
		after int
		delay time.Duration
		waits []int
	}
	var got []link
	for _, u := range f.Turns {
		got = append(got, link{u.After, u.Delay, u.Waits})
	}
	assert.Equal(t, []link{
		{-1, 0, nil},
		{0, 1 * s, nil}, // from the parent's end
		{0, 1 * s, nil},
		{1, 2 * s, nil},      // its own stream's end; the root's turn ended before that one began
		{0, 8 * s, []int{3}}, // the sub-agent that had ended, and not the one that had not
	}, got)
	assert.Equal(t, 20, f.Peak())
	assert.Equal(t, 12*s, f.Span())
	in, out := f.Total()
	assert.Equal(t, []int{44, 20}, []int{in, out})
	assert.Equal(t, []int{-1, -1, -1, 1, 0}, []int{f.Previous(0), f.Previous(1), f.Previous(2), f.Previous(3), f.Previous(4)})
}

// A stream that was spawned while its parent's turn was under way begins by the time
// since that turn was sent. A later turn of the parent's has nothing to do with it.
func TestSettleBeside(t *testing.T) {
	f := family()
	f.Turns[4].At = 2500 * time.Millisecond
	f.Streams[1].Spawned = s
	f.Settle()
	require.NoError(t, f.Check())
	a, b := f.Turns[2], f.Turns[3]
	assert.Equal(t, []any{1, 0, true, 3 * s}, []any{a.Stream, a.After, a.Beside, a.Delay})
	assert.Equal(t, []any{2, 0, false, 1 * s}, []any{b.Stream, b.After, b.Beside, b.Delay})
}

func TestJoin(t *testing.T) {
	f := family()
	f.Settle()
	assert.Equal(t, 4, f.Join(2, 10*s), "the recording says that it had ended, whatever its last answer took")
	assert.Equal(t, []int{2, 3}, f.Turns[4].Waits)
	assert.Equal(t, -1, f.Join(2, 12*s), "nothing of the parent's comes after its end")
	assert.Equal(t, 4, f.Join(2, 9*s))
	assert.Equal(t, []int{2, 3}, f.Turns[4].Waits, "it is waited for once")
}

func TestCheckSaysWhatIsWrong(t *testing.T) {
	for want, spoil := range map[string]func(*session.Trace){
		"no requests":                          func(f *session.Trace) { f.Turns = nil },
		"blocks of 0 tokens":                   func(f *session.Trace) { f.Block = 0 },
		"no root stream":                       func(f *session.Trace) { f.Streams = nil },
		"stream 1 has no parent":               func(f *session.Trace) { f.Streams[1].Parent = 2 },
		"request 1: 0 tokens in":               func(f *session.Trace) { f.Turns[1].In = 0 },
		"request 2: stream 3 of 3":             func(f *session.Trace) { f.Turns[2].Stream = 3 },
		"request 1: it follows request 1":      func(f *session.Trace) { f.Turns[1].After = 1 },
		"request 4: it waits for request 4":    func(f *session.Trace) { f.Turns[4].Waits = []int{4} },
		"request 4: a time below 0":            func(f *session.Trace) { f.Turns[4].Delay = -1 },
		"request 4: it starts before the one ": func(f *session.Trace) { f.Turns[4].At = 1 },
	} {
		f := family()
		f.Settle()
		spoil(&f)
		assert.ErrorContains(t, f.Check(), want)
	}
}

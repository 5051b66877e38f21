package session_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/session"
	"inferbench/harness/stats"
)

// Each request is told which turn it was; sessions that share nothing have each its
// own cache, those that send the same text share one, in the order of sending.
func TestTell(t *testing.T) {
	f := family()
	f.Settle()
	for name, c := range map[string]struct {
		marked, global bool
		hits           []int // by request
	}{
		"marked":         {true, false, []int{0, 0, 0, 1, 2, 0, 1}},
		"not marked":     {false, false, []int{0, 0, 0, 1, 2, 2, 3}},
		"everybody's":    {false, true, []int{0, 0, 0, 1, 2, 2, 3}},
		"marked, global": {true, true, []int{0, 0, 0, 1, 2, 0, 1}},
	} {
		f.Global = c.global
		l := session.Log{Traces: []session.Trace{f}, Marked: c.marked, Sessions: []session.Session{
			{ID: "one", Trace: 0, Ended: 9 * s, Done: true}, {ID: "two", Trace: 0, Lane: 1, Began: 10 * s, Failed: true, History: 1}}}
		for k := range f.Turns {
			l.Requests = append(l.Requests, session.Place{Session: 0, Turn: k})
		}
		l.Requests = append(l.Requests, session.Place{Session: 1, Turn: 0}, session.Place{Session: 1, Turn: 3})
		var ts []stats.Timing
		for i := range l.Requests {
			ts = append(ts, stats.Timing{Index: i, Sent: time.Duration(i) * s})
		}
		sessions := l.Tell(ts)
		var hits, numbers, streams []int
		for _, x := range ts {
			require.NotNil(t, x.Turn)
			hits, numbers, streams = append(hits, x.Turn.Hits), append(numbers, x.Turn.Number), append(streams, x.Turn.Stream)
		}
		assert.Equal(t, c.hits, hits, name)
		assert.Equal(t, []int{1, 1, 1, 2, 2, 1, 2}, numbers)
		assert.Equal(t, []int{0, 1, 2, 1, 0, 0, 1}, streams)
		assert.Equal(t, []int{2, 1, 1, 3, 4}, []int{ts[0].Turn.Blocks, ts[1].Turn.Blocks, ts[2].Turn.Blocks, ts[3].Turn.Blocks, ts[4].Turn.Blocks})
		assert.Equal(t, []stats.Session{{ID: "one", Trace: "family", Ended: 9 * s, Whole: true, Done: true},
			{ID: "two", Trace: "family", Lane: 1, Began: 10 * s, Failed: true}}, sessions)
	}
}

// Of texts an infinite cache holds the prompt before, in tokens, and where they are
// live the answer too.
func TestTellTexts(t *testing.T) {
	says := []session.Message{{Role: "user", Content: "x"}}
	tr := session.Trace{ID: "talk", Streams: []session.Stream{{Parent: -1}}, Turns: []session.Turn{
		{In: 1, Out: 1, Says: says}, {In: 1, Out: 1, Says: says}, {In: 1, Out: 1, Says: says}}}
	for _, c := range []struct {
		live, entered bool
		hits, blocks  []int
	}{
		{false, false, []int{0, 10, 25}, []int{10, 25, 40}},
		{true, false, []int{0, 14, 29}, []int{10, 25, 40}},
		{false, true, []int{0, 25}, []int{0, 40}}, // what was sent before is not in the stage
	} {
		l := session.Log{Traces: []session.Trace{tr}, Marked: true, Live: c.live, Sessions: []session.Session{{}}}
		var ts []stats.Timing
		for k, in := range []int{10, 25, 40} {
			if k == 0 && c.entered {
				continue
			}
			l.Requests = append(l.Requests, session.Place{Turn: k})
			ts = append(ts, stats.Timing{Index: len(ts), Sent: time.Duration(k) * s, InputTokens: in, OutputTokens: 4})
		}
		l.Tell(ts)
		var hits, blocks []int
		for _, x := range ts {
			hits, blocks = append(hits, x.Turn.Hits), append(blocks, x.Turn.Blocks)
		}
		assert.Equal(t, c.hits, hits)
		assert.Equal(t, c.blocks, blocks)
	}
}

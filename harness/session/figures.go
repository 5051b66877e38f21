package session

import (
	"cmp"
	"slices"

	"inferbench/harness/stats"
)

// Tell says of each timing, by its index, which turn of which session it was, and
// returns the sessions for [stats.Run].
func (l *Log) Tell(timings []stats.Timing) []stats.Session {
	numbers := make([][]int, len(l.Traces)) // of the traces that were used
	for i := range timings {
		t := &timings[i]
		p := l.Requests[t.Index]
		index := l.Sessions[p.Session].Trace
		if numbers[index] == nil {
			numbers[index] = l.Traces[index].numbers()
		}
		u := &l.Traces[index].Turns[p.Turn]
		t.Turn = &stats.Turn{Session: p.Session, Stream: u.Stream, Number: numbers[index][p.Turn],
			Blocks: len(u.Blocks), Out: u.Out}
	}
	if l.share() {
		l.tellShared(timings)
	} else {
		l.tellHits(timings)
	}
	l.tellTexts(timings)
	out := make([]stats.Session, len(l.Sessions))
	for i, s := range l.Sessions {
		out[i] = stats.Session{ID: s.ID, Trace: l.Traces[s.Trace].ID, Lane: s.Lane, Began: s.Began, Ended: s.Ended,
			Whole: s.History == 0, Done: s.Done, Failed: s.Failed}
	}
	return out
}

// share reports whether a session may find blocks that another one sent.
func (l *Log) share() bool {
	used := make([]bool, len(l.Traces))
	for _, s := range l.Sessions {
		if !l.Marked && (used[s.Trace] || l.Traces[s.Trace].Global) {
			return true
		}
		used[s.Trace] = true
	}
	return false
}

// tellHits says what an infinite cache would hold of each turn: see [Trace.Hits].
func (l *Log) tellHits(timings []stats.Timing) {
	hits := make([][]int, len(l.Traces))
	for i := range timings {
		p := l.Requests[timings[i].Index]
		index := l.Sessions[p.Session].Trace
		if hits[index] == nil {
			hits[index] = l.Traces[index].Hits()
		}
		timings[i].Turn.Hits = hits[index][p.Turn]
	}
}

// tellShared does it for sessions that share blocks: one cache for all of the same
// trace, or for all whose ids are global, and turns in the order in which they were
// sent. What a session was entered behind counts as sent.
func (l *Log) tellShared(timings []stats.Timing) {
	own, global := make([]Cache, len(l.Traces)), new(Cache)
	begun := make([]bool, len(l.Sessions))
	for _, t := range bySent(timings) {
		p := l.Requests[t.Index]
		s := l.Sessions[p.Session]
		trace, c := &l.Traces[s.Trace], &own[s.Trace]
		if trace.Global {
			c = global
		}
		for k := 0; !begun[p.Session] && k < s.History; k++ {
			c.Hits(trace.Turns[k].Blocks)
		}
		begun[p.Session] = true
		t.Turn.Hits = c.Hits(trace.Turns[p.Turn].Blocks)
	}
}

// tellTexts does it for texts, which have no blocks, in tokens as the server counts
// them: a cache holds the prompt before, and where the server's own answers stand in
// the history that answer too. A turn whose prompt before was not sent in the stage
// says nothing, and neither does one that is whole in itself and does not repeat it.
func (l *Log) tellTexts(timings []stats.Timing) {
	type turn struct{ session, turn int }
	sent := map[turn]*stats.Timing{}
	for _, t := range bySent(timings) {
		p := l.Requests[t.Index]
		trace := &l.Traces[l.Sessions[p.Session].Trace]
		if trace.Turns[p.Turn].Says == nil || t.Err != "" || t.Prompt.Unknown {
			continue
		}
		sent[turn{p.Session, p.Turn}] = t
		before, whole := trace.History(p.Turn), trace.Turns[p.Turn].Whole
		if whole {
			before = trace.Previous(p.Turn)
		}
		if before < 0 {
			t.Turn.Blocks = t.InputTokens
			continue
		}
		b := sent[turn{p.Session, before}]
		if b == nil || whole && !trace.repeats(before, p.Turn) {
			continue
		}
		known := b.InputTokens
		if l.Live && !whole {
			known += b.OutputTokens
		}
		t.Turn.Blocks, t.Turn.Hits = t.InputTokens, min(known, t.InputTokens)
	}
}

// repeats reports whether the messages of one turn begin with all those of another.
func (t *Trace) repeats(before, k int) bool {
	a, b := t.Turns[before].Says, t.Turns[k].Says
	return len(a) <= len(b) && slices.EqualFunc(a, b[:len(a)], func(x, y Message) bool {
		return x.Role == y.Role && x.Content == y.Content && x.Tool == y.Tool && string(x.Verbatim) == string(y.Verbatim)
	})
}

// bySent is the timings in the order in which their requests were sent.
func bySent(timings []stats.Timing) []*stats.Timing {
	order := make([]*stats.Timing, len(timings))
	for i := range timings {
		order[i] = &timings[i]
	}
	slices.SortStableFunc(order, func(a, b *stats.Timing) int { return cmp.Compare(a.Sent, b.Sent) })
	return order
}

// numbers is, of each turn, which of its stream's it is, from 1.
func (t *Trace) numbers() []int {
	seen := make([]int, len(t.Streams))
	out := make([]int, len(t.Turns))
	for k := range t.Turns {
		s := t.Turns[k].Stream
		seen[s]++
		out[k] = seen[s]
	}
	return out
}

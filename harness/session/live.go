package session

import (
	"crypto/sha256"
	"fmt"
	"time"
)

// Live is a session that is being replayed.
type Live struct {
	Trace  *Trace
	Number int    // in order of their begin, from 0
	Lane   int    // from 0
	ID     string // for headers
	Mark   string // goes before its prompts; "" for none

	trace    int // index of Trace
	entry    int // in the stage's log
	entered  bool
	origin   time.Duration // the recorded time at which it was entered
	turns    []standing    // by turn
	answers  []string      // the server's own, by turn, where these are kept
	left     int           // turns that have not ended
	inFlight int           // requests
	idle     time.Duration // since when it has none
	pending  []*Request    // turns that have not been sent, and whose predecessors have
	failed   bool
}

// standing is how a turn of a live session stands.
type standing struct {
	state        state
	unsent, open int           // predecessors that have not been sent; that it waits for
	known        bool          // its delay has begun
	earliest     time.Duration // when its delay is over; meaningful where known
}

type state int

const (
	waiting state = iota
	armed         // its request is made
	sent
	done
)

// due is when a request may be sent; false where that is not known yet.
func (q *Request) due() (time.Duration, bool) {
	if q.primer {
		return q.Due, true
	}
	s := &q.Live.turns[q.Turn]
	return s.earliest, s.known && s.open == 0
}

// next is the pending request that is due first; nil where none can be due yet.
func (v *Live) next() (first *Request, at time.Duration) {
	for _, q := range v.pending {
		if d, ok := q.due(); ok && (first == nil || d < at) {
			first, at = q, d
		}
	}
	return first, at
}

// take takes a request out of the pending ones.
func (v *Live) take(q *Request) {
	for i, p := range v.pending {
		if p == q {
			v.pending = append(v.pending[:i], v.pending[i+1:]...)
			return
		}
	}
}

// drop gives up the requests that have not been sent.
func (v *Live) drop() {
	for _, q := range v.pending {
		q.Dropped = true
		v.turns[q.Turn].state = waiting
	}
	v.pending = nil
}

// hasSent notes that a turn was sent, and begins the delays that count from that.
func (v *Live) hasSent(k int, now time.Duration, after [][]int, atOnce bool) {
	v.turns[k].state = sent
	for _, d := range after[k] {
		v.turns[d].unsent--
		if u := &v.Trace.Turns[d]; u.Beside && u.After == k {
			v.release(d, now, atOnce)
		}
	}
}

// hasEnded notes that a turn ended, and begins the delays that count from its end.
func (v *Live) hasEnded(k int, now time.Duration, after [][]int, atOnce bool) {
	v.turns[k].state = done
	v.left--
	for _, d := range after[k] {
		u := &v.Trace.Turns[d]
		if u.After == k && !u.Beside {
			v.release(d, now, atOnce)
		}
		if s := &v.turns[d]; u.waits(k) {
			if s.open--; s.open == 0 {
				s.earliest = max(s.earliest, now)
			}
		}
	}
}

// release begins the delay of a turn.
func (v *Live) release(k int, now time.Duration, atOnce bool) {
	s := &v.turns[k]
	s.known, s.earliest = true, now+v.Trace.Turns[k].Delay
	if atOnce {
		s.earliest = now
	}
}

// advance moves up all delays that have begun.
func (v *Live) advance(by time.Duration) {
	for k := range v.turns {
		if s := &v.turns[k]; s.known && s.state < sent {
			s.earliest -= by
		}
	}
}

// remaining is how long after the begin of the measured stage a turn is due that has
// only its delay to wait for.
func (v *Live) remaining(k int) time.Duration {
	u := &v.Trace.Turns[k]
	if v.entered {
		return max(u.At-v.origin, 0)
	}
	return u.Delay
}

// StreamID is a stable id of one of the session's streams, in the form of a UUID; the
// root's is the session's.
func (v *Live) StreamID(stream int) string {
	if stream == 0 {
		return v.ID
	}
	return uuid(fmt.Sprintf("%s:%d", v.ID, stream))
}

// uuid makes an id of a text, in the form of a UUID of version 8.
func uuid(of string) string {
	h := fmt.Sprintf("%x", sha256.Sum256([]byte(of)))
	return fmt.Sprintf("%s-%s-8%s-8%s-%s", h[:8], h[8:12], h[12:15], h[15:18], h[18:30])
}

// history is how many turns have ended.
func (v *Live) history() int { return len(v.turns) - v.left }

package session

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Replay says which turn of which session is to be sent when. It has no clock: who
// drives it says what time it is, in each stage from 0. It is used from one goroutine.
//
// First [Replay.WarmUp], where the rules ask for one, then [Replay.Measure] begins a
// stage. Until [Replay.Over], take what [Replay.Next] has, wait until [Replay.Wake], and
// tell of each answer with [Replay.Ended].
type Replay struct {
	rules  Rules
	traces []Trace
	links  [][][]int // of each trace that was used: which turns come directly after each turn
	order  order

	stage    stage
	lanes    []*lane
	begun    int // sessions, in all stages
	inFlight int
	sent     time.Duration // when the last one was handed out
	idle     time.Duration // since when none is in flight
	ahead    []*Request    // whose bodies can be made

	counts  Counts
	aborted bool
	expired bool // what is in flight is cut off
	log     Log
}

// stage is what a replay is at.
type stage int

const (
	ready stage = iota
	priming
	pressing
	measuring
)

// lane is a place for one live session after another.
type lane struct {
	number  int
	live    *Live      // nil where no further session is begun
	primers []*Request // that have not been sent
	pressed int        // requests of the second warm-up that were sent
}

// Request is a turn of a live session that is, or will be, due.
type Request struct {
	Index int // in the stage, in the order in which they were made
	Live  *Live
	Turn  int
	Out   int           // tokens to ask for
	Due   time.Duration // when it should be sent, once it is handed out

	Dropped bool // it will not be sent: its session failed, or the stage is over
	primer  bool
}

// Counts are the requests and sessions of a stage so far.
type Counts struct{ Sent, Ended, Failed, Sessions int }

// Log says what a stage did.
type Log struct {
	Requests []Place // by [Request.Index]
	Sessions []Session
	Traces   []Trace // that the sessions are made of
	Lanes    int
	Marked   bool   // each session has a text of its own before its prompts
	Live     bool   // the server's own answers stand in the history
	Stopped  string // why the run was given up; "" where it was not
}

// Place says which turn a request was.
type Place struct {
	Session int // index in [Log.Sessions]
	Turn    int
	Due     time.Duration // when it should have been sent; below 0 where it never came to that
}

// Session is how a session went. One that is neither Done nor Failed was cut off by the
// end of the stage.
type Session struct {
	ID           string
	Trace, Lane  int
	History      int           // turns that were not sent, because it was entered after them
	Began, Ended time.Duration // Ended is that of its last answer so far
	Turns        int           // that ended well
	Done, Failed bool
}

// NewReplay begins a replay of traces by the rules. It keeps the traces.
func NewReplay(traces []Trace, rules Rules) (*Replay, error) {
	if err := rules.Check(); err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	if len(traces) == 0 {
		return nil, errors.New("sessions: there are none to replay")
	}
	for i := range traces {
		if err := traces[i].Check(); err != nil {
			return nil, fmt.Errorf("session %s: %w", traces[i].ID, err)
		}
	}
	if rules.Sessions == 0 && rules.Duration == 0 {
		rules.Sessions = max(len(traces), rules.Lanes)
	}
	r := &Replay{rules: rules, traces: traces, links: make([][][]int, len(traces)),
		order: order{seed: rules.Seed, n: len(traces)}}
	for i := range rules.Lanes {
		l := &lane{number: i}
		r.lanes = append(r.lanes, l)
		r.begin(l, 0)
		if l.live != nil && rules.EnterTo > 0 {
			r.enter(l.live)
		}
	}
	return r, nil
}

// WarmUp begins the warm-up. It is false where there is none.
func (r *Replay) WarmUp() bool {
	if r.stage != ready || !r.rules.Primers && r.rules.WarmUp == 0 {
		return false
	}
	r.start(priming)
	if r.rules.Primers {
		r.prime()
	}
	r.press(0)
	return true
}

// Measure begins the measured stage; nothing is in flight then. The delays that turns
// have left count from its begin, each session's by its own recorded time, all of them
// moved up so that the first is over at once.
func (r *Replay) Measure() {
	r.start(measuring)
	var first time.Duration
	any := false
	for _, l := range r.lanes {
		if l.live == nil {
			continue
		}
		l.live.drop()
		l.live.idle = 0
		r.enlist(l.live)
		for k := range l.live.turns {
			if s := &l.live.turns[k]; s.known && s.state == waiting {
				if s.earliest = l.live.remaining(k); s.open == 0 && (!any || s.earliest < first) {
					any, first = true, s.earliest
				}
			}
		}
	}
	for _, l := range r.lanes {
		if l.live != nil {
			l.live.advance(first)
			r.arm(l)
		}
	}
}

func (r *Replay) start(s stage) {
	r.stage, r.counts, r.idle, r.ahead, r.expired = s, Counts{}, 0, nil, false
	r.log = Log{Traces: r.traces, Lanes: r.rules.Lanes, Marked: r.rules.Mark, Live: r.rules.Live}
}

// Ahead returns the requests that were made since its last call. Their bodies can be
// made, though they may not be due yet.
func (r *Replay) Ahead() []*Request {
	out := r.ahead
	r.ahead = nil
	return out
}

// Next hands out a request that is due; nil where none is.
func (r *Replay) Next(now time.Duration) *Request {
	r.cutIdle(now)
	l, q, due := r.first()
	if q == nil || due > now || r.closed(now) {
		return nil
	}
	q.Due, r.sent = due, now
	r.inFlight++
	r.counts.Sent++
	q.Live.inFlight++
	r.log.Requests[q.Index].Due = due
	if q.primer {
		l.primers = l.primers[1:]
		return q
	}
	if r.stage == pressing {
		l.pressed++
	}
	q.Live.take(q)
	q.Live.hasSent(q.Turn, now, r.after(q.Live), r.stage == pressing)
	r.arm(l)
	return q
}

// first is the request that is due before all others, and when.
func (r *Replay) first() (of *lane, first *Request, at time.Duration) {
	for _, l := range r.lanes {
		var q *Request
		var due time.Duration
		switch {
		case r.stage == priming && len(l.primers) > 0:
			q = l.primers[0]
			due = q.Due
		case l.live == nil, r.stage == priming, r.stage == pressing && l.pressed >= r.rules.WarmUp:
		default:
			q, due = l.live.next()
		}
		if q != nil && (first == nil || due < at) {
			of, first, at = l, q, due
		}
	}
	return of, first, at
}

// Wake is when [Replay.Next] will have something, or [Replay.Expire] be true, if nothing
// ends before; false where only an end can change that.
func (r *Replay) Wake(now time.Duration) (time.Duration, bool) {
	if at, ok := r.wake(now); ok {
		return at, true
	}
	limit, ok := r.drain()
	return limit, ok && now < limit
}

// wake is when there will be something to send.
func (r *Replay) wake(now time.Duration) (time.Duration, bool) {
	_, q, at := r.first()
	if q == nil || r.closed(now) {
		return 0, false
	}
	if r.stage == measuring {
		for _, l := range r.lanes {
			if limit, ok := r.treeLimit(l); ok {
				at = min(at, limit)
			}
		}
		if r.inFlight == 0 && r.rules.SystemIdle > 0 {
			at = min(at, r.idle+r.rules.SystemIdle)
		}
	}
	return at, !r.closed(at)
}

// drain is until when the answers must have come of a stage that sends nothing more;
// false where it may do so, or nothing limits it.
func (r *Replay) drain() (time.Duration, bool) {
	switch {
	case r.inFlight == 0:
		return 0, false
	case r.stage == measuring:
		return r.rules.Duration + r.rules.Drain, r.rules.Duration > 0 && r.rules.Drain > 0
	}
	for _, l := range r.lanes {
		more := len(l.primers) > 0 || l.live != nil && l.pressed < r.rules.WarmUp
		if more && r.counts.Failed == 0 {
			return 0, false
		}
	}
	return r.sent + r.rules.Grace, r.rules.Grace > 0
}

// Expire reports, once, that what is in flight is to be cut off: its answers take longer
// than the rules allow. A warm-up is given up then; [Log.Stopped] says so.
func (r *Replay) Expire(now time.Duration) bool {
	limit, ok := r.drain()
	if !ok || now < limit || r.expired {
		return false
	}
	r.expired = true
	if r.stage != measuring {
		r.log.Stopped = fmt.Sprintf("%d of the warm-up's %d requests had not been answered %s after the last was sent",
			r.inFlight, r.counts.Sent, r.rules.Grace)
	}
	return true
}

// treeLimit is until when a lane's session may have no request in flight; false where
// nothing limits it now.
func (r *Replay) treeLimit(l *lane) (time.Duration, bool) {
	v := l.live
	if v == nil || v.inFlight > 0 || r.rules.TreeIdle == 0 {
		return 0, false
	}
	q, due := v.next()
	limit := v.idle + r.rules.TreeIdle
	return limit, q != nil && due > limit
}

// cutIdle moves up the delays of a session that has been idle for as long as it may
// be, and those of all where nothing at all has been in flight for that long.
func (r *Replay) cutIdle(now time.Duration) {
	if r.stage != measuring {
		return
	}
	for _, l := range r.lanes {
		if limit, ok := r.treeLimit(l); ok && now >= limit {
			_, due := l.live.next()
			l.live.advance(due - now)
		}
	}
	if r.inFlight > 0 || r.rules.SystemIdle == 0 || now < r.idle+r.rules.SystemIdle {
		return
	}
	if _, q, due := r.first(); q != nil && due > now {
		for _, l := range r.lanes {
			if l.live != nil {
				l.live.advance(due - now)
			}
		}
	}
}

// Outcome is how a request ended.
type Outcome struct {
	Failed bool
	CutOff bool   // by the client, after [Replay.Expire]: it neither failed nor succeeded
	Answer string // what the server wrote, where the rules keep it
}

// Ended tells of the end of a request that was handed out.
func (r *Replay) Ended(q *Request, now time.Duration, o Outcome) {
	v := q.Live
	r.inFlight--
	v.inFlight--
	if o.CutOff {
		return
	}
	r.counts.Ended++
	r.idle, v.idle = now, now
	if o.Failed {
		r.counts.Failed++
		r.giveUp()
	}
	if q.primer {
		if r.inFlight == 0 && !o.Failed {
			r.press(now)
		}
		return
	}
	r.settle(q, now, o)
	l := r.lanes[v.Lane]
	if v.inFlight == 0 && (v.left == 0 || v.failed) {
		r.finish(v)
		r.begin(l, now)
	}
	r.arm(l)
}

// settle notes how a turn ended.
func (r *Replay) settle(q *Request, now time.Duration, o Outcome) {
	v := q.Live
	if r.stage == measuring {
		r.log.Sessions[v.entry].Ended = now
	}
	if o.Failed {
		v.failed = true
		v.drop()
		return
	}
	if r.stage == measuring {
		r.log.Sessions[v.entry].Turns++
	}
	if r.rules.Live {
		v.answers[q.Turn] = o.Answer
	}
	v.hasEnded(q.Turn, now, r.after(v), r.stage == pressing)
}

// finish notes how a session ended.
func (r *Replay) finish(v *Live) {
	if r.stage == measuring {
		r.counts.Sessions++
		s := &r.log.Sessions[v.entry]
		s.Done, s.Failed = !v.failed, v.failed
	}
}

// Over reports whether the stage has ended: nothing is in flight, and nothing will be
// sent.
func (r *Replay) Over(now time.Duration) bool {
	_, more := r.Wake(now)
	return r.inFlight == 0 && !more
}

// Live reports whether the server's own answers stand in the history.
func (r *Replay) Live() bool { return r.rules.Live }

// Counts are those of the stage.
func (r *Replay) Counts() Counts { return r.counts }

// Log says what the stage has done so far. It is the replay's own.
func (r *Replay) Log() *Log { return &r.log }

// closed reports whether nothing may be sent at that time any more: the time is over,
// too much failed, or anything did in the warm-up.
func (r *Replay) closed(at time.Duration) bool {
	if r.stage != measuring {
		return r.counts.Failed > 0
	}
	return r.aborted || r.rules.Duration > 0 && at >= r.rules.Duration
}

// leastEnded is how many requests must have ended before their errors can stop a run;
// or as many as there are lanes, where these are more.
const leastEnded = 10

func (r *Replay) giveUp() {
	ended, failed := r.counts.Ended, r.counts.Failed
	if r.rules.ErrorShare == 0 || ended < max(leastEnded, r.rules.Lanes) ||
		float64(failed) <= r.rules.ErrorShare*float64(ended) {
		return
	}
	r.aborted = true
	r.log.Stopped = fmt.Sprintf("%d of %d requests failed, which is more than %.3g %%", failed, ended,
		100*r.rules.ErrorShare)
}

// begin makes a lane's next session; the lane stays empty where there is to be none.
func (r *Replay) begin(l *lane, now time.Duration) {
	l.live = nil
	begun := r.begun
	if r.stage == measuring {
		begun = len(r.log.Sessions)
	}
	limited := r.stage == ready || r.stage == measuring
	if limited && r.rules.Sessions > 0 && begun >= r.rules.Sessions || r.closed(now) {
		return
	}
	index, pass := r.order.at(r.begun)
	v := &Live{Trace: &r.traces[index], Number: r.begun, Lane: l.number, trace: index, idle: now,
		ID: uuid(fmt.Sprintf("%s:%d", r.rules.Run, r.begun))}
	if r.rules.Live {
		v.answers = make([]string, len(v.Trace.Turns))
	}
	if r.rules.Mark {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s:%d:%d:%s", r.rules.Run, pass, l.number, v.Trace.ID))
		v.Mark = fmt.Sprintf("[rid:%x]\n\n", sum[:6])
	}
	v.turns, v.left = make([]standing, len(v.Trace.Turns)), len(v.Trace.Turns)
	for k := range v.turns {
		u, s := &v.Trace.Turns[k], &v.turns[k]
		for _, before := range u.predecessors() {
			s.unsent++
			if u.waits(before) {
				s.open++
			}
		}
		if u.After < 0 {
			s.known, s.earliest = true, now+u.Delay
		}
	}
	r.begun++
	l.live = v
	if r.stage == measuring {
		r.enlist(v)
	}
}

// enlist makes a session's entry in the log.
func (r *Replay) enlist(v *Live) {
	v.entry = len(r.log.Sessions)
	r.log.Sessions = append(r.log.Sessions, Session{ID: v.ID, Trace: v.trace, Lane: v.Lane, History: v.history(),
		Began: v.idle, Ended: v.idle})
}

// enter makes history of the turns before a time that is drawn for the lane.
func (r *Replay) enter(v *Live) {
	turns := v.Trace.Turns
	begin, end := turns[0].At, turns[len(turns)-1].At
	draw := rand.New(rand.NewPCG(uint64(r.rules.Seed), uint64(v.Lane)+1)).Float64()
	part := r.rules.EnterFrom + (r.rules.EnterTo-r.rules.EnterFrom)*draw
	v.entered, v.origin = true, begin+time.Duration(part*float64(end-begin))
	after := r.after(v)
	for k := 0; k < len(turns) && turns[k].At < v.origin; k++ {
		v.hasSent(k, 0, after, true)
		v.hasEnded(k, 0, after, true)
	}
}

// primerSpread is how long before the end of their stage the earliest primers are
// sent: each as long before it as its turn was before the session's entry, at most.
const primerSpread = 10 * time.Second

// prime makes the requests of the first warm-up: of each stream that is under way its
// last turn again.
func (r *Replay) prime() {
	var most time.Duration
	for _, l := range r.lanes {
		v := l.live
		if v == nil {
			continue
		}
		last := map[int]int{} // turn that is history, of each stream
		for k := range v.turns {
			stream := v.Trace.Turns[k].Stream
			before, begun := last[stream]
			switch {
			case v.turns[k].state == done:
				last[stream] = k
			case begun && before >= 0:
				last[stream] = -1
				q := r.request(v, before)
				q.primer, q.Due = true, min(v.origin-v.Trace.Turns[before].At, primerSpread)
				most = max(most, q.Due)
				l.primers = append(l.primers, q)
			}
		}
	}
	for _, l := range r.lanes {
		for _, q := range l.primers {
			q.Due = most - q.Due
		}
		slices.SortStableFunc(l.primers, func(a, b *Request) int { return cmp.Compare(a.Due, b.Due) })
	}
}

// press begins the second warm-up, once the first is through.
func (r *Replay) press(now time.Duration) {
	for _, l := range r.lanes {
		if len(l.primers) > 0 {
			return
		}
	}
	r.stage = pressing
	for _, l := range r.lanes {
		if l.live == nil {
			continue
		}
		for k := range l.live.turns {
			if s := &l.live.turns[k]; s.known {
				s.earliest = now
			}
		}
		r.arm(l)
	}
}

// arm makes requests of those turns of a lane's session whose predecessors have all
// been sent; where the server's answers stand in the history, have all ended.
func (r *Replay) arm(l *lane) {
	v := l.live
	if v == nil || v.failed || r.stage < pressing || r.stage == pressing && l.pressed >= r.rules.WarmUp {
		return
	}
	for k := range v.turns {
		if s := &v.turns[k]; s.state == waiting && s.unsent == 0 && (s.open == 0 || !r.rules.Live) {
			s.state = armed
			v.pending = append(v.pending, r.request(v, k))
		}
	}
}

// request makes a request of a turn.
func (r *Replay) request(v *Live, k int) *Request {
	q := &Request{Index: len(r.log.Requests), Live: v, Turn: k, Out: v.Trace.Turns[k].Out}
	if r.stage != measuring {
		q.Out = 1
	}
	r.log.Requests = append(r.log.Requests, Place{Session: v.entry, Turn: k, Due: -1})
	r.ahead = append(r.ahead, q)
	return q
}

// after lists, for each turn of a session, those that follow it or wait for it.
func (r *Replay) after(v *Live) [][]int {
	if r.links[v.trace] == nil {
		links := make([][]int, len(v.Trace.Turns))
		for k := range v.Trace.Turns {
			for _, before := range v.Trace.Turns[k].predecessors() {
				links[before] = append(links[before], k)
			}
		}
		r.links[v.trace] = links
	}
	return r.links[v.trace]
}

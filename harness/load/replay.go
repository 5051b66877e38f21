package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"inferbench/harness/hint"
	"inferbench/harness/server"
	"inferbench/harness/session"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// Replay sends the turns of sessions to t, each when r says so and as w writes it, and
// times every token. Of o, Conc must be the replay's lanes; Shape and WarmUp do not
// count. Otherwise it is as [Run].
func Replay(ctx context.Context, t *server.Server, r *session.Replay, w session.Wire, o Options) (*Recording, error) {
	o.Shape = Shape{}
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	all := &turns{replay: r, wire: w, affinity: affinity{o.Affinity, map[*session.Live]string{}}}
	run := &runner{src: all, turns: all, opts: o, rec: &Recording{SLO: o.SLO}}
	return run.run(ctx, t)
}

// turns are the requests of a replay as a source, by their index in the stage.
type turns struct {
	replay *session.Replay
	wire   session.Wire

	mu       sync.Mutex // guards requests, which is read where bodies are made
	requests []*session.Request

	text []byte // messages of the latest body, of where bodies are made

	// Of the phase's goroutine.
	late     map[int][]span // by lane: when turns were due, to when they were sent
	affinity affinity
}

// Len is not known before.
func (t *turns) Len() int { return workload.Endless }

// Request is request i of the stage. There are none to warm up with: the replay has its
// own.
func (t *turns) Request(i int) (workload.Request, error) { return t.RequestInto(nil, i) }

// RequestInto is [turns.Request] with its token ids in tokens[:0], and its messages where
// the next call writes its own.
func (t *turns) RequestInto(tokens []int32, i int) (workload.Request, error) {
	t.mu.Lock()
	if i < 0 || i >= len(t.requests) {
		t.mu.Unlock()
		return workload.Request{}, errors.New("sessions have no prompts besides their turns")
	}
	q := t.requests[i]
	t.mu.Unlock()
	r, err := t.wire.Request(tokens, t.text, q)
	if r.Messages != nil {
		t.text = r.Messages
	}
	return r, err
}

// ahead takes in the requests that the replay has made.
func (t *turns) ahead() []*session.Request {
	made := t.replay.Ahead()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests = append(t.requests, made...)
	return made
}

// begin forgets the requests of the stage before.
func (t *turns) begin() { t.requests, t.late = nil, map[int][]span{} }

func (t *turns) measure() {
	t.begin()
	t.replay.Measure()
}

// span is a time from one moment of a phase to another.
type span struct{ from, to time.Duration }

// covered is the time that spans take, where several are at once only once.
func covered(spans []span) (sum time.Duration) {
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	end := time.Duration(math.MinInt64)
	for _, s := range spans {
		if s.to > end {
			sum += s.to - max(s.from, end)
			end = s.to
		}
	}
	return sum
}

// idle is the part of each lane's time in which a turn was due and not sent, of its
// sub-agents or its own, and the time of all lanes together.
func (t *turns) idle(of time.Duration) (shares []float64, sum time.Duration) {
	shares = make([]float64, t.replay.Log().Lanes)
	for lane, spans := range t.late {
		late := covered(spans)
		sum += late
		if of > 0 {
			shares[lane] = late.Seconds() / of.Seconds()
		}
	}
	return shares, sum
}

// tell notes in the recording which turns its requests were.
func (t *turns) tell(rec *Recording) {
	log := t.replay.Log()
	rec.Stopped, rec.Sessions = log.Stopped, log.Tell(rec.Timings)
}

// cutSlack is how many tokens fewer than a text has a server may count, for the words
// at the edges of messages: a share of it, and some.
const (
	cutSlack = 0.01
	cutEdges = 8
)

// checkWhole holds the server's counts of chats against the words that they are made
// of: with the template's own they must be more. Where the server's own answers stand in
// the history, a prompt is as long as these are.
func (r *runner) checkWhole(rec *Recording) {
	log := r.turns.replay.Log()
	if log.Live {
		return
	}
	short, of := 0, 0
	var example [2]int
	for i := range rec.Timings {
		t := &rec.Timings[i]
		place := log.Requests[t.Index]
		u := &log.Traces[log.Sessions[place.Session].Trace].Turns[place.Turn]
		if t.Err != "" || !t.Prompt.Counted || t.Prompt.Sent > 0 || u.Says != nil {
			continue
		}
		of++
		if float64(t.Prompt.Server) < (1-cutSlack)*float64(u.In)-cutEdges {
			if short++; short == 1 {
				example = [2]int{t.Prompt.Server, u.In}
			}
		}
	}
	if short > 0 {
		r.contradict("for %d of %d chats the server counts fewer input tokens than words were sent, as %d for %d: it left "+
			"some out", short, of, example[0], example[1])
	}
}

// warmSessions runs the replay's warm-up, if it has one.
func (r *runner) warmSessions(ctx context.Context) error {
	r.turns.begin()
	if !r.turns.replay.WarmUp() {
		return nil
	}
	p := r.phase()
	p.supply.warmUp = true
	p.opts.Enough = nil
	p.execute(ctx)
	r.slots = p.slots
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	timings := p.collector.Timings()
	r.rec.WarmUps = len(timings)
	if why := r.turns.replay.Log().Stopped; why != "" {
		return hint.New(errors.New(why), "REPLAY_GRACE gives them longer")
	}
	if f := stats.FailuresOf(timings); f.Requests() > 0 {
		return hint.New(fmt.Errorf("%d of %d warm-up requests failed: %s", f.Requests(), len(timings), f.Text()),
			f.Advice())
	}
	r.settleInput(ctx, timings)
	return nil
}

// conductor sends what a replay says is due, and tells it what ended. All of it is of
// one goroutine.
type conductor struct {
	p       *phase
	turns   *turns
	cutOff  func()                // ends what is in flight
	jobs    chan *session.Request // whose bodies are to be made
	made    chan body
	ended   chan ending
	flights sync.WaitGroup

	todo   []*session.Request // whose bodies nobody makes yet, those that are due before the others
	making bool
	bodies map[*session.Request]prepared // that are made, and have not been sent
	size   int                           // bytes of these
	due    []*session.Request            // that wait for their body
	flying int                           // requests that were sent and have not ended
	free   []*slot
}

// body is a request that only has to be written.
type body struct {
	of *session.Request
	prepared
}

// ending is a request that has ended.
type ending struct {
	of     *session.Request
	on     *slot
	timing stats.Timing
}

// mostAhead is how many bytes of bodies are made before they are due.
const mostAhead = 1 << 30

// conduct runs a stage of a replay to its end. It calls start when the bodies of those
// turns are made that are due first.
func (p *phase) conduct(ctx context.Context, start func()) {
	c := &conductor{p: p, turns: p.turns, jobs: make(chan *session.Request), made: make(chan body, 1),
		ended: make(chan ending), bodies: map[*session.Request]prepared{}, free: slices.Clone(p.slots)}
	for c.todo = c.turns.ahead(); c.job() != nil && ctx.Err() == nil; c.todo = c.todo[1:] {
		c.keep(c.body(c.todo[0]))
	}
	start()
	var maker sync.WaitGroup
	maker.Go(func() {
		for q := range c.jobs {
			c.made <- c.body(q)
		}
	})
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	c.cutOff = func() {
		p.count.expired.Store(true)
		cancel()
		p.end.cut()
	}
	c.loop(work)
	close(c.jobs)
	maker.Wait()
}

// loop ends when nothing is in flight and nothing more will be sent.
func (c *conductor) loop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	cancelled := ctx.Done()
	for {
		now := time.Since(c.p.base)
		if c.turns.replay.Expire(now) {
			c.cutOff()
		}
		stop := ctx.Err() != nil || c.p.count.stopped.Load() > 0 || c.p.count.enough.Load()
		if !stop {
			c.send(ctx, now)
		}
		if c.flying == 0 && (stop || len(c.due) == 0 && c.turns.replay.Over(now)) {
			c.flights.Wait()
			return
		}
		timer.Stop()
		if at, ok := c.turns.replay.Wake(now); ok && !stop {
			timer.Reset(at - now)
		}
		job, jobs := c.job(), c.jobs
		if job == nil || stop {
			jobs = nil
		}
		select {
		case <-timer.C:
		case jobs <- job:
			c.todo, c.making = c.todo[1:], true
		case b := <-c.made:
			c.making = false
			c.keep(b)
		case e := <-c.ended:
			c.end(e)
		case <-cancelled:
			cancelled = nil
		}
	}
}

// job is the request whose body is to be made next; nil where none is.
func (c *conductor) job() *session.Request {
	for len(c.todo) > 0 && c.todo[0].Dropped {
		c.todo = c.todo[1:]
	}
	if len(c.todo) == 0 || c.making || c.size >= mostAhead && !slices.Contains(c.due, c.todo[0]) {
		return nil
	}
	return c.todo[0]
}

func (c *conductor) body(q *session.Request) body { return body{q, c.p.supply.body(q.Index)} }

// keep takes a body in, unless its request has been dropped meanwhile.
func (c *conductor) keep(b body) {
	if b.of.Dropped {
		c.p.supply.sent(b.body)
		return
	}
	c.bodies[b.of] = b.prepared
	c.size += b.body.size()
}

// send takes what is due from the replay, and sends what of it has a body.
func (c *conductor) send(ctx context.Context, now time.Duration) {
	for q := c.turns.replay.Next(now); q != nil; q = c.turns.replay.Next(now) {
		c.due = append(c.due, q)
	}
	for q, b := range c.bodies {
		if q.Dropped {
			c.release(q, b)
		}
	}
	c.todo = append(c.todo, c.turns.ahead()...)
	unready := c.due[:0]
	for _, q := range c.due {
		b, ok := c.bodies[q]
		if !ok {
			unready = append(unready, q)
			continue
		}
		delete(c.bodies, q)
		c.size -= b.body.size()
		c.fly(ctx, q, b)
	}
	c.due = unready
	c.todo = dueFirst(c.todo, c.due)
}

// dueFirst puts the bodies of requests that are due before those of others.
func dueFirst(todo, due []*session.Request) []*session.Request {
	if len(due) == 0 {
		return todo
	}
	slices.SortStableFunc(todo, func(a, b *session.Request) int {
		return place(due, a) - place(due, b)
	})
	return todo
}

// place is a request's among those that are due; behind them for any other.
func place(due []*session.Request, q *session.Request) int {
	if i := slices.Index(due, q); i >= 0 {
		return i
	}
	return len(due)
}

func (c *conductor) release(q *session.Request, b prepared) {
	delete(c.bodies, q)
	c.size -= b.body.size()
	c.p.supply.sent(b.body)
}

// fly sends a request on a slot that is free, or on one more.
func (c *conductor) fly(ctx context.Context, q *session.Request, b prepared) {
	c.flying++
	var s *slot
	if n := len(c.free); n > 0 {
		s, c.free = c.free[n-1], c.free[:n-1]
	} else {
		c.p.mu.Lock()
		s = c.p.addSlot()
		c.p.mu.Unlock()
	}
	b.header, b.wanted = c.turns.affinity.lines(q), c.turns.affinity.Token
	b.said = c.turns.replay.Live()
	c.flights.Go(func() { c.ended <- ending{q, s, c.p.send(ctx, s, b)} })
}

// end tells the replay of a request that has ended.
func (c *conductor) end(e ending) {
	c.flying--
	c.free = append(c.free, e.on)
	c.turns.affinity.keep(e.of.Live, e.on.found)
	if due, sent := e.of.Due, e.timing.Sent; sent > due {
		c.turns.late[e.of.Live.Lane] = append(c.turns.late[e.of.Live.Lane], span{due, sent})
	}
	failed, expired := e.timing.Err != "", c.p.count.expired.Load()
	c.turns.replay.Ended(e.of, e.timing.Done, session.Outcome{Failed: failed, CutOff: failed && expired,
		Answer: string(e.on.said)})
	c.p.count.sessions.Store(int64(c.turns.replay.Counts().Sessions))
}

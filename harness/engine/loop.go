package engine

import (
	"hash/fnv"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"inferbench/harness/engine/schedule"
)

// loop is the heart of a rank: it alone touches the scheduler.
type loop struct {
	e        *Engine
	sched    *schedule.Scheduler
	pace     *pacer
	counters counters
	jobs     atomic.Int64 // submitted, and not over
	coming   transfers

	mu     sync.Mutex
	inbox  []*job   // submitted, not yet queued
	asks   []func() // to run between two steps
	wake   chan struct{}
	queued int // jobs that wait, as far as is known
	closed bool
}

func newLoop(e *Engine) *loop {
	return &loop{e: e, sched: schedule.New(e.profile), pace: newPacer(), wake: make(chan struct{}, 1)}
}

// rankFor is the rank that all requests of a session go to; of those that name none,
// the rank with the fewest jobs.
func (e *Engine) rankFor(session string) *loop {
	if session != "" {
		h := fnv.New32a()
		h.Write([]byte(session))
		return e.ranks[h.Sum32()%uint32(len(e.ranks))]
	}
	best := e.ranks[0]
	for _, l := range e.ranks[1:] {
		if l.jobs.Load() < best.jobs.Load() {
			best = l
		}
	}
	return best
}

// submit queues jobs, all or none: it reports false where the queue limit does
// not allow them.
func (l *loop) submit(jobs ...*job) bool {
	l.mu.Lock()
	limit := l.e.profile.Limits.MaxQueue
	if limit > 0 && l.queued+len(jobs) > limit {
		l.mu.Unlock()
		return false
	}
	closed := l.closed
	if !closed {
		l.inbox = append(l.inbox, jobs...)
		l.queued += len(jobs)
		l.jobs.Add(int64(len(jobs)))
	}
	l.mu.Unlock()
	if closed {
		for _, j := range jobs {
			j.abort(endClosed)
		}
	}
	l.poke()
	return true
}

// ask has f run between two steps.
func (l *loop) ask(f func()) {
	l.mu.Lock()
	l.asks = append(l.asks, f)
	l.mu.Unlock()
	l.poke()
}

func (l *loop) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// cancel drops a job that nobody waits for any more.
func (l *loop) cancel(j *job) {
	l.ask(func() {
		if j.ended == "" {
			l.sched.Cancel(&j.seq)
			j.abort(endAbort)
		}
	})
}

// maxDebt bounds how far the loop makes up for lateness: eight steps, but at
// least 5 ms and at most 100. Steps follow one another without a gap, as on a
// GPU, so a step that was late is followed by one that is due sooner; but after
// a pause of the whole process the engine does not sprint, and one whose steps
// are shorter than the machine can do does not take all of it.
func maxDebt(step time.Duration) time.Duration {
	return min(max(8*step, 5*time.Millisecond), 100*time.Millisecond)
}

// run schedules until the engine is closed.
func (l *loop) run() {
	defer l.pace.close()
	var due time.Time
	for l.takeIn() {
		step := l.e.throttle.stretch(l.e.now(), l.sched.Begin())
		l.see()
		if step == 0 {
			select {
			case <-l.wake:
			case <-l.e.closed.Done():
			}
			due = time.Time{}
			continue
		}
		now := time.Now()
		if due.IsZero() {
			due = now
		}
		if late, most := now.Sub(due), maxDebt(step); late > most {
			l.counters.late.Add(int64(late - most))
			due = now.Add(-most)
		}
		due = due.Add(step)
		for !l.pace.until(due) && l.e.closed.Err() == nil {
		}
		l.counters.steps.Add(1)
		l.sched.End(l.took)
	}
	l.shutdown()
}

// see publishes how full the engine is.
func (l *loop) see() {
	w := l.sched.Waiting()
	l.counters.see(l.sched, len(l.coming))
	l.mu.Lock()
	l.queued = w + len(l.coming) + len(l.inbox)
	l.mu.Unlock()
}

// took draws a sequence's new tokens and hands them on.
func (l *loop) took(q *schedule.Seq, n int) (stop bool) {
	j := q.Owner.(*job)
	return j.produce(n)
}

// takeIn queues what was submitted and does what was asked. It reports whether
// to go on.
func (l *loop) takeIn() bool {
	l.mu.Lock()
	inbox, asks := l.inbox, l.asks
	l.inbox, l.asks = nil, nil
	l.mu.Unlock()
	for _, j := range inbox {
		if j.ended == "" && !l.coming.add(j) { // it may have been cancelled at once
			l.sched.Add(&j.seq)
		}
	}
	for _, f := range asks {
		f()
	}
	for _, j := range l.coming.arrived(l.e.now()) {
		l.counters.transferred(j.fault.pause)
		l.sched.Add(&j.seq)
	}
	return l.e.closed.Err() == nil
}

// shutdown ends every job that is left.
func (l *loop) shutdown() {
	l.mu.Lock()
	l.closed = true
	inbox := slices.Concat(l.inbox, l.coming)
	l.mu.Unlock()
	for _, q := range l.sched.All() {
		inbox = append(inbox, q.Owner.(*job))
	}
	for _, j := range inbox {
		j.abort(endClosed)
	}
}

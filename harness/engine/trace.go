package engine

import (
	"sync"
	"time"
)

// Trace is what the engine knows of one sequence of a request: one choice of
// one prompt. Instants are nanoseconds on the engine's own monotonic clock,
// which begins when it starts.
type Trace struct {
	ID           string  `json:"id"`         // X-Request-Id, or one that the engine made
	Index        int     `json:"index"`      // of the choice
	ArrivedNS    int64   `json:"arrived_ns"` // the request's first byte arrived
	QueuedNS     int64   `json:"queued_ns"`  // parsed, and handed to the scheduler
	HandedNS     []int64 `json:"handed_ns"`  // each token, just before it was written to the socket
	EndedNS      int64   `json:"ended_ns"`   // nothing more will be written
	PromptTokens int     `json:"prompt_tokens"`
	CachedTokens int     `json:"cached_tokens"`   // of the prompt, found in the prefix cache
	HostTokens   int     `json:"host_tokens"`     // of these, found in its host tier
	Finish       string  `json:"finish_reason"`   // length, stop, abort or closed
	Streamed     bool    `json:"streamed"`        // else all tokens went at once, at the end
	Fault        string  `json:"fault,omitempty"` // that was asked for and struck
}

// trace keeps the most recent traces, bounded by their tokens.
type trace struct {
	max int

	mu     sync.Mutex
	kept   []*Trace // oldest first
	tokens int
}

func newTrace(max int) *trace { return &trace{max: max} }

func (t *trace) add(r *Trace) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, r)
	t.tokens += cost(r)
	drop := 0
	for t.tokens > t.max && drop < len(t.kept) {
		t.tokens -= cost(t.kept[drop])
		t.kept[drop] = nil
		drop++
	}
	t.kept = t.kept[drop:]
}

// cost counts a trace against the bound: its tokens, and what an empty one
// takes as well.
func cost(r *Trace) int { return 16 + len(r.HandedNS) }

func (t *trace) clear() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept, t.tokens = nil, 0
}

// find lists the traces with the id, or all where it is empty, oldest first.
func (t *trace) find(id string) []*Trace {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := []*Trace{}
	for _, r := range t.kept {
		if id == "" || r.ID == id {
			out = append(out, r)
		}
	}
	return out
}

// handed notes that n more of the job's tokens go to the socket at this
// instant.
func (j *job) handed(n int, at time.Time) {
	if n == 0 {
		return
	}
	ns := int64(at.Sub(j.e.born))
	if j.first == 0 {
		j.first = ns
	}
	j.last = ns
	if j.record != nil {
		for range n {
			j.record.HandedNS = append(j.record.HandedNS, ns)
		}
	}
}

// book notes that nothing more of the job will be written: once for each job,
// by whoever wrote last.
func (j *job) book() {
	if j.booked {
		return
	}
	j.booked = true
	j.loop.jobs.Add(-1)
	j.loop.counters.ended(j)
	if r := j.record; r != nil {
		r.EndedNS = int64(j.e.now())
		r.CachedTokens, r.HostTokens = j.seq.Cached, j.seq.FromHost
		r.Finish = j.ended
		j.e.trace.add(r)
	}
}

// Package schedule is the engine's scheduler and its clockwork: which requests
// a step computes, and how long that step takes. It is pure: it holds no clock
// and no tokens, so that the same code drives the real engine in real time and
// a simulation in virtual time.
//
// The policy is vLLM's: running requests come first, in order of arrival, each
// decoding one token or prefilling a chunk of its prompt; what is left of the
// step's token budget goes to waiting requests, first come first served. The
// KV cache is handed out in blocks as requests grow; where a running request
// finds none, the youngest running one is put back to the front of the queue
// and computed again later.
package schedule

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Seq is one sequence to compute: a prompt, and up to Output tokens after it.
// The scheduler owns it from Add until it is done or cancelled.
type Seq struct {
	Prompt int      // tokens of the prompt
	Output int      // tokens to produce, at least 1
	Hashes []uint64 // of each full block of the prompt with all before it; nil where nothing may be shared
	Owner  any      // the caller's

	Cached   int // tokens of the prompt that the prefix cache held
	FromHost int // of these, in the host tier
	Produced int // tokens produced so far

	computed int      // tokens whose KV entries are there
	blocks   int      // blocks held
	shared   []*block // those of them that the prefix cache knows
	chunk    int      // tokens that this step computes; 0 where it is not in the step
	loaded   int      // tokens that this step loads back from the host tier
	lookedUp bool     // and counted: it may be admitted again
	state    seqState
}

type seqState uint8

const (
	waiting seqState = iota
	running
	finished
)

// target returns how many tokens must be there before the next one is produced.
func (s *Seq) target() int { return s.Prompt + s.Produced }

// Scheduler holds all sequences. It is not safe for concurrent use: one loop
// calls Add, Cancel, Begin and End.
type Scheduler struct {
	limits  Limits
	cost    Cost
	cache   *cache
	rng     *rand.Rand
	waiting []*Seq
	running []*Seq

	Preemptions int // times a running sequence was put back for want of blocks
	Spec        Speculation
}

// Speculation counts what was guessed ahead and what of it was right.
type Speculation struct {
	Drafts, DraftTokens, Accepted int
	PerPosition                   []int // accepted, by the position of the guess
}

// New makes a scheduler. The profile must be valid.
func New(p *Profile) *Scheduler {
	return &Scheduler{limits: p.Limits, cost: p.Cost, cache: newCache(p.Limits),
		rng: rand.New(rand.NewPCG(1, 2)), Spec: Speculation{PerPosition: make([]int, p.Limits.SpecTokens)}}
}

// Fits reports whether a sequence of so many tokens can be computed at all.
func (s *Scheduler) Fits(tokens int) bool {
	return s.cache.blocksFor(tokens) <= s.cache.total
}

// Add queues a sequence, which must fit: see Fits.
func (s *Scheduler) Add(q *Seq) {
	q.state = waiting
	s.waiting = append(s.waiting, q)
}

// Cancel drops a sequence, wherever it is. It must not be called between Begin
// and End.
func (s *Scheduler) Cancel(q *Seq) {
	switch q.state {
	case waiting:
		s.waiting = slices.DeleteFunc(s.waiting, func(o *Seq) bool { return o == q })
	case running:
		s.running = slices.DeleteFunc(s.running, func(o *Seq) bool { return o == q })
		s.cache.release(q)
	}
	q.state = finished
}

// Running and Waiting count the sequences in each state.
func (s *Scheduler) Running() int { return len(s.running) }
func (s *Scheduler) Waiting() int { return len(s.waiting) }

// KVUsage returns the fraction of the KV cache that running sequences hold.
func (s *Scheduler) KVUsage() float64 {
	return 1 - float64(s.cache.free)/float64(s.cache.total)
}

// FlushCache forgets the prefixes that no running sequence uses: those on the
// device, and where it is asked those in the host tier too.
func (s *Scheduler) FlushCache(host bool) { s.cache.flush(host) }

// CacheStats tells what the prefix cache has done.
func (s *Scheduler) CacheStats() CacheStats { return s.cache.stats }

// Begin chooses what the next step computes and says how long it takes: 0 where
// there is nothing to do.
func (s *Scheduler) Begin() time.Duration {
	budget := s.limits.TokenBudget
	before := s.Preemptions
	var load Load
	for i := 0; i < len(s.running); i++ {
		q := s.running[i]
		q.chunk = min(q.target()-q.computed, budget)
		if q.chunk == 0 {
			continue
		}
		if !s.secure(q) {
			break // q itself was put back, and it was the last
		}
		s.cache.publish(q, q.computed+q.chunk)
		budget -= q.chunk
	}
	if s.Preemptions == before {
		s.admit(budget)
	}
	for _, q := range s.running {
		load.Loaded, q.loaded = load.Loaded+q.loaded, 0
		switch {
		case q.chunk == 0:
		case q.Produced > 0 && q.chunk == 1:
			load.Decoding++
			load.Context += q.computed + 1
		default:
			load.Prefill += q.chunk
			load.Pairs += q.chunk*q.computed + q.chunk*(q.chunk+1)/2
		}
	}
	if load.Decoding == 0 && load.Prefill == 0 {
		return 0
	}
	load.Rounds = s.limits.DecodeRounds
	if s.limits.SpecTokens > 0 { // every guess is verified: a larger batch
		load.Decoding *= 1 + s.limits.SpecTokens
	}
	return max(s.cost.Step(load), time.Nanosecond)
}

// admit moves waiting sequences to running while budget, blocks and the
// running limit allow.
func (s *Scheduler) admit(budget int) {
	n := 0
	for n < len(s.waiting) && budget > 0 && len(s.running) < s.limits.MaxRunning {
		q := s.waiting[n]
		if !s.cache.admit(q, budget) {
			break
		}
		if c := &s.cache.stats; !q.lookedUp {
			q.lookedUp, q.Cached, q.FromHost = true, q.computed, q.loaded
			c.Queried += q.Prompt
			c.Device += q.Cached - q.FromHost
			c.Host += q.FromHost
		}
		s.cache.publish(q, q.computed+q.chunk)
		budget -= q.chunk
		q.state = running
		s.running = append(s.running, q)
		n++
	}
	if n > 0 {
		s.waiting = slices.Delete(s.waiting, 0, n)
	}
}

// secure gets q the blocks for its chunk and for the tokens that a step may
// add, putting back the youngest running sequences until there are enough. It
// reports whether q is still running.
func (s *Scheduler) secure(q *Seq) bool {
	most := max(s.limits.DecodeRounds, 1) * (1 + s.limits.SpecTokens)
	for !s.cache.grow(q, min(q.computed+q.chunk+most-1, q.Prompt+q.Output)) {
		last := s.running[len(s.running)-1]
		s.running = s.running[:len(s.running)-1]
		s.cache.release(last)
		last.state, last.chunk = waiting, 0
		s.waiting = slices.Insert(s.waiting, 0, last)
		s.Preemptions++
		if last == q {
			return false
		}
	}
	return true
}

// End takes the step as done. For each sequence that produced tokens it calls
// took with their number; took returns true where the sequence ends before its
// Output is reached. A sequence that is done is the caller's again; it may have
// put the hashes of all of its full blocks, output included, into Hashes, for
// the prefix cache.
func (s *Scheduler) End(took func(q *Seq, tokens int) (stop bool)) {
	keep := s.running[:0]
	for _, q := range s.running {
		if q.chunk == 0 {
			keep = append(keep, q)
			continue
		}
		decoding := q.Produced > 0 && q.chunk == 1
		q.computed += q.chunk
		q.chunk = 0
		if q.computed < q.target() {
			keep = append(keep, q)
			continue // more of the prompt to come
		}
		n := 1
		if decoding {
			n = min(s.tokens(), q.Output-q.Produced)
		}
		q.Produced += n
		q.computed += n - 1 // all but the newest have been through the model
		if took(q, n) || q.Produced >= q.Output {
			q.state = finished
			s.cache.publish(q, q.computed)
			s.cache.release(q)
			continue
		}
		keep = append(keep, q)
	}
	clear(s.running[len(keep):])
	s.running = keep
}

// tokens returns how many tokens one step gives one decoding sequence.
func (s *Scheduler) tokens() int {
	n := 0
	for range max(s.limits.DecodeRounds, 1) {
		n++
		for i := range s.limits.SpecTokens {
			if i == 0 {
				s.Spec.Drafts++
				s.Spec.DraftTokens += s.limits.SpecTokens
			}
			if s.rng.Float64() >= s.limits.SpecAccept {
				break
			}
			n++
			s.Spec.Accepted++
			s.Spec.PerPosition[i]++
		}
	}
	return n
}

// All lists the sequences that run or wait.
func (s *Scheduler) All() []*Seq { return slices.Concat(s.running, s.waiting) }

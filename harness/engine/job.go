package engine

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"inferbench/harness/engine/ngram"
	"inferbench/harness/engine/schedule"
)

// sampling is how a request wants its tokens drawn, and when it wants to stop.
type sampling struct {
	temperature  float64
	topP, minP   float64 // 1 and 0 where they do nothing
	topK         int     // 0 or below: all
	seed         *int64
	minTokens    int
	ignoreEOS    bool
	stop         []string
	stopIDs      []int32
	keepStop     bool   // include_stop_str_in_output
	logprobs     int    // alternatives wanted a token; -1 where no logprobs are
	wantsPrompts bool   // logprobs of the prompt are wanted: its KV entries must not come from the cache
	salt         uint64 // of the prefix cache: only requests of the same one share entries
}

// How a job ended. The first two are what the wire calls finish_reason.
const (
	endLength = "length"
	endStop   = "stop"
	endAbort  = "abort"  // the client went away
	endClosed = "closed" // the engine did
)

// sink is where a job's tokens go. Its methods are called by the loop, one at a
// time for a job, and must not wait for anybody.
type sink interface {
	// took gives the job what a step made of it (job.take). It reports false
	// where nobody wants it any more.
	took(j *job, made step) bool
	// aborted says that the job ended without a result, and why.
	aborted(j *job, why string)
}

// step is what one step made of a job.
type step struct {
	tokens []uint16
	states []ngram.State // before each of them, where logprobs are wanted
	ended  string        // endLength or endStop where the job ends with it
	keep   int           // then: the tokens of the output whose text counts
	stop   any           // the stop string or token id that matched
}

// job is one sequence being generated: one choice of one prompt of a request.
type job struct {
	loop   *loop // of the rank that runs it
	e      *Engine
	seq    schedule.Seq
	index  int // of the choice
	prompt []int32
	text   string // of the prompt, where it came as text
	how    *sampling
	sink   sink
	fault  *fault // in force on the request, or nil

	awaited time.Duration // when the KV cache of its prompt will be there, where it comes from elsewhere

	arrived     int64 // ns on the engine's clock
	first, last int64 // when its first and its last token yet were handed over
	record      *Trace
	booked      bool

	generation
	output
}

// generation is the loop's own view of a job.
type generation struct {
	recall []uint16 // text that the model knows the answer to go like; nil once it went astray
	state  ngram.State
	rng    *rand.Rand // nil: greedy
	room   [8]uint16  // for a step's tokens, so that they need no allocation
}

// output is what came of a job so far. The loop writes it, through the sink and
// under the sink's lock.
type output struct {
	out    []uint16
	states []ngram.State
	ended  string
	keep   int
	stop   any
	form   progress // how far it has been written to the client
}

// newJob makes a job of a prompt and at most output tokens.
func (e *Engine) newJob(index int, prompt []int32, output int, how *sampling, to sink) *job {
	j := &job{e: e, index: index, prompt: prompt, how: how, sink: to}
	j.state = e.model.After(prompt)
	j.seq = schedule.Seq{Prompt: len(prompt), Output: output, Owner: j}
	if e.profile.Limits.PrefixCaching && !how.wantsPrompts {
		j.seq.Hashes = blockHashes(nil, prompt, e.profile.Limits.BlockTokens, how.salt)
	}
	if how.temperature > 0 {
		seed := rand.Uint64()
		if how.seed != nil {
			seed = uint64(*how.seed)
		}
		j.rng = rand.New(rand.NewPCG(seed, uint64(index)))
	}
	j.out = make([]uint16, 0, min(output, 1<<11))
	return j
}

// produce draws n tokens, or fewer where the job stops, and hands them on. It
// reports whether the job is over.
func (j *job) produce(n int) bool {
	made := step{tokens: j.room[:0]}
	views := j.e.views.Load()
	for range n {
		at := len(j.out) + len(made.tokens)
		view := j.underLoad(at, views.at(at))
		t := j.draw(view, len(made.tokens), at < j.how.minTokens)
		if j.how.logprobs >= 0 {
			made.states = append(made.states, j.state)
		}
		j.state = view.Next(j.state, t)
		made.tokens = append(made.tokens, uint16(t))
		if j.stops(t, &made) {
			break
		}
	}
	if total := len(j.out) + len(made.tokens); made.ended == "" && total >= j.seq.Output {
		made.ended, made.keep = endLength, total
		if j.fault.is("short-output") {
			made.ended = endStop
		}
	}
	j.loop.counters.generated.Add(int64(len(made.tokens)))
	if !j.sink.took(j, made) && j.ended == "" {
		j.sink.aborted(j, endAbort)
	}
	if j.ended == "" {
		return false
	}
	if j.seq.Hashes != nil {
		j.seq.Hashes = blockHashes(j.seq.Hashes, j.whole(), j.e.profile.Limits.BlockTokens, j.how.salt)
	}
	return true
}

// take makes a step part of the job.
func (j *job) take(made step) {
	j.out = append(j.out, made.tokens...)
	j.states = append(j.states, made.states...)
	j.ended, j.keep, j.stop = made.ended, made.keep, made.stop
}

// stops decides whether token t, the last of a step, ends the job.
func (j *job) stops(t int32, made *step) bool {
	total := len(j.out) + len(made.tokens)
	if total < j.how.minTokens {
		return false
	}
	if t == ngram.EOS && !j.how.ignoreEOS {
		made.ended, made.keep = endStop, total-1
		return true
	}
	if slices.Contains(j.how.stopIDs, t) {
		made.ended, made.keep, made.stop = endStop, total-1, t
		return true
	}
	for _, s := range j.how.stop {
		if j.endsWith(s, made.tokens) {
			made.ended, made.keep, made.stop = endStop, total-len(s), s
			if j.how.keepStop {
				made.keep = total
			}
			return true
		}
	}
	return false
}

// endsWith reports whether the output, tokens included, ends with the text s.
// A token is a byte, so text and tokens compare directly.
func (j *job) endsWith(s string, tokens []uint16) bool {
	made := len(j.out) + len(tokens)
	if s == "" || len(s) > made {
		return false
	}
	for i := range len(s) {
		at := made - len(s) + i
		t := uint16(0)
		if at < len(j.out) {
			t = j.out[at]
		} else {
			t = tokens[at-len(j.out)]
		}
		if t != uint16(s[i]) {
			return false
		}
	}
	return true
}

// draw chooses the next token, after made others of the same step: the most
// likely one, or a sample.
func (j *job) draw(v *ngram.View, made int, noEOS bool) int32 {
	if j.rng == nil {
		best := v.Best(j.state)
		if at := len(j.out) + made; j.recall != nil && at < len(j.recall) {
			best = v.Recalled(j.state, int32(j.recall[at]))
			if best != int32(j.recall[at]) {
				j.recall = nil
			}
		}
		if noEOS && best == ngram.EOS {
			best = v.Top(j.state, 2)[1]
		}
		return best
	}
	var p [ngram.Vocab]float64
	v.Dist(j.state, &p)
	if noEOS {
		p[ngram.EOS] = 0
	}
	return sample(&p, j.how, j.rng)
}

// sample draws from p after temperature, top-k, min-p and top-p, in vLLM's
// order.
func sample(p *[ngram.Vocab]float64, how *sampling, rng *rand.Rand) int32 {
	var ids [ngram.Vocab]int32
	for t := range p {
		ids[t] = int32(t)
		p[t] = math.Pow(p[t], 1/how.temperature)
	}
	slices.SortFunc(ids[:], func(a, b int32) int {
		switch {
		case p[a] > p[b]:
			return -1
		case p[a] < p[b]:
			return 1
		}
		return int(a - b)
	})
	n := len(ids)
	if how.topK > 0 {
		n = min(n, how.topK)
	}
	total := 0.0
	for _, t := range ids[:n] {
		total += p[t]
	}
	if !(total > 0) || math.IsInf(total, 0) { // a temperature so low that all underflowed
		return ids[0]
	}
	kept, sum := 0, 0.0
	for _, t := range ids[:n] {
		if kept > 0 && (sum >= how.topP*total || p[t] < how.minP*p[ids[0]]) {
			break
		}
		sum += p[t]
		kept++
	}
	at := rng.Float64() * sum
	for _, t := range ids[:kept] {
		if at -= p[t]; at < 0 {
			return t
		}
	}
	return ids[kept-1]
}

// whole is prompt and output as one.
func (j *job) whole() []int32 {
	all := slices.Clone(j.prompt)
	for _, t := range j.out {
		all = append(all, int32(t))
	}
	return all
}

// abort ends a job without a result.
func (j *job) abort(why string) {
	if j.ended == "" {
		j.sink.aborted(j, why)
	}
}

// blockHashes extends known by the hashes of tokens' full blocks; each stands
// for its block and all before it, under a salt.
func blockHashes(known []uint64, tokens []int32, size int, salt uint64) []uint64 {
	h := 0x2545f4914f6cdd1d ^ salt
	if len(known) > 0 {
		h = known[len(known)-1]
	}
	for i := len(known) * size; i+size <= len(tokens); i += size {
		for _, t := range tokens[i : i+size] {
			h = (h ^ uint64(t+1)) * 0x9e3779b97f4a7c15
			h ^= h >> 29
		}
		known = append(known, h)
	}
	return known
}

// collector is the sink of a request that wants its answer whole.
type collector struct {
	left int
	done chan struct{} // closed when every job has ended
}

func newCollector(jobs int) *collector { return &collector{left: jobs, done: make(chan struct{})} }

func (c *collector) took(j *job, made step) bool {
	j.take(made)
	j.handed(len(made.tokens), time.Now())
	if j.ended != "" {
		j.book()
		c.end()
	}
	return true
}

func (c *collector) aborted(j *job, why string) {
	j.ended = why
	j.book()
	c.end()
}

func (c *collector) end() {
	if c.left--; c.left == 0 {
		close(c.done)
	}
}

// wait waits until every job has ended. It reports false where the client went
// away first, and then drops the jobs.
func (c *collector) wait(ctx context.Context, jobs []*job) bool {
	select {
	case <-c.done:
		return true
	case <-ctx.Done():
		for _, j := range jobs {
			j.loop.cancel(j)
		}
		return false
	}
}

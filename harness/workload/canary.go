package workload

import "strconv"

// Canary makes a request one whose answer is compared with what the same prompt
// gave before: it is greedy, and the beginning of its answer is kept.
type Canary struct {
	Salt     string // keeps it apart in the server's prefix cache; empty: nothing does
	Logprobs bool   // the likeliest tokens are asked for too, which a timed request never does
	Apart    bool   // it is left out of the latencies
}

// A cell has at least LeastCanaries, where it has as many requests; CanaryPrompts
// are recorded where canaries can share them, the first CanaryTokens of their
// answers.
const (
	LeastCanaries = 8
	CanaryPrompts = 16
	CanaryTokens  = 128
)

// Placing says which requests of a run are canaries. They lie evenly spread over
// the run; or, where the run may end before its last request, closely at first,
// until there are Least.
type Placing struct {
	Requests int     // of the run
	Share    float64 // of them that are canaries, 0 to 1
	Least    int     // canaries, where there are as many requests
	Most     int     // 0: no limit
	Early    int     // where the run may end early: requests from one of the first Least to the next
}

// Count is how many canaries there are, where the run does not end early.
func (p Placing) Count() int {
	n := max(p.Least, int(p.Share*float64(p.Requests)+0.5))
	if p.Early > 0 {
		n = min(p.Least, (p.Requests-p.Early/2+p.Early-1)/p.Early)
		n += max(p.Requests-1-p.position(p.Least-1), 0) / p.step()
	}
	if p.Most > 0 {
		n = min(n, p.Most)
	}
	return min(n, p.Requests)
}

// position is the index of canary k.
func (p Placing) position(k int) int {
	if p.Early == 0 {
		return int((2*int64(k) + 1) * int64(p.Requests) / (2 * int64(p.Count())))
	}
	at := min(k, p.Least-1)*p.Early + p.Early/2
	if late := k - (p.Least - 1); late > 0 {
		at += late * p.step()
	}
	return at
}

func (p Placing) step() int { return max(int(1/p.Share+0.5), 1) }

// At tells which canary request i is.
func (p Placing) At(i int) (k int, is bool) {
	switch count := p.Count(); {
	case count == 0 || i < 0:
		return 0, false
	case p.Early == 0:
		k = int(int64(i) * int64(count) / int64(p.Requests))
	case i < p.position(p.Least-1):
		k = i / p.Early
	default:
		k = p.Least - 1 + (i-p.position(p.Least-1))/p.step()
	}
	for ; k < p.Count() && p.position(k) <= i; k++ {
		if p.position(k) == i {
			return k, true
		}
	}
	return 0, false
}

// WithCanaries is a source some of whose requests are canaries. From a Pool they
// take their prompts, in turn, and nothing else: when they are sent and how long
// their answers are is the source's. Without one they are the source's own.
type WithCanaries struct {
	Source
	Placing Placing
	Pool    Source // may be nil
	Salt    string // each canary's is this and its index; empty: none
	Apart   bool
}

// Check passes on what is wrong with the source.
func (c WithCanaries) Check() error { return Check(c.Source) }

// Request is request i.
func (c WithCanaries) Request(i int) (Request, error) { return c.RequestInto(nil, i) }

// RequestInto is [WithCanaries.Request] with its ids in tokens[:0], where they fit.
func (c WithCanaries) RequestInto(tokens []int32, i int) (Request, error) {
	k, is := c.Placing.At(i)
	if !is || c.Pool == nil {
		r, err := RequestInto(c.Source, tokens, i)
		if is {
			r.Canary = &Canary{Apart: c.Apart}
		}
		return r, err
	}
	own, err := RequestInto(c.Source, tokens, i)
	if err != nil {
		return own, err
	}
	r, err := RequestInto(c.Pool, tokens, k%c.Pool.Len())
	r.Index, r.OutputLen, r.At = own.Index, own.OutputLen, own.At
	r.Canary = &Canary{Apart: c.Apart}
	if c.Salt != "" {
		r.Canary.Salt = c.Salt + "-" + strconv.Itoa(i)
	}
	return r, err
}

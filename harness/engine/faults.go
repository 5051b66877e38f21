package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"inferbench/harness/engine/ngram"
)

// faultNames lists what can go wrong on demand, and what each does.
var faultNames = []struct{ name, does string }{
	{"refuse", "reset the connection instead of answering"},
	{"500", "answer 500"},
	{"503", "answer 503"},
	{"429", "answer 429 with Retry-After: for, in whole seconds"},
	{"stall-first", "send nothing for so long before the first token"},
	{"stall-mid-stream", "after so many tokens, send nothing for so long"},
	{"drop-mid-stream", "after so many tokens, reset the connection"},
	{"truncated-chunk", "after so many tokens, send half a chunk and close"},
	{"error-event", "after so many tokens, send an error event and end the stream"},
	{"garbage", "after so many tokens, send an event that is no JSON"},
	{"slow-loris", "send a byte at a time, so long apart"},
	{"short-output", "end after so many tokens, whatever was asked"},
	{"wrong-usage", "count one completion token too many in the usage"},
	{"no-usage", "leave the usage out"},
	{"nan-logprob", "give NaN as the logprob after so many tokens"},
	{"noise-under-load", "while other answers are streamed beside it, noise on the decode steps of a streamed one"},
	{"cache-under-load", "after so many tokens of a streamed answer, go on from another's cache entries"},
	{"throttle", "for so long, every step takes so many times as long, as on GPUs whose clocks fell"},
	{"kv-transfer", "wait so long for the KV cache of the prompt, as where it comes from a prefill worker"},
}

// fault is one rule: which fault strikes how often.
type fault struct {
	name  string
	rate  float64       // of the requests
	left  int           // strikes to come; below 0: any number
	after int           // tokens
	pause time.Duration // the key "for"
	noise float64       // nats
	times int           // as long a step takes

	noisy *ngram.View // of noise-under-load
}

// faults is a set of rules, and what they have done.
type faults struct {
	text string

	mu     sync.Mutex
	rng    *rand.Rand
	rules  []*fault
	struck map[string]int
}

// ParseFaults reads rules such as
//
//	drop-mid-stream:rate=0.1:after=5,500:count=3,stall-first:for=2s
//
// Each names a fault. rate is the share of requests that it strikes (1 unless
// given), count how often it strikes at most, after the number of tokens that
// it lets through (3), for how long it lasts (1s; 1ms between the bytes of
// slow-loris), noise the standard deviation of noise-under-load in nats (2), and
// times how many times as long a step takes under throttle (3).
// A request is struck by the first rule that chooses it. The dice
// are seeded, so that n requests meet the same faults each time.
func ParseFaults(text string) (*faults, error) {
	f := &faults{text: text, rng: rand.New(rand.NewPCG(3, 4)), struck: map[string]int{}}
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		rule, err := parseFault(part)
		if err != nil {
			return nil, fmt.Errorf("engine fault %q: %w", part, err)
		}
		f.rules = append(f.rules, rule)
	}
	return f, nil
}

func parseFault(part string) (*fault, error) {
	words := strings.Split(part, ":")
	r := &fault{name: words[0], rate: 1, left: -1, after: 3, pause: time.Second, noise: 2, times: 3}
	if r.name == "slow-loris" {
		r.pause = time.Millisecond
	}
	if !slices.ContainsFunc(faultNames, func(n struct{ name, does string }) bool { return n.name == r.name }) {
		var known []string
		for _, n := range faultNames {
			known = append(known, n.name)
		}
		return nil, fmt.Errorf("there is none of that name; there are: %s", strings.Join(known, ", "))
	}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		var err error
		switch key {
		case "rate":
			if r.rate, err = strconv.ParseFloat(value, 64); err != nil || !(r.rate > 0 && r.rate <= 1) {
				return nil, fmt.Errorf("rate=%s: want above 0 and at most 1", value)
			}
		case "count":
			if r.left, err = strconv.Atoi(value); err != nil || r.left < 1 {
				return nil, fmt.Errorf("count=%s: want a whole number from 1", value)
			}
		case "after":
			if r.after, err = strconv.Atoi(value); err != nil || r.after < 0 {
				return nil, fmt.Errorf("after=%s: want a whole number from 0", value)
			}
		case "for":
			if r.pause, err = time.ParseDuration(value); err != nil || r.pause < 0 {
				return nil, fmt.Errorf("for=%s: want a time as 500ms or 2s", value)
			}
		case "noise":
			if r.noise, err = strconv.ParseFloat(value, 64); err != nil || !(r.noise > 0 && r.noise <= maxNoise) {
				return nil, fmt.Errorf("noise=%s: want above 0 and at most %d nats", value, maxNoise)
			}
		case "times":
			if r.times, err = strconv.Atoi(value); err != nil || r.times < 1 || r.times > maxTimes {
				return nil, fmt.Errorf("times=%s: want a whole number from 1 to %d", value, maxTimes)
			}
		default:
			return nil, fmt.Errorf("%q: want rate=, count=, after=, for=, noise= or times=", w)
		}
	}
	return r, nil
}

// maxTimes bounds how far throttle slows steps.
const maxTimes = 1000

// SetFaults changes what goes wrong from now on: see [ParseFaults]. The empty
// text means nothing.
func (e *Engine) SetFaults(text string) error {
	f, err := ParseFaults(text)
	if err != nil {
		return err
	}
	for _, r := range f.rules {
		if r.name == "noise-under-load" {
			r.noisy = e.model.View(r.noise)
		}
	}
	e.faults.Store(f)
	return nil
}

// draw returns the fault that strikes the next request, nil for none.
func (f *faults) draw() *fault {
	if len(f.rules) == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.rules {
		if f.rng.Float64() >= r.rate || r.left == 0 {
			continue
		}
		r.left--
		f.struck[r.name]++
		return r
	}
	return nil
}

// is reports whether the fault, which may be nil, has the name.
func (r *fault) is(name string) bool { return r != nil && r.name == name }

// active reports whether the fault has to do with how bytes are sent, and not
// only with what they say.
func (r *fault) active() bool {
	if r == nil {
		return false
	}
	switch r.name {
	case "short-output", "wrong-usage", "no-usage", "nan-logprob", "noise-under-load", "cache-under-load",
		"throttle", "kv-transfer":
		return false
	}
	return true
}

// underLoad carries out, before output token i of a streamed job, a fault that
// strikes while others are streamed beside it. It returns the view that the token
// is drawn by.
func (j *job) underLoad(i int, v *ngram.View) *ngram.View {
	switch {
	case j.fault.is("noise-under-load") && i > 0 && j.beside() != nil:
		return j.fault.noisy
	case j.fault.is("cache-under-load") && i == j.fault.after:
		if other := j.beside(); other != nil {
			j.state = other.state
		}
	}
	return v
}

// beside is another job that is streamed now; nil where there is none, or j is
// not streamed itself. The loop calls it.
func (j *job) beside() *job {
	if _, streamed := j.sink.(*stream); !streamed {
		return nil
	}
	for _, q := range j.loop.sched.All() {
		other := q.Owner.(*job)
		if _, streamed := other.sink.(*stream); streamed && other != j && len(other.out) > 0 && other.ended == "" {
			return other
		}
	}
	return nil
}

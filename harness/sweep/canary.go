package sweep

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/hint"
	"inferbench/harness/load"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// A few of the timed requests are canaries: greedy ones whose answers were
// recorded before, one at a time, once a combination. Their answers under the
// measured load are laid beside those. See [accuracy.Canaries].

// Canaries says how a pass's canaries are chosen, so that all who share its load
// choose alike.
type Canaries struct {
	Placing workload.Placing
	Prompts int    `json:",omitempty"` // of the combination's own; 0: canaries are requests of the pass as they are
	Salt    string `json:",omitempty"` // letters and digits, which any server takes; empty: none
	Apart   bool   `json:",omitempty"` // nothing keeps them from the cache that their recording filled
}

// canaryAnswers are what a sweep knows of its canaries' prompts.
type canaryAnswers struct {
	salt     string // of this sweep's canaries
	byPrompt map[[sha256.Size]byte]*accuracy.Recording
	unsalted bool // the server was seen to share cache entries whatever the salt
}

func newCanaryAnswers() canaryAnswers {
	return canaryAnswers{salt: rand.Text(), byPrompt: map[[sha256.Size]byte]*accuracy.Recording{}}
}

// canaries are a pass's canaries on their way.
type canaries struct {
	before   func(index int) *accuracy.Recording // of a request; nil where it is no canary
	uncached string                              // what keeps them from the cache: salt or reset
	unasked  string                              // why there are none
}

// notAsked says why a pass has no canaries; "" where it has.
func (sw *Sweep) notAsked() string {
	s := sw.Settings
	switch {
	case sw.synthetic():
		return accuracy.NotTheModels
	case s.Accuracy.CanaryShare == 0 && s.Accuracy.Task == "none":
		return "accuracy was not asked for"
	case s.Accuracy.CanaryShare == 0:
		return "CANARY_SHARE is 0"
	case workload.LeavesOut(s.Workload.ExtraBody["temperature"]), sw.Target.Keys.Called("temperature") == "":
		return "the temperature is left to the server, so that its answers need not repeat"
	}
	return ""
}

// unrecorded begins the reason why there are no canaries where there should be.
const unrecorded = "their prompts could not be recorded: "

// release chooses the pass's canaries and records those of their prompts that are
// not recorded yet. It may leave the pass without any and says why; the error is
// an interrupt.
func (sw *Sweep) release(ctx context.Context, p *pass, src workload.Source) (canaries, error) {
	if why := sw.notAsked(); why != "" {
		return canaries{unasked: why}, nil
	}
	p.Canaries = sw.chooseCanaries(*p)
	before, err := sw.record(ctx, *p, src)
	if err == nil && p.Canaries.Salt != "" && sw.known.unsalted {
		p.Canaries = sw.chooseCanaries(*p)
		before, err = sw.record(ctx, *p, src)
	}
	switch {
	case ctx.Err() != nil:
		return canaries{}, context.Cause(ctx)
	case err != nil:
		p.Canaries = nil
		return canaries{unasked: unrecorded + hint.Line(err)}, nil
	}
	c := canaries{before: before}
	switch {
	case p.Canaries.Salt != "":
		c.uncached = "salt"
	case sw.Target.ResetCache(ctx) == nil: // it may hold what earlier passes sent, too
		c.uncached = "reset"
	case tooMany(p.Canaries.Placing):
		all := p.Canaries.Placing
		p.Canaries = nil
		return canaries{unasked: fmt.Sprintf("nothing keeps %d of %d requests from the prefix cache, and too few are left "+
			"to take the latencies of", all.Count(), all.Requests)}, nil
	default:
		p.Canaries.Apart = true
	}
	return c, nil
}

// tooMany reports whether so many requests would be canaries that the others say
// little of the latencies.
func tooMany(p workload.Placing) bool { return 4*p.Count() > p.Requests }

// chooseCanaries says which requests of a pass are canaries, and with what prompts.
func (sw *Sweep) chooseCanaries(p pass) *Canaries {
	s := sw.Settings
	plan := sw.plan(p)
	c := &Canaries{Placing: workload.Placing{Requests: plan.Workload.N, Share: s.Accuracy.CanaryShare,
		Least: workload.LeastCanaries}}
	if s.Shape.Duration > 0 || s.Shape.Precision > 0 || plan.Enough != nil {
		c.Placing.Early = max(min(int(1/s.Accuracy.CanaryShare), p.Cell.Conc/2), 1)
	}
	if sw.Target.Dialect.SaltKey != "" && !sw.known.unsalted {
		c.Salt = fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s %s %d", sw.known.salt, p.Cell.Name(), p.Number)))[:24]
	}
	own := sw.kind().OneSeed || s.Workload.SharedPrefix > 0 // what they share is the pass's own
	if c.Placing.Early > 0 && (own || c.Salt == "") {
		c.Placing.Most = workload.CanaryPrompts
	}
	if !own {
		c.Prompts = c.Placing.Count()
		if c.Salt != "" {
			c.Prompts = min(c.Prompts, workload.CanaryPrompts)
		}
	}
	return c
}

// withCanaries is a pass's workload with its canaries in it.
func (sw *Sweep) withCanaries(ctx context.Context, p pass, src workload.Source) (workload.Source, error) {
	if p.Canaries == nil {
		return src, nil
	}
	pool, err := sw.canaryPool(ctx, p)
	return workload.WithCanaries{Source: src, Placing: p.Canaries.Placing, Pool: pool, Salt: p.Canaries.Salt,
		Apart: p.Canaries.Apart}, err
}

// canaryPool is the prompts that the canaries of a combination have; nil where
// they are the pass's own requests.
func (sw *Sweep) canaryPool(ctx context.Context, p pass) (workload.Source, error) {
	if p.Canaries.Prompts == 0 {
		return nil, nil
	}
	plan := sw.plan(pass{Cell: p.Cell})
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s canaries", sw.Settings.Workload.Seed, p.Cell.Combination.Name())
	plan.Workload.Seed, plan.Workload.N, plan.WarmUp = int64(h.Sum64()>>1), p.Canaries.Prompts, 0
	plan.Shape = load.Shape{}
	pool, _, _, err := load.Open(ctx, sw.Target, plan)
	return pool, err
}

// record sees to it that what the pass's canaries' prompts give alone is known, and
// returns it by the index of a request.
func (sw *Sweep) record(ctx context.Context, p pass, src workload.Source) (func(int) *accuracy.Recording, error) {
	flock, err := sw.withCanaries(ctx, p, src)
	if err != nil {
		return nil, err
	}
	placing, prompts := p.Canaries.Placing, p.Canaries.Prompts
	var ask asked
	var keys [][sha256.Size]byte // by number of the canary
	for i, n := 0, placing.Count(); i < placing.Requests && len(keys) < n; i++ {
		k, is := placing.At(i)
		if !is {
			continue
		}
		if prompts > 0 && k == prompts { // from here on the same ones again
			break
		}
		r, err := flock.Request(i)
		if err != nil {
			return nil, err
		}
		key := promptKey(r)
		if keys = append(keys, key); sw.known.byPrompt[key] == nil {
			ask.add(r, key)
		}
	}
	if err := sw.hear(ctx, p, ask); err != nil {
		return nil, err
	}
	return func(i int) *accuracy.Recording {
		k, is := placing.At(i)
		if prompts > 0 {
			k %= prompts
		}
		if !is || k >= len(keys) {
			return nil
		}
		return sw.known.byPrompt[keys[k]]
	}, nil
}

// promptKey tells prompts apart.
func promptKey(r workload.Request) [sha256.Size]byte {
	b, _ := json.Marshal([]any{r.Tokens, r.Text, r.Messages}) // which are numbers, texts and JSON
	return sha256.Sum256(b)
}

// asked are prompts of which a recording is wanted, and a source of them.
type asked struct {
	requests []workload.Request
	keys     [][sha256.Size]byte
}

func (a *asked) add(r workload.Request, key [sha256.Size]byte) {
	if slices.Contains(a.keys, key) {
		return
	}
	r.OutputLen, r.At = min(cmp.Or(r.OutputLen, workload.CanaryTokens), workload.CanaryTokens), 0
	a.requests, a.keys = append(a.requests, r), append(a.keys, key)
}

func (a asked) Len() int { return len(a.requests) }

// Request is request i; those to warm up with are of the same.
func (a asked) Request(i int) (workload.Request, error) {
	return a.requests[(i%len(a.requests)+len(a.requests))%len(a.requests)], nil
}

// hear records the beginning of each answer, one request at a time, and then once
// more: without log-probabilities where the server gives none.
func (sw *Sweep) hear(ctx context.Context, p pass, ask asked) error {
	if ask.Len() == 0 {
		return nil
	}
	first, err := sw.alone(ctx, p, ask, 1, true)
	if err != nil && ctx.Err() == nil {
		first, err = sw.alone(ctx, p, ask, 1, false)
	}
	if err != nil {
		return err
	}
	again, err := sw.alone(ctx, p, ask, 2, false)
	if err != nil {
		return err
	}
	for _, t := range again.Timings {
		if p.Canaries.Salt != "" && t.Prompt.CachedTold && 2*t.Prompt.Cached > t.InputTokens {
			sw.known.unsalted = true
		}
	}
	for _, a := range first.Answers {
		i := slices.IndexFunc(again.Answers, func(b stats.Answer) bool { return b.Index == a.Index })
		if i >= 0 && a.Text() != "" {
			sw.known.byPrompt[ask.keys[a.Index]] = &accuracy.Recording{Answer: a, Again: again.Answers[i]}
		}
	}
	return nil
}

// alone sends the requests one at a time; the error is of any that failed.
func (sw *Sweep) alone(ctx context.Context, p pass, ask asked, round int, logprobs bool) (*load.Recording, error) {
	ask.requests = slices.Clone(ask.requests)
	for i := range ask.requests {
		c := &workload.Canary{Logprobs: logprobs}
		if p.Canaries.Salt != "" {
			c.Salt = fmt.Sprintf("%s-%d-%d-%v", p.Canaries.Salt, i, round, logprobs)
		}
		ask.requests[i].Canary = c
	}
	o := sw.plan(p).Options
	told := o.OnProgress
	o.Conc, o.WarmUp, o.Shape, o.Enough, o.SLO = 1, 0, load.Shape{}, nil, nil
	o.OnProgress = func(now load.Progress) {
		now.WarmUp = true
		told(now)
	}
	rec, err := load.Run(ctx, sw.Target, ask, o)
	if err != nil {
		return nil, err
	}
	if f := stats.FailuresOf(rec.Timings); f.Requests() > 0 {
		return nil, hint.New(errors.New(f.Text()), f.Advice())
	}
	return rec, nil
}

// judgeCanaries notes in a result how the canaries did, by the rounding that the
// audit of the pass saw, if any; the error says that their answers were damaged.
func (sw *Sweep) judgeCanaries(m *measured, audit *accuracy.DecodeAudit, r *batch.Result) error {
	c := m.canaries
	judged := &accuracy.Canaries{Status: accuracy.NotRun, Reason: cmp.Or(c.unasked, "sessions are replayed as they are")}
	if strings.HasPrefix(c.unasked, unrecorded) {
		r.Notes = append(r.Notes, "no canaries: "+c.unasked)
	}
	if c.before != nil {
		judged = accuracy.JudgeCanaries(m.rec.Answers, c.before, audit.Rounding(), sw.Target.Redact)
		judged.Uncached = c.uncached
		if n := apart(m.rec); n > 0 {
			r.Notes = append(r.Notes, fmt.Sprintf("%d canaries are left out of the latencies: nothing kept them from the "+
				"prefix cache, which their recording filled", n))
		}
	}
	var err error
	if r.Canaries, err = batch.Section(judged); err != nil {
		return err
	}
	if judged.Status == accuracy.Failed {
		return errors.New("canaries: " + judged.Reason)
	}
	return nil
}

// apart counts the requests that are left out of the latencies.
func apart(rec *load.Recording) int { return len(rec.Timings) - len(stats.Timed(rec.Timings)) }

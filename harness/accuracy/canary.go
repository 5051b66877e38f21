package accuracy

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// Canaries says how far answers under the measured load are those that the same
// prompts gave alone: what neither a perplexity nor an audit after the fact sees.
//
// Where two answers part is where the model chose another token: of near equals
// rounding decides, and batches round otherwise than single requests do. How near
// the likeliest tokens were is recorded, so that it is known how often rounding
// may do that.
type Canaries struct {
	Status Status `json:"status"` // RECORDED where the server does not tell rounding from damage
	Reason string `json:"reason"` // in words, on one line

	Asked      int      `json:"asked"`                   // canaries among the timed requests
	Tokens     int      `json:"tokens,omitempty"`        // compared, of all canaries, up to where each differs
	ExactShare *float64 `json:"exact_share"`             // of the canaries, those whose tokens are all the same
	Baseline   *float64 `json:"baseline_exact_share"`    // the same of prompts repeated at CONC 1
	ByRounding *float64 `json:"differ_by_rounding"`      // canaries that rounding would change, at most; null where that cannot be told
	Rounding   float64  `json:"rounding_nats,omitempty"` // see [DecodeAudit.Rounding]
	PValue     *float64 `json:"p_value,omitempty"`       // the odds of a sound server differing as often

	FirstDifference *Difference `json:"first_difference"` // nil where there is none

	// Uncached says how canaries were kept from the cache that their recording
	// filled: "salt", "reset", or "" where nothing could, so that they are left out
	// of the latencies.
	Uncached string `json:"uncached_by,omitempty"`
}

// Difference is where an answer under load parts from the recorded one.
type Difference struct {
	Request  int      `json:"request"`  // index in the workload
	Position int      `json:"position"` // of the token in the answer, from 0
	Recorded string   `json:"recorded"` // text
	Got      string   `json:"got"`
	Nats     *float64 `json:"nats"` // how much likelier the recorded token was, at least; nil where the server gave no log-probabilities
}

// Recording is what a prompt gave at CONC 1, and what it gave there again.
type Recording struct{ Answer, Again stats.Answer }

// Comparison is an answer laid beside a recorded one.
type Comparison struct {
	Tokens     int         // that were compared, the one that differs among them
	Difference *Difference // nil where there is none

	rounding float64   // nats
	untold   int       // tokens with which the server gave no log-probabilities
	expected []float64 // differences that rounding would make, of at least each of gaps
}

// exact reports whether all that was compared is the same.
func (c Comparison) exact() bool { return c.Difference == nil }

// differs reports whether there is a difference of at least so many times rounding.
func (c Comparison) differs(gap float64) bool {
	return c.Difference != nil && (gap == 0 || c.Difference.Nats != nil && *c.Difference.Nats >= gap*c.rounding)
}

const (
	// leastRounding and unknownRounding are by how much, in nats, rounding may change
	// the difference of two log-probabilities between one batch and another: where next
	// to none was seen, and where nobody could look. bfloat16 keeps a logit of 20 to an
	// eighth.
	leastRounding, unknownRounding = 0.02, 0.2

	// soundRate is how often a sound server may differ beyond that, a token: routing
	// among experts can tip over.
	soundRate = 1.0 / 4096

	// canaryAlpha is the odds at which differences are put down to rounding.
	canaryAlpha = 1e-4
)

// Rounding is how much, in nats, rounding changes a log-probability, as the decode
// audit of the same server at the same CONC shows it: by more than that in one
// token of a hundred. The audit reads what it decoded in other batches.
func (a *DecodeAudit) Rounding() float64 {
	if a == nil || a.P99AbsDiff == nil {
		return unknownRounding
	}
	return max(*a.P99AbsDiff, leastRounding)
}

// gaps are the differences that are counted, each apart: all of them; those of
// tokens that rounding hardly makes equal; those of tokens that it cannot.
var gaps = []float64{0, 3, 5} // times rounding

// beside lays an answer beside the recorded one, token by token.
func beside(recorded, got stats.Answer, rounding float64) Comparison {
	rest := got.Text()
	c := Comparison{rounding: rounding, expected: make([]float64, len(gaps))}
	open := 0 // first of the tokens before this one that have shown no text yet
	for i, p := range recorded.Pieces {
		text := strings.TrimRight(p.Text, string(utf8.RuneError)) // half a character
		same := strings.HasPrefix(rest, text)
		if i == workload.CanaryTokens || !same && strings.HasPrefix(text, rest) { // it was shorter
			break
		}
		c.count(p)
		if !same {
			c.Difference = difference(recorded.Pieces[open:i+1], rest)
			c.Difference.Request, c.Difference.Position = got.Index, i
			break
		}
		rest = rest[len(text):]
		if text != "" {
			open = i + 1
		}
	}
	return c
}

// count takes a compared token into account: how likely rounding was to make it
// another one, by how far the second likeliest was behind. Rounding is taken to be
// as likely to be as large as a Laplace distribution's tail has it: a normal one's
// has too little of the few tokens that an expert more or less tips over.
func (c *Comparison) count(p stats.Piece) {
	c.Tokens++
	best, second := math.Inf(-1), math.Inf(-1)
	name := ""
	for _, t := range p.Top {
		switch {
		case t.Logprob > best:
			if t.Text != name {
				second = best
			}
			best, name = t.Logprob, t.Text
		case t.Text != name:
			second = max(second, t.Logprob)
		}
	}
	if math.IsInf(second, -1) {
		c.untold++
		second = best // it may have been as likely
	}
	for i, gap := range gaps {
		behind := 0.0
		if second < best {
			behind = (best - second) / c.rounding
		}
		c.expected[i] += soundRate + math.Exp(-max(behind, gap))/2
	}
}

// difference is what is told of a text that goes on otherwise than the pieces, the
// last of which has the first text.
func difference(pieces []stats.Piece, rest string) *Difference {
	d := &Difference{Recorded: pieces[len(pieces)-1].Text, Got: shown(rest)}
	for _, p := range pieces {
		if len(p.Top) == 0 {
			return d
		}
	}
	least := math.Inf(1)
	for _, p := range pieces {
		least = min(least, behind(p, rest))
	}
	d.Nats = &least
	return d
}

// shown is the beginning of a text that is to be shown.
func shown(s string) string {
	const most = 16
	r := []rune(s)
	return string(r[:min(len(r), most)])
}

// behind is by how many nats the token that the text goes on with is less likely
// than the likeliest one: as few as can be, where several fit; at least as many as
// the last one listed, where none does.
func behind(p stats.Piece, rest string) float64 {
	best, last, fits := math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, t := range p.Top {
		best, last = max(best, t.Logprob), min(last, t.Logprob)
		if t.Text != p.Text && begins(rest, t.Text) {
			fits = max(fits, t.Logprob)
		}
	}
	if math.IsInf(fits, -1) {
		fits = last
	}
	return best - fits
}

// begins reports whether a text may begin with a token: by its text, or where
// that is no whole character, by either having such.
func begins(text, token string) bool {
	if token == "" || strings.ContainsRune(token, utf8.RuneError) || strings.HasPrefix(token, "bytes:") {
		return token == "" || text[0] >= utf8.RuneSelf
	}
	return strings.HasPrefix(text, token) || strings.HasPrefix(token, text)
}

// tally adds up comparisons.
type tally struct {
	answers, exact, tokens int
	untold                 int // tokens
	differ                 []int
	expected               []float64 // of each of gaps
}

func (t *tally) add(c Comparison) {
	if t.differ == nil {
		t.differ, t.expected = make([]int, len(gaps)), make([]float64, len(gaps))
	}
	t.answers++
	t.tokens += c.Tokens
	if c.exact() {
		t.exact++
	}
	t.untold += c.untold
	for i, gap := range gaps {
		t.expected[i] += c.expected[i]
		if c.differs(gap) {
			t.differ[i]++
		}
	}
}

// pValue is the odds of a sound server differing as often: of exact one-sided
// tests of Poisson rates, one for each of gaps, the least, times their number.
// What rounding makes is what the recorded log-probabilities say, or more where
// repetition at CONC 1 shows more (its upper limit at the same odds).
func (t *tally) pValue(again *tally) float64 {
	least := 1.0
	for i := range gaps {
		scale := 1.0
		if n := again.differ[i]; n > 0 {
			scale = max(poissonUpper(n)/again.expected[i], 1)
		}
		least = min(least, poissonTail(t.differ[i], scale*t.expected[i]))
	}
	return min(float64(len(gaps))*least, 1)
}

// JudgeCanaries lays answers under load beside what their prompts gave before, by
// the index of the request. A server FAILED whose answers differ more often than
// rounding of so many nats makes them (see [DecodeAudit.Rounding] and
// [tally.pValue]). What is shown of a text goes through redact.
func JudgeCanaries(answers []stats.Answer, before func(index int) *Recording, rounding float64,
	redact func(string) string) *Canaries {
	c := &Canaries{Status: Passed, Rounding: rounding}
	var now, again tally
	seen := map[*Recording]bool{}
	for _, a := range answers {
		r := before(a.Index)
		if r == nil {
			continue
		}
		if !seen[r] { // a prompt counts once, however often it was sent
			seen[r] = true
			again.add(beside(r.Answer, r.Again, rounding))
		}
		one := beside(r.Answer, a, rounding)
		now.add(one)
		c.first(one.Difference)
	}
	if c.Asked = now.answers; c.Asked == 0 {
		return &Canaries{Status: NotRun, Reason: "no canary was answered"}
	}
	if d := c.FirstDifference; d != nil {
		d.Got, d.Recorded = redact(d.Got), redact(d.Recorded)
	}
	share, base := float64(now.exact)/float64(now.answers), float64(again.exact)/float64(again.answers)
	c.Tokens, c.ExactShare, c.Baseline = now.tokens, &share, &base
	c.Reason = fmt.Sprintf("%d of %d answers under load are those at CONC 1 over their first %d tokens; repeated at "+
		"CONC 1, %d of %d are", now.exact, now.answers, workload.CanaryTokens, again.exact, again.answers)
	if 10*now.untold > now.tokens {
		if now.exact < now.answers {
			c.Status = Recorded
			c.Reason += "; the server gave no log-probabilities, so that rounding cannot be told from damage"
		}
		return c
	}
	p := now.pValue(&again)
	byRounding := min(now.expected[0], float64(c.Asked)) // each at its first difference
	c.ByRounding, c.PValue = &byRounding, &p
	if p < canaryAlpha {
		d := c.FirstDifference
		c.Status = Failed
		c.Reason += fmt.Sprintf("; rounding would change %.2g, and the first to differ does so at token %d of request %d "+
			"(%q for %q)", byRounding, d.Position, d.Request, d.Got, d.Recorded)
	}
	return c
}

// first keeps the difference that is earliest in its answer.
func (c *Canaries) first(d *Difference) {
	if d != nil && (c.FirstDifference == nil || d.Position < c.FirstDifference.Position) {
		c.FirstDifference = d
	}
}

// poissonUpper is the rate at which n events or fewer would be as odd as
// canaryAlpha.
func poissonUpper(n int) float64 {
	low, high := float64(n), 10*float64(n)+40
	for range 60 {
		if mid := (low + high) / 2; 1-poissonTail(n+1, mid) > canaryAlpha {
			low = mid
		} else {
			high = mid
		}
	}
	return high
}

// poissonTail is the odds of n events or more where so many are expected.
func poissonTail(n int, expected float64) float64 {
	below, term := 0.0, math.Exp(-expected)
	for k := range n {
		below += term
		term *= expected / float64(k+1)
	}
	if n > 0 && below > 0.5 && expected < float64(n) { // summed from above, where 1-below has no digits left
		above := 0.0
		for k := n; k < n+200; k++ {
			above += term
			term *= expected / float64(k+1)
		}
		return above
	}
	return max(1-below, 0)
}

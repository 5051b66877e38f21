package accuracy_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/accuracy"
	"inferbench/harness/stats"
)

// same is an answer of n tokens, each surely the likeliest.
func same(n int) stats.Answer {
	var a stats.Answer
	for range n {
		a.Pieces = append(a.Pieces, stats.Piece{Text: "a", Top: likely(-0.1, -4, -5)})
	}
	return a
}

// likely is tokens named a, b, c, … with these log-probabilities.
func likely(lps ...float64) (top []stats.Likely) {
	for i, lp := range lps {
		top = append(top, stats.Likely{Text: string(rune('a' + i)), Logprob: lp})
	}
	return top
}

// then is the answer with other text from token i on.
func then(a stats.Answer, i int, text string) stats.Answer {
	return stats.Answer{Index: a.Index, Pieces: append(slices.Clone(a.Pieces[:i]), stats.Piece{Text: text})}
}

func plain(s string) string { return s }

func judge(recorded, again, got stats.Answer, n int) *accuracy.Canaries {
	var answers []stats.Answer
	all := map[int]*accuracy.Recording{}
	for i := range n {
		g := got
		g.Index = i
		answers, all[i] = append(answers, g), &accuracy.Recording{Answer: recorded, Again: again}
	}
	return accuracy.JudgeCanaries(answers, func(i int) *accuracy.Recording { return all[i] }, 0.1, plain)
}

func TestCanariesAreComparedTokenByToken(t *testing.T) {
	tie := same(128)
	tie.Pieces[40].Top = likely(-0.69, -0.70)
	half := same(128)
	half.Pieces[127].Text = "\ufffd"
	bare := same(128)
	for i := range bare.Pieces {
		bare.Pieces[i].Top = nil
	}
	long := same(200)
	for name, c := range map[string]struct {
		recorded, again, got stats.Answer
		status               accuracy.Status
		exact, base          float64
		at                   int     // of the first difference; -1: none
		nats                 float64 // of it; 0: not told
	}{
		"the same":                           {same(128), same(128), same(128), accuracy.Passed, 1, 1, -1, 0},
		"longer under load, as it always is": {same(128), same(128), long, accuracy.Passed, 1, 1, -1, 0},
		"a difference past the 128th":        {long, long, then(long, 128, "b"), accuracy.Passed, 1, 1, -1, 0},
		"shorter":                            {same(128), same(128), same(20), accuracy.Passed, 1, 1, -1, 0},
		"it ends in half a character":        {half, half, then(half, 127, "é"), accuracy.Passed, 1, 1, -1, 0},
		"another token at once":              {same(128), same(128), then(same(128), 0, "bcd"), accuracy.Failed, 0, 1, 0, 3.9},
		"another token later":                {same(128), same(128), then(same(128), 90, "b"), accuracy.Failed, 0, 1, 90, 3.9},
		"one that was not even listed":       {same(128), same(128), then(same(128), 9, "z"), accuracy.Failed, 0, 1, 9, 4.9},
		"a tie":                              {tie, tie, then(tie, 40, "b"), accuracy.Passed, 0, 1, 40, 0.01},
		"a server that never repeats itself": {same(128), then(same(128), 3, "b"), then(same(128), 2, "c"), accuracy.Passed, 0, 0, 2, 4.9},
		"no log-probabilities, and the same": {bare, bare, same(128), accuracy.Passed, 1, 1, -1, 0},
		"no log-probabilities":               {bare, bare, then(bare, 5, "b"), accuracy.Recorded, 0, 1, 5, 0},
	} {
		t.Run(name, func(t *testing.T) {
			v := judge(c.recorded, c.again, c.got, 8)
			assert.Equal(t, c.status, v.Status, v.Reason)
			assert.Equal(t, 8, v.Asked)
			assert.Equal(t, c.exact, *v.ExactShare)
			assert.Equal(t, c.base, *v.Baseline)
			if c.at < 0 {
				assert.Nil(t, v.FirstDifference)
				return
			}
			require.NotNil(t, v.FirstDifference)
			assert.Equal(t, c.at, v.FirstDifference.Position)
			if c.nats == 0 {
				assert.Nil(t, v.FirstDifference.Nats)
			} else {
				assert.InDelta(t, c.nats, *v.FirstDifference.Nats, 1e-9)
			}
		})
	}
	v := judge(same(128), same(128), then(same(128), 90, "b"), 8)
	assert.Equal(t, "0 of 8 answers under load are those at CONC 1 over their first 128 tokens; repeated at CONC 1, 8 of 8 are; "+
		"rounding would change 0.18, and the first to differ does so at token 90 of request 0 (\"b\" for \"a\")", v.Reason)
}

// model is a server whose log-probabilities are off by noise, in nats, differently
// at each token and in each batch.
type model struct {
	rng   *rand.Rand
	noise float64
	tails float64 // share of tokens at which the noise is ten times as much
	torn  float64 // share of tokens at which it is torn between several
}

func (m model) off() float64 {
	n := m.noise * m.rng.NormFloat64()
	if m.rng.Float64() < m.tails {
		n *= 10
	}
	return n
}

// prompt draws what the model finds likely at each of 128 tokens: here nearly sure,
// there torn, and as bfloat16 keeps logits sometimes exactly so.
func (m model) prompt() (p [128][5]float64) {
	for i := range p {
		sure := 4.0
		if m.rng.Float64() < m.torn {
			sure = 0
		}
		for k := range p[i] {
			p[i][k] = -float64(min(k, 1)) * (sure + 2*m.rng.ExpFloat64())
			if m.rng.IntN(4) == 0 {
				p[i][k] = math.Round(8*p[i][k]) / 8
			}
		}
	}
	return p
}

// answer is what the model writes after the prompt: at each token the likeliest,
// as it finds it now.
func (m model) answer(prompt [128][5]float64, damage func(i, token int) int) (a stats.Answer) {
	for i := range prompt {
		var top []stats.Likely
		best := 0
		for k, lp := range prompt[i] {
			top = append(top, stats.Likely{Text: string(rune('a' + k)), Logprob: lp + m.off()})
			if top[k].Logprob > top[best].Logprob {
				best = k
			}
		}
		if damage != nil {
			best = damage(i, best)
		}
		a.Pieces = append(a.Pieces, stats.Piece{Text: top[best].Text, Top: top})
	}
	return a
}

// rounding is what a decode audit of 256 tokens sees of the noise.
func (m model) rounding() float64 {
	var all []float64
	for range 256 {
		all = append(all, math.Abs(m.off()))
	}
	p99 := stats.Percentile(slices.Sorted(slices.Values(all)), 99)
	return (&accuracy.DecodeAudit{P99AbsDiff: &p99}).Rounding()
}

// cell judges a cell of n canaries of 16 prompts at most.
func (m model) cell(n int, repeats bool, damage func(i, token int) int) *accuracy.Canaries {
	var prompts [][128][5]float64
	var known []*accuracy.Recording
	for range min(n, 16) {
		p := m.prompt()
		r := &accuracy.Recording{Answer: m.answer(p, nil)}
		if r.Again = r.Answer; !repeats {
			r.Again = m.answer(p, nil)
		}
		prompts, known = append(prompts, p), append(known, r)
	}
	var answers []stats.Answer
	for i := range n {
		a := m.answer(prompts[i%len(prompts)], damage)
		a.Index = i
		answers = append(answers, a)
	}
	return accuracy.JudgeCanaries(answers, func(i int) *accuracy.Recording { return known[i%len(known)] }, m.rounding(), plain)
}

// A sound server rounds otherwise in other batches, and is never accused: in 1,000
// cells of each kind, one whose model is sure of what it says as well as one that
// random tokens leave torn.
func TestCanariesAccuseNoSoundServer(t *testing.T) {
	for _, c := range []struct {
		noise, tails float64
		repeats      bool
	}{{0.01, 0, true}, {0.05, 0.01, true}, {0.2, 0, true}, {0.1, 0.01, false}} {
		differ, least := 0, 1.0
		for i := range 1000 {
			m := model{rand.New(rand.NewPCG(1, uint64(i))), c.noise, c.tails, []float64{0.02, 0.2, 1}[i/3%3]}
			v := m.cell([]int{8, 8, 16}[i%3], c.repeats, nil)
			require.Equal(t, accuracy.Passed, v.Status, "%+v: cell %d: %s", c, i, v.Reason)
			least = min(least, *v.PValue)
			if *v.ExactShare < 1 {
				differ++
			}
		}
		t.Logf("%+v: answers differ in %d of 1000 cells, p at least %.2g", c, differ, least)
		assert.Greater(t, differ, 300, "rounding shows")
	}
}

// A damaged one is caught in nearly every cell of eight canaries.
func TestCanariesCatchDamage(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	another := func(int, int) int { return rng.IntN(5) }
	for name, damage := range map[string]func(i, token int) int{
		"another request's cache entries from the first token on": another,
		"from the 60th on": func(i, token int) int {
			if i < 60 {
				return token
			}
			return another(i, token)
		},
		"a token in twenty is any": func(i, token int) int {
			if rng.IntN(20) > 0 {
				return token
			}
			return another(i, token)
		},
	} {
		for _, noise := range []float64{0, 0.05} {
			m, caught := model{rng, noise, 0, 0.05}, 0
			for range 100 {
				if m.cell(8, true, damage).Status == accuracy.Failed {
					caught++
				}
			}
			t.Logf("%s, rounding of %g nats: %d of 100 cells", name, noise, caught)
			assert.GreaterOrEqual(t, caught, 95, "%s, rounding of %g nats", name, noise)
		}
	}
}

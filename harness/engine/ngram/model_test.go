package ngram

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var docs = []string{
	"the cat sat on the mat. the dog sat on the log.",
	"a server that queues is a server that lies about its speed.",
	"abracadabra, abracadabra!",
}

// Every state's distribution must be one, with noise and without, and Prob and
// Dist must agree.
func TestProbabilitiesSumToOne(t *testing.T) {
	for _, order := range []int{1, 2, 5} {
		m := Train(order, docs)
		for _, sigma := range []float64{0, 0.5, 3} {
			v := m.View(sigma)
			for s := range State(m.States()) {
				var p [Vocab]float64
				v.Dist(s, &p)
				sum, least := 0.0, 1.0
				for tok := range p {
					sum += p[tok]
					least = min(least, p[tok])
					require.InDelta(t, math.Log(p[tok]), v.LogProb(s, int32(tok)), 1e-9)
				}
				require.InDelta(t, 1, sum, 1e-12, "order %d, sigma %g, state %d", order, sigma, s)
				require.Positive(t, least)
			}
		}
	}
}

// A state must be what its whole history says: moving token by token and
// looking at the last few tokens alone lead to the same place.
func TestStateIsTheLongestKnownContext(t *testing.T) {
	m := Train(4, docs)
	rng := rand.New(rand.NewPCG(1, 2))
	text := []int32{BOS}
	s := m.Start()
	for range 2000 {
		tok := int32(rng.IntN(Vocab))
		if rng.IntN(3) > 0 { // mostly words the model knows
			tok = m.View(0).Best(s)
			if rng.IntN(4) == 0 {
				tok = int32("thesacdo "[rng.IntN(9)])
			}
		}
		text = append(text, tok)
		s = m.Next(s, tok)
		require.Equal(t, s, m.After(text), "after %v", text[max(0, len(text)-6):])
	}
}

func TestItLearns(t *testing.T) {
	m := Train(5, docs)
	v := m.View(0)
	s := m.After(ids("the cat sat on t"))
	assert.Equal(t, int32('h'), v.Best(s))
	assert.Greater(t, m.Prob(s, 'h'), 0.5)
	assert.Equal(t, []int32{'h'}, v.Top(s, 1))
	assert.Len(t, v.Top(s, 5), 5)
	assert.Equal(t, v.Best(s), v.Top(s, 5)[0])
	assert.Greater(t, m.Prob(m.After(ids("abracadabra!")), EOS), 0.2, "a document ends where one ended")
}

// More noise is worse, and smoothly so: what lets a quantisation accident be
// shown.
func TestNoiseDegradesSmoothly(t *testing.T) {
	m := Train(5, docs)
	last := math.Inf(-1)
	for _, sigma := range []float64{0, 0.1, 0.2, 0.4, 0.8, 1.6} {
		v := m.View(sigma)
		nats := 0.0
		for _, doc := range docs {
			s := m.Start()
			for _, tok := range ids(doc) {
				nats -= v.LogProb(s, tok)
				s = m.Next(s, tok)
			}
		}
		assert.Greater(t, nats, last, "sigma %g", sigma)
		last = nats
	}
}

func ids(text string) []int32 {
	out := make([]int32, len(text))
	for i := range len(text) {
		out[i] = int32(text[i])
	}
	return out
}

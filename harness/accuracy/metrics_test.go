package accuracy

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStandardErrorsOfThreeDocuments(t *testing.T) {
	m, err := measure([]scored{
		{LogLikelihood: -10, Document: Document{Bytes: 8, Words: 3}},
		{LogLikelihood: -30, Document: Document{Bytes: 16, Words: 5}},
		{LogLikelihood: -7, Document: Document{Bytes: 9, Words: 2}},
	})
	require.NoError(t, err)
	// Worked out apart, from Cochran's formula: the residuals of −ll from
	// bytes · 47/33 are −1.394, 7.212, −5.818, and so on.
	assert.InEpsilon(t, 0.5017365531735096, m.StdErr.BitsPerByte, 1e-12)
	assert.InEpsilon(t, 1.4449134334783962, m.StdErr.BytePerplexity, 1e-12)
	assert.InEpsilon(t, 108.41371031373285, m.StdErr.WordPerplexity, 1e-12)
}

// What a standard error claims: how far the figures of other samples of
// documents, drawn alike, lie apart.
func TestStandardErrorsAreTheSpreadOverSamples(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const samples, documents = 2000, 40
	var values, errors [3][]float64
	for range samples {
		docs := make([]scored, documents)
		for i := range docs {
			words := 100 + random.IntN(200)
			bytes := 5*words + random.IntN(100)
			docs[i] = scored{LogLikelihood: -float64(bytes) * (0.5 + 0.05*random.NormFloat64()), Document: Document{Bytes: bytes, Words: words}}
		}
		m, err := measure(docs)
		require.NoError(t, err)
		for i, pair := range [][2]float64{{m.BitsPerByte, m.StdErr.BitsPerByte}, {m.BytePerplexity, m.StdErr.BytePerplexity}, {m.WordPerplexity, m.StdErr.WordPerplexity}} {
			values[i], errors[i] = append(values[i], pair[0]), append(errors[i], pair[1])
		}
	}
	mean := func(list []float64) (sum float64) {
		for _, v := range list {
			sum += v / float64(len(list))
		}
		return sum
	}
	for i, name := range []string{"bits per byte", "byte perplexity", "word perplexity"} {
		center, spread := mean(values[i]), 0.0
		for _, v := range values[i] {
			spread += (v - center) * (v - center) / samples
		}
		assert.InEpsilon(t, math.Sqrt(spread), mean(errors[i]), 0.05, name)
	}
}

package accuracy

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// golden is what lm-evaluation-harness itself answers: see scripts/parity.
type golden struct {
	Pages []struct {
		Name, Page, Target string
		Words, Bytes       int
	}
	Windows []struct {
		Tokens, Length int
		Windows        [][4]int // first and last token sent, how many, length of the context
	}
	Metrics []struct {
		Documents      [][3]float64 // log-likelihood, words, bytes
		BitsPerByte    float64      `json:"bits_per_byte"`
		BytePerplexity float64      `json:"byte_perplexity"`
		WordPerplexity float64      `json:"word_perplexity"`
	}
}

func readGolden(t *testing.T) (g golden) {
	b, err := os.ReadFile("testdata/lmeval.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &g))
	return g
}

func TestDetokenizerAndCountsEqualLMEval(t *testing.T) {
	for _, c := range readGolden(t).Pages {
		d := NewDocument(c.Page)
		assert.Equal(t, c.Target, d.Target, c.Name)
		assert.Equal(t, c.Words, d.Words, c.Name)
		assert.Equal(t, c.Bytes, d.Bytes, c.Name)
	}
}

func TestWindowsEqualLMEval(t *testing.T) {
	for _, c := range readGolden(t).Windows {
		tokens := make([]int32, c.Tokens)
		for i := range tokens {
			tokens[i] = int32(i)
		}
		var got [][4]int
		for _, w := range RollingWindows(tokens, -1, c.Length) {
			got = append(got, [4]int{int(w.Tokens[0]), int(w.Tokens[len(w.Tokens)-1]), len(w.Tokens), w.From})
		}
		if len(c.Windows) == 0 {
			c.Windows = nil
		}
		assert.Equal(t, c.Windows, got, "%d tokens in windows of %d", c.Tokens, c.Length)
	}
}

func TestMetricsEqualLMEval(t *testing.T) {
	for _, c := range readGolden(t).Metrics {
		var docs []scored
		for _, d := range c.Documents {
			docs = append(docs, scored{LogLikelihood: d[0], Document: Document{Words: int(d[1]), Bytes: int(d[2])}})
		}
		m, err := measure(docs)
		require.NoError(t, err)
		assert.InEpsilon(t, c.BitsPerByte, m.BitsPerByte, 1e-12)
		assert.InEpsilon(t, c.BytePerplexity, m.BytePerplexity, 1e-12)
		assert.InEpsilon(t, c.WordPerplexity, m.WordPerplexity, 1e-12)
		assert.Equal(t, len(docs) > 1, m.StdErr != nil, "one document has no spread")
	}
}

package accuracy

import (
	"fmt"
	"math"
)

// scored is one document with its rolling log-likelihood, in nats.
type scored struct {
	Document
	LogLikelihood float64
	Tokens        int
	Windows       int
}

// Metrics are a text's perplexities over the whole corpus, not means of
// documents, with their standard errors over documents.
type Metrics struct {
	BitsPerByte    float64 `json:"bits_per_byte"`     // −Σll / Σbytes / ln 2
	BytePerplexity float64 `json:"byte_perplexity"`   // exp(−Σll / Σbytes)
	WordPerplexity float64 `json:"word_perplexity"`   // exp(−Σll / Σwords)
	StdErr         *StdErr `json:"stderr,omitempty"`  // nil where there is a single document
	Windows        int     `json:"windows,omitempty"` // requests that were scored
}

// StdErr is each metric's standard error over documents.
type StdErr struct {
	BitsPerByte    float64 `json:"bits_per_byte"`
	BytePerplexity float64 `json:"byte_perplexity"`
	WordPerplexity float64 `json:"word_perplexity"`
}

// measure sums the documents up. The standard error is that of a ratio
// estimate, Σll/Σbytes with documents as the sample (Cochran, Sampling
// Techniques, 3rd ed., §6.3), carried through exp by its derivative.
func measure(docs []scored) (*Metrics, error) {
	var ll float64
	var bytes, words, windows int
	for _, d := range docs {
		ll += d.LogLikelihood
		bytes += d.Bytes
		words += d.Words
		windows += d.Windows
	}
	perByte, perWord := -ll/float64(bytes), -ll/float64(words)
	m := &Metrics{BitsPerByte: perByte / math.Ln2, BytePerplexity: math.Exp(perByte),
		WordPerplexity: math.Exp(perWord), Windows: windows}
	if math.IsInf(m.WordPerplexity, 0) || math.IsInf(m.BytePerplexity, 0) {
		return nil, fmt.Errorf("the perplexity is beyond what a number can hold (%.0f nats a word): the model "+
			"knows nothing of this text, or its tokens are not the server's", perWord)
	}
	if len(docs) < 2 {
		return m, nil
	}
	n := float64(len(docs))
	ratioError := func(ratio, total float64, size func(scored) int) float64 {
		var ss float64
		for _, d := range docs {
			e := -d.LogLikelihood - ratio*float64(size(d))
			ss += e * e
		}
		return math.Sqrt(ss*n/(n-1)) / total
	}
	b := ratioError(perByte, float64(bytes), func(d scored) int { return d.Bytes })
	w := ratioError(perWord, float64(words), func(d scored) int { return d.Words })
	m.StdErr = &StdErr{BitsPerByte: b / math.Ln2, BytePerplexity: m.BytePerplexity * b,
		WordPerplexity: m.WordPerplexity * w}
	return m, nil
}

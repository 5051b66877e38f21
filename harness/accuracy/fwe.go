package accuracy

import (
	"math"
	"slices"
	"strings"
)

// rulerFWE asks for the three most frequent of coded words: ruler_fwe.
var rulerFWE = ruler{name: "ruler_fwe", genTokens: 50, drawn: 1, make: makeFWE}

const fweAnswer = "Answer: According to the coded text above, the three most frequently appeared words are:"

func fweText(words []string) string {
	return "Read the following coded text and track the frequency of each coded word. Find the three most " +
		"frequently appeared coded words. " +
		strings.Join(words, " ") + "\nQuestion: Do not provide any explanation. Please ignore the dots '....'. " +
		"What are the three most frequently appeared words in the above coded text? " + fweAnswer
}

// codedWords is a vocabulary of n words of six letters; the first is noise.
func (m *rulerMaker) codedWords(n int) []string {
	distinct := map[string]bool{}
	var all []string
	for len(all) < n || len(distinct) < n {
		w := m.random.choices("abcdefghijklmnopqrstuvwxyz", 6)
		all = append(all, w)
		distinct[w] = true
	}
	slices.Sort(all)
	all = slices.Compact(all)
	shuffles := newPyRandom(42)
	shuffles.shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	all[0] = "..."
	return all
}

// times is how often the k-th word, from 0, comes among about n.
func times(k, n int) int {
	return int(float64(n) * math.Pow(float64(k+1), -2) / (math.Pi * math.Pi / 6))
}

// coded is about n words, the k-th of the vocabulary n/k²/ζ(2) times.
func coded(vocabulary []string, n int) string {
	words := make([]string, 0, n)
	for k, w := range vocabulary {
		for range times(k, n) {
			words = append(words, w)
		}
	}
	shuffles := newPyRandom(42)
	shuffles.shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	return fweText(words)
}

// codedParts adds up the tokens of the words of a text.
func (m *rulerMaker) codedParts(vocabulary []string, n int) (sum int, err error) {
	for k, w := range vocabulary {
		often := times(k, n)
		if often == 0 {
			break // and so are those after it
		}
		tokens, err := m.count(" " + w)
		if err != nil {
			return 0, err
		}
		sum += often * tokens
	}
	return sum, nil
}

func makeFWE(m *rulerMaker, length int) ([]rulerPrompt, error) {
	step := length / 32
	vocabulary := m.codedWords(length / 50)
	n := length / 6
	size := sizer{rulerMaker: m}
	against := func(vocabulary []string, n int) (int, error) {
		return size.against(length, n, func() (int, error) { return m.codedParts(vocabulary, n) },
			func() string { return coded(vocabulary, n) })
	}
	for {
		left, err := against(vocabulary, n)
		if err != nil {
			return nil, err
		}
		if left >= 0 {
			n -= step
			break
		}
		n += step
	}
	var out []rulerPrompt
	for i := range m.samples {
		if err := m.ahead(m.samples-i, func() (string, error) { return coded(m.codedWords(length/50), n), nil }); err != nil {
			return nil, err
		}
		vocabulary := m.codedWords(length / 50)
		used := n
		for {
			left, err := against(vocabulary, used)
			if err != nil {
				return nil, err
			}
			if left <= 0 || used <= step {
				break
			}
			used -= step
		}
		text := coded(vocabulary, used)
		out = append(out, rulerPrompt{strings.TrimSuffix(text, " "+fweAnswer) + " " + fweAnswer,
			slices.Clone(vocabulary[1:4])})
	}
	return out, nil
}

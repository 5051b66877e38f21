package accuracy

import (
	"fmt"
	"slices"
	"strings"
)

// rulerCWE asks for the commonest words of a numbered list: ruler_cwe.
var rulerCWE = ruler{name: "ruler_cwe", genTokens: 120, make: makeCWE}

const cweAnswer = "Answer: The top 10 words that appear most often in the list are:"

// cweMaker draws word lists; shuffles have a generator of their own.
type cweMaker struct {
	*rulerMaker
	shuffles *pyRandom
	words    []string
}

func (m *rulerMaker) cwe() *cweMaker {
	if m.words == nil {
		m.words = &cweMaker{rulerMaker: m, shuffles: newPyRandom(42)}
		for _, list := range []string{nounList, adjectiveList, verbList} {
			m.words.words = append(m.words.words, listed(list)...)
		}
		slices.Sort(m.words.words)
		m.words.words = slices.Compact(m.words.words)
		m.words.shuffle(m.words.words)
	}
	return m.words
}

func (m *cweMaker) shuffle(list []string) {
	m.shuffles.shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
}

// example is a numbered list of n words of which the first ten drawn come often,
// and those ten.
func (m *cweMaker) example(n, often, seldom int) (list string, common []string) {
	var drawn []string
	for _, at := range m.random.sample(len(m.words), n) {
		drawn = append(drawn, m.words[at])
	}
	common = drawn[:min(10, n)]
	var all []string
	for range often {
		all = append(all, common...)
	}
	for range seldom {
		all = append(all, drawn[len(common):]...)
	}
	m.shuffle(all)
	return numbered(all), common
}

func numbered(words []string) string {
	var b strings.Builder
	for i, w := range words {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%d. %s", i+1, w)
	}
	return b.String()
}

func cweText(list string) string {
	return "Below is a numbered list of words. In these words, some appear more often than others. Memorize the " +
		"ones that appear most often.\n" + list +
		"\nQuestion: What are the 10 most common words in the above list? " + cweAnswer
}

// draw is a worked example, the question, and its answer.
func (m *cweMaker) draw(words, length int) (example, text string, common []string) {
	var shown, list string
	var answer []string
	if length < 4096 {
		shown, answer = m.example(20, 3, 1)
		list, common = m.example(words, 6, 1)
	} else {
		shown, answer = m.example(40, 10, 3)
		list, common = m.example(words, 30, 3)
	}
	return cweText(shown) + numbered(answer), cweText(list), common
}

func makeCWE(maker *rulerMaker, length int) ([]rulerPrompt, error) {
	const answer, step = 120, 10
	m := maker.cwe()
	words := step
	var last sized
	for total := 0; total+answer < length; {
		example, text, common := m.draw(words, length)
		if last.below(words, length-answer) && words+step <= len(m.words) {
			words += step
			continue
		}
		var err error
		if total, err = m.count(example + "\n" + text + " " + numbered(common)); err != nil {
			return nil, err
		}
		last = sized{words, total}
		if total+answer > length {
			words -= step
			break
		}
		if words += step; words > len(m.words) {
			words = len(m.words)
			break
		}
	}
	if words < step {
		return nil, fmt.Errorf("ACC_LENGTHS=%d leaves no room for a prompt", length)
	}
	var out []rulerPrompt
	for range maker.samples {
		for used := words; ; used = max(used-step, step) {
			_, text, common := m.draw(used, length)
			total, err := m.count(text)
			if err != nil {
				return nil, err
			}
			if total+answer > length && used > step {
				continue
			}
			out = append(out, rulerPrompt{strings.TrimSuffix(text, " "+cweAnswer) + "\n\n" + cweAnswer, common})
			break
		}
	}
	return out, nil
}

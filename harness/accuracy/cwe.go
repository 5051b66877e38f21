package accuracy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// rulerCWE asks for the commonest words of a numbered list: ruler_cwe.
var rulerCWE = ruler{name: "ruler_cwe", genTokens: 120, drawn: 1, make: makeCWE}

const cweAnswer = "Answer: The top 10 words that appear most often in the list are:"

// cweMaker draws word lists; shuffles have a generator of their own.
type cweMaker struct {
	*rulerMaker
	shuffles *pyRandom
	words    []string
	numbers  []int // tokens of the number of each place in a list
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

// example is a list of n words of which the first ten drawn come often, and those
// ten.
func (m *cweMaker) example(n, often, seldom int) (list, common []string) {
	var drawn []string
	for _, at := range m.random.sample(len(m.words), n) {
		drawn = append(drawn, m.words[at])
	}
	common = drawn[:min(10, n)]
	list = make([]string, 0, often*len(common)+seldom*(n-len(common)))
	for range often {
		list = append(list, common...)
	}
	for range seldom {
		list = append(list, drawn[len(common):]...)
	}
	m.shuffle(list)
	return list, common
}

func numbered(words []string) string {
	b := make([]byte, 0, 16*len(words))
	for i, w := range words {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(append(strconv.AppendInt(b, int64(i+1), 10), ". "...), w...)
	}
	return string(b)
}

// numberedParts adds up the tokens of the words of a list and of their numbers.
func (m *cweMaker) numberedParts(words []string) (sum int, err error) {
	for len(m.numbers) < len(words) {
		n, err := m.count(fmt.Sprintf(" %d.", len(m.numbers)+1))
		if err != nil {
			return 0, err
		}
		m.numbers = append(m.numbers, n)
	}
	for i, w := range words {
		n, ok := m.known[w]
		if !ok {
			if n, err = m.count(" " + w); err != nil {
				return 0, err
			}
			m.known[w] = n
		}
		sum += m.numbers[i] + n
	}
	return sum, nil
}

func cweText(list string) string {
	return "Below is a numbered list of words. In these words, some appear more often than others. Memorize the " +
		"ones that appear most often.\n" + list +
		"\nQuestion: What are the 10 most common words in the above list? " + cweAnswer
}

// cweDraw is a drawn list, not made into a text yet, and the common words in it;
// and a worked example, with the answer to it.
type cweDraw struct{ shown, answer, list, common []string }

func (m *cweMaker) draw(words, length int) (d cweDraw) {
	if length < 4096 {
		d.shown, d.answer = m.example(20, 3, 1)
		d.list, d.common = m.example(words, 6, 1)
	} else {
		d.shown, d.answer = m.example(40, 10, 3)
		d.list, d.common = m.example(words, 30, 3)
	}
	return d
}

func (d cweDraw) text() string { return cweText(numbered(d.list)) }

// whole is the worked example, the text and its answer.
func (d cweDraw) whole() string {
	return cweText(numbered(d.shown)) + numbered(d.answer) + "\n" + d.text() + " " + numbered(d.common)
}

func makeCWE(maker *rulerMaker, length int) ([]rulerPrompt, error) {
	const answer, step = 120, 10
	m := maker.cwe()
	words := step
	size := sizer{rulerMaker: maker, growing: true}
	for left := -1; left < 0; {
		d := m.draw(words, length)
		var err error
		left, err = size.against(length-answer, words, func() (int, error) {
			return m.allParts(d.shown, d.answer, d.list, d.common)
		}, d.whole)
		if err != nil {
			return nil, err
		}
		if left > 0 {
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
	size = sizer{rulerMaker: maker}
	for i := range maker.samples {
		if err := m.ahead(m.samples-i, func() (string, error) { return m.draw(words, length).text(), nil }); err != nil {
			return nil, err
		}
		for used := words; ; used = max(used-step, step) {
			d := m.draw(used, length)
			left, err := size.against(length-answer, used, func() (int, error) { return m.numberedParts(d.list) }, d.text)
			if err != nil {
				return nil, err
			}
			if left > 0 && used > step {
				continue
			}
			out = append(out, rulerPrompt{strings.TrimSuffix(d.text(), " "+cweAnswer) + "\n\n" + cweAnswer, d.common})
			break
		}
	}
	return out, nil
}

func (m *cweMaker) allParts(lists ...[]string) (sum int, err error) {
	for _, l := range lists {
		n, err := m.numberedParts(l)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

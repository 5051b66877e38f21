package accuracy

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// niahSingle1 hides a number in a sentence that is repeated: niah_single_1.
var niahSingle1 = ruler{name: "niah_single_1", genTokens: 128, make: makeNIAH}

const rulerFiller = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again."

// needle is a drawn prompt whose text is not made yet.
type needle struct {
	key, value string
	at, of     int // which of so many lines it stands before
}

func (m *rulerMaker) needle(lines int) needle {
	n := needle{key: magicWord(m.random.below(magicWords()))}
	n.value = fmt.Sprint(1_000_000 + m.random.below(9_000_000))
	n.at, n.of = m.random.sample(lines, 1)[0], lines
	m.random.sample(1, 1) // the one that is asked for
	return n
}

func (n needle) text() string {
	var b strings.Builder
	b.WriteString("A special magic number is hidden within the following text. Make sure to memorize it. I will " +
		"quiz you about the number afterwards.\n")
	for i := range n.of {
		if i == n.at {
			fmt.Fprintf(&b, "One of the special magic numbers for %s is: %s.\n", n.key, n.value)
		}
		b.WriteString(rulerFiller)
		if i < n.of-1 {
			b.WriteByte('\n')
		}
	}
	fmt.Fprintf(&b, "\nWhat is the special magic number for %s mentioned in the provided text?", n.key)
	return b.String()
}

func (n needle) prompt() rulerPrompt {
	return rulerPrompt{n.text() + fmt.Sprintf(" The special magic number for %s mentioned in the provided text is",
		n.key), []string{n.value}}
}

// parts adds up the tokens of the lines of a needle's text, and of what is asked.
func (m *rulerMaker) parts(n needle) (int, error) {
	line, err := m.part(rulerFiller + "\n")
	if err != nil {
		return 0, err
	}
	own, err := m.count(" " + n.key + " " + n.value + " " + n.key)
	return n.of*line + own, err
}

func makeNIAH(m *rulerMaker, length int) ([]rulerPrompt, error) {
	const answer = 128
	step := 25
	if length < 4096 {
		step = 5
	}
	lines := step
	size := sizer{rulerMaker: m, growing: true}
	for left := -1; left < 0; lines += step {
		n := m.needle(lines)
		var err error
		left, err = size.against(length-answer, lines, func() (int, error) { return m.parts(n) },
			func() string { return n.text() + " " + n.value })
		if err != nil {
			return nil, err
		}
		if left > 0 {
			lines -= step
			break
		}
	}
	lines = max(lines, 1)
	slack := 0 // where it is known
	if size.last.units == lines {
		slack = length - answer - size.last.tokens
	}
	var out []rulerPrompt
	size = sizer{rulerMaker: m}
	for i := range m.samples {
		if slack < 64 {
			if err := m.ahead(m.samples-i, func() (string, error) { return m.needle(lines).text(), nil }); err != nil {
				return nil, err
			}
		}
		for used := lines; used > 0; used -= step {
			n := m.needle(used)
			if m.cheap || slack < 64 || used != lines { // a key and a number differ by fewer tokens from another
				left, err := size.against(length-answer, used, func() (int, error) { return m.parts(n) }, n.text)
				if err != nil {
					return nil, err
				}
				if left > 0 {
					continue
				}
			}
			out = append(out, n.prompt())
			break
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("ACC_LENGTHS=%d leaves no room for a prompt", length)
	}
	return out, nil
}

// The words are those of wonderwords 3.0.1 (Maxim Rebguns, MIT licence), sorted.
var (
	//go:embed texts/wonderwords/nouns.txt
	nounList string
	//go:embed texts/wonderwords/adjectives.txt
	adjectiveList string
	//go:embed texts/wonderwords/verbs.txt
	verbList string
)

// listed is a list of words, one a line.
func listed(list string) []string { return strings.Split(strings.TrimSpace(list), "\n") }

// magic holds the nouns, and the adjectives in blocks: the sorted list of all
// "adjective-noun" is block by block, where "old" and "old-fashioned", which
// interleave, are one.
var magic = sync.OnceValue(func() (m struct {
	nouns  []string
	blocks [][]string
}) {
	m.nouns = listed(nounList)
	adjectives := listed(adjectiveList)
	slices.SortFunc(adjectives, func(a, b string) int { return strings.Compare(a+"-", b+"-") })
	for _, a := range adjectives {
		if last := len(m.blocks) - 1; last >= 0 && strings.HasPrefix(a, m.blocks[last][0]+"-") {
			m.blocks[last] = append(m.blocks[last], a)
			continue
		}
		m.blocks = append(m.blocks, []string{a})
	}
	return m
})

// magicWords is how many "adjective-noun" there are.
func magicWords() (n int) {
	m := magic()
	for _, b := range m.blocks {
		n += len(b) * len(m.nouns)
	}
	return n
}

// magicWord is the i-th of them in their sorted list.
func magicWord(i int) string {
	m := magic()
	for _, b := range m.blocks {
		n := len(b) * len(m.nouns)
		if i >= n {
			i -= n
			continue
		}
		if len(b) == 1 {
			return b[0] + "-" + m.nouns[i]
		}
		var all []string
		for _, a := range b {
			for _, noun := range m.nouns {
				all = append(all, a+"-"+noun)
			}
		}
		slices.Sort(all)
		return all[i]
	}
	return ""
}

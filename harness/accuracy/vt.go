package accuracy

import (
	"fmt"
	"slices"
	"strings"
)

// rulerVT asks for the variables of a chain of assignments: ruler_vt.
var rulerVT = ruler{name: "ruler_vt", genTokens: 30, make: makeVT}

const (
	vtAnswer  = 30 // tokens of an answer
	vtHops    = 4
	vtLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// chained is a drawn text, not made yet, with a chain of assignments in it.
type chained struct {
	vars  []string // of the chain
	value int
	at    []int // which sentences its assignments stand before
	lines int
}

// chain draws variables of so many letters and where their assignments are hidden
// among lines of noise.
func (m *rulerMaker) chain(lines, letters int) (chained, error) {
	c := chained{lines: lines}
	for range vtHops + 1 {
		c.vars = append(c.vars, m.random.choices(vtLetters, letters))
	}
	c.value = 10000 + m.numpy.masked(89999)
	n := lines
	if c.few() {
		n *= len(c.noise())
	}
	if n <= len(c.vars) {
		return c, fmt.Errorf("ruler_vt: %d lines are too few to hide a chain in", lines)
	}
	c.at = m.random.sample(n, len(c.vars))
	slices.Sort(c.at)
	return c, nil
}

// few reports whether assignments are hidden among the sentences of the lines.
func (c chained) few() bool { return c.lines <= len(c.vars) }

// noise is a line: whole, or where lines are few its sentences.
func (c chained) noise() (out []string) {
	if !c.few() {
		return []string{rulerFiller + "\n"}
	}
	for s := range strings.SplitSeq(rulerFiller+"\n", ".") {
		if strings.TrimSpace(s) != "" {
			s += "."
		}
		out = append(out, s)
	}
	return out
}

// assignments are the chain's.
func (c chained) assignments() []string {
	out := []string{fmt.Sprintf("VAR %s = %d", c.vars[0], c.value)}
	for i := range vtHops {
		out = append(out, fmt.Sprintf("VAR %s = VAR %s ", c.vars[i+1], c.vars[i]))
	}
	return out
}

func (c chained) text() string {
	noise, chain := c.noise(), c.assignments()
	var b strings.Builder
	b.Grow(c.lines*(len(rulerFiller)+2) + 1024)
	b.WriteString("Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n")
	begin := b.Len()
	add := func(sentence string) {
		if b.Len() > begin {
			b.WriteByte(' ')
		}
		b.WriteString(sentence)
	}
	next := 0
	for i := range c.lines * len(noise) {
		for ; next < len(c.at) && c.at[next] == i; next++ {
			add(chain[next])
		}
		add(noise[i%len(noise)])
	}
	fmt.Fprintf(&b, "\nQuestion: Find all variables that are assigned the value %d in the text above. Answer: According "+
		"to the chain(s) of variable assignment "+
		"in the text above, %d variables are assgined the value %d, they are: ", c.value, vtHops+1, c.value)
	return strings.ReplaceAll(b.String(), ". \n", ".\n")
}

// listed are the variables as the answer to a worked example lists them.
func (c chained) listed() string { return " ['" + strings.Join(c.vars, "', '") + "']" }

// chainParts adds up the tokens of a chain's lines, its assignments and its answer.
func (m *rulerMaker) chainParts(c chained) (int, error) {
	line, err := m.part(" " + rulerFiller + "\n")
	if err != nil {
		return 0, err
	}
	own, err := m.count(" " + strings.Join(c.assignments(), " ") + c.listed() + fmt.Sprintf(" %d", c.value))
	return c.lines*line + own, err
}

// fitting is the most lines, in steps, that a text and its answer leave room for,
// besides so many tokens.
func (m *rulerMaker) fitting(length, step, letters, besides int) (int, error) {
	lines := step
	size := sizer{rulerMaker: m, growing: true}
	for left := -1; left < 0; lines += step {
		c, err := m.chain(lines, letters)
		if err != nil {
			return 0, err
		}
		left, err = size.against(length-vtAnswer-besides, lines, func() (int, error) { return m.chainParts(c) },
			func() string { return c.text() + c.listed() })
		if err != nil {
			return 0, err
		}
		if left > 0 {
			return lines - step, nil
		}
	}
	return lines, nil
}

// fit draws a text that leaves the room.
func (m *rulerMaker) fit(size *sizer, lines, length, step, letters, besides int) (chained, error) {
	for tries := 0; ; tries++ {
		c, err := m.chain(lines, letters)
		if err != nil {
			return c, err
		}
		left, err := size.against(length-vtAnswer-besides, lines, func() (int, error) { return m.chainParts(c) }, c.text)
		if err != nil || left <= 0 {
			return c, err
		}
		if tries > 100 {
			return c, fmt.Errorf("ruler_vt: %d tokens leave no room for a prompt: this tokenizer makes too many of "+
				"a text", length)
		}
		if lines > step {
			lines -= step
		}
	}
}

func makeVT(m *rulerMaker, length int) ([]rulerPrompt, error) {
	lines, err := m.fitting(500, 5, 3, 0)
	if err != nil {
		return nil, err
	}
	shown, err := m.fit(&sizer{rulerMaker: m}, lines, 500, 5, 3, 0)
	if err != nil {
		return nil, err
	}
	example := shown.text() + " " + strings.Join(shown.vars, " ") + "\n\n"
	besides, err := m.count(example)
	if err != nil {
		return nil, err
	}
	if lines, err = m.fitting(length, 10, 5, besides); err != nil {
		return nil, err
	}
	var out []rulerPrompt
	size := sizer{rulerMaker: m}
	next := func() (string, error) {
		c, err := m.chain(lines, 5)
		for _, v := range shown.vars {
			m.random.choices(vtLetters, len(v))
		}
		return c.text(), err
	}
	for i := range m.samples {
		if err := m.ahead(m.samples-i, next); err != nil {
			return nil, err
		}
		c, err := m.fit(&size, lines, length, 10, 5, besides)
		if err != nil {
			return nil, err
		}
		renamed := example
		for _, v := range shown.vars {
			renamed = strings.ReplaceAll(renamed, v, m.random.choices(vtLetters, len(v)))
		}
		text := renamed + "\n\n" + c.text()
		out = append(out, rulerPrompt{strings.TrimSpace(text), c.vars})
	}
	return out, nil
}

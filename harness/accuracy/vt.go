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

// chained is a text with a chain of assignments in it, and the chain's variables.
type chained struct {
	text string
	vars []string
}

// chain draws variables of so many letters and hides their assignments among
// lines of noise.
func (m *rulerMaker) chain(lines, letters int) (chained, error) {
	var c chained
	for range vtHops + 1 {
		c.vars = append(c.vars, m.random.choices(vtLetters, letters))
	}
	value := 10000 + m.numpy.masked(89999)
	chain := []string{fmt.Sprintf("VAR %s = %d", c.vars[0], value)}
	for i := range vtHops {
		chain = append(chain, fmt.Sprintf("VAR %s = VAR %s ", c.vars[i+1], c.vars[i]))
	}
	var sentences []string
	for range lines {
		if lines > len(chain) {
			sentences = append(sentences, rulerFiller+"\n")
			continue
		}
		for s := range strings.SplitSeq(rulerFiller+"\n", ".") { // few lines: their sentences
			if strings.TrimSpace(s) != "" {
				s += "."
			}
			sentences = append(sentences, s)
		}
	}
	if len(sentences) <= len(chain) {
		return c, fmt.Errorf("ruler_vt: %d lines are too few to hide a chain in", lines)
	}
	at := m.random.sample(len(sentences), len(chain))
	slices.Sort(at)
	for i, p := range at {
		sentences = slices.Insert(sentences, p+i, chain[i])
	}
	context := strings.ReplaceAll(strings.Join(sentences, " "), ". \n", ".\n")
	c.text = fmt.Sprintf("Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n%s\n"+
		"Question: Find all variables that are assigned the value %d in the text above. Answer: According to the "+
		"chain(s) of variable assignment "+
		"in the text above, %d variables are assgined the value %d, they are: ", context, value, vtHops+1, value)
	return c, nil
}

// fitting is the most lines, in steps, that a text and its answer leave room for,
// besides so many tokens.
func (m *rulerMaker) fitting(length, step, letters, besides int) (int, error) {
	lines := step
	var last sized
	for total := 0; total+vtAnswer+besides < length; {
		c, err := m.chain(lines, letters)
		if err != nil {
			return 0, err
		}
		if last.below(lines, length-vtAnswer-besides) {
			lines += step
			continue
		}
		answer := " ['" + strings.Join(c.vars, "', '") + "']"
		if total, err = m.count(c.text + answer); err != nil {
			return 0, err
		}
		last = sized{lines, total}
		if total+vtAnswer+besides > length {
			return lines - step, nil
		}
		lines += step
	}
	return lines, nil
}

// fit draws a text that leaves the room.
func (m *rulerMaker) fit(lines, length, step, letters, besides int) (chained, error) {
	for tries := 0; ; tries++ {
		c, err := m.chain(lines, letters)
		if err != nil {
			return c, err
		}
		total, err := m.count(c.text)
		if err != nil || total+vtAnswer+besides <= length {
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
	shown, err := m.fit(lines, 500, 5, 3, 0)
	if err != nil {
		return nil, err
	}
	example := shown.text + " " + strings.Join(shown.vars, " ") + "\n\n"
	besides, err := m.count(example)
	if err != nil {
		return nil, err
	}
	if lines, err = m.fitting(length, 10, 5, besides); err != nil {
		return nil, err
	}
	var out []rulerPrompt
	for range m.samples {
		c, err := m.fit(lines, length, 10, 5, besides)
		if err != nil {
			return nil, err
		}
		renamed := example
		for _, v := range shown.vars {
			renamed = strings.ReplaceAll(renamed, v, m.random.choices(vtLetters, len(v)))
		}
		text := renamed + "\n\n" + c.text
		out = append(out, rulerPrompt{strings.TrimSpace(text), c.vars})
	}
	return out, nil
}

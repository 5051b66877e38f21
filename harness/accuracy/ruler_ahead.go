package accuracy

import "golang.org/x/sync/errgroup"

// foresight counts the prompts that come next, several at once, where each count is
// a question to a server. They are drawn twice: ahead of their turn with copies of the
// generators, each as if the one before it fitted, and then in turn. A draw that was
// not foreseen is counted when its turn comes, so that prompts are the same however
// many are counted at once.
type foresight struct {
	atOnce  int            // questions; below 2 none is asked ahead
	left    int            // draws to come that were foreseen
	counted map[string]int // tokens of the texts of those
}

// ahead looks as far ahead as questions are asked at once, if what was foreseen is
// used up. draw draws the next prompt, and is its text as it will be counted. to is
// how many prompts are still to come.
func (m *rulerMaker) ahead(to int, draw func() (string, error)) error {
	f := &m.foresight
	if f.left--; m.cheap || f.atOnce < 2 || f.left > 0 {
		return nil
	}
	texts := make([]string, min(f.atOnce, to))
	random, numpy := *m.random, *m.numpy
	var shuffles pyRandom
	if m.words != nil {
		shuffles = *m.words.shuffles
	}
	for i := range texts {
		var err error
		if texts[i], err = draw(); err != nil {
			return err
		}
	}
	*m.random, *m.numpy = random, numpy
	if m.words != nil {
		*m.words.shuffles = shuffles
	}
	counts := make([]int, len(texts))
	var asking errgroup.Group
	for i, text := range texts {
		asking.Go(func() (err error) {
			counts[i], err = m.count(text)
			return err
		})
	}
	if err := asking.Wait(); err != nil {
		return err
	}
	f.left, f.counted = len(texts), map[string]int{}
	for i, text := range texts {
		f.counted[text] = counts[i]
	}
	return nil
}

// whole counts a text, or recalls what was counted ahead. One that was not foreseen
// means that draws have gone another way since.
func (m *rulerMaker) whole(text string) (int, error) {
	if n, ok := m.foresight.counted[text]; ok {
		return n, nil
	}
	m.foresight.left = 0
	return m.count(text)
}

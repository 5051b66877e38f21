package accuracy

import (
	"cmp"
	"math"
)

// sizer compares the tokens of long texts of one shape with a limit, and counts as
// few of them whole as it can.
//
// Where a tokenizer is at hand, the tokens of the text's parts, cut where words
// begin, are added up. What the whole has besides is the same in every text of most
// tokenizers; others merge across words. How well sums foretell wholes is seen each
// time that a text is counted after all: as the first ones are, and each that comes
// near the limit. Where each count is a question to a server, a growing text is
// taken to be below the limit that would be if its tokens had grown faster than
// they have on average, from a quarter more, and any other is counted: the words of
// one draw may be longer than those of the last.
type sizer struct {
	*rulerMaker
	growing bool // each text is of more units than the last

	counts int // texts that were counted
	last   struct{ units, tokens, parts int }
	slope  float64 // tokens a token of the parts; 0: not known, and taken to be 1
	slack  float64 // by how much that may be off, a token of difference to the last text
	spread int     // by how much, between texts of about the same size
}

const (
	sureTokens = 8 // how far from the limit a text must be at least, to be not counted
	firstTexts = 3 // that are counted
	leastSlack = 1.0 / 64
	firstSlack = 0.5
)

// against compares the tokens of a text of so many units with a limit: below 0
// where they are fewer, above 0 where they are more.
func (z *sizer) against(limit, units int, parts func() (int, error), text func() string) (int, error) {
	sum, guess, apart := 0, 0, 0
	if z.cheap {
		var err error
		if sum, err = parts(); err != nil {
			return 0, err
		}
		apart = abs(sum - z.last.parts)
		guess = z.last.tokens + int(cmp.Or(z.slope, 1)*float64(sum-z.last.parts))
		doubt := sureTokens + 4*z.spread + int(max(z.slack, leastSlack)*float64(apart))
		if away := guess - limit; z.counts >= firstTexts && abs(away) > doubt {
			return away, nil
		}
	} else if l := z.last; z.growing && z.counts > 0 && l.tokens*5/4+(units-l.units)*(l.tokens/l.units+1) < limit {
		return -1, nil
	}
	total, err := z.whole(text())
	if err != nil {
		return 0, err
	}
	z.learn(total-guess, total-z.last.tokens, sum-z.last.parts)
	z.counts++
	z.last.units, z.last.tokens, z.last.parts = units, total, sum
	return cmp.Compare(total, limit), nil
}

// learn takes note of a text that was counted: by how much the guess was off, and
// by how much the text and its parts are larger than the last.
func (z *sizer) learn(off, larger, parts int) {
	switch {
	case z.counts == 0:
		z.slack = firstSlack
	case 4*abs(parts) > z.last.parts:
		z.slack = min(2*math.Abs(float64(off))/math.Abs(float64(parts)), firstSlack)
		z.slope = float64(larger) / float64(parts)
	default:
		z.spread = max(z.spread, abs(off))
	}
}

// part counts a part of texts, which comes again and again, once.
func (m *rulerMaker) part(text string) (n int, err error) {
	n, ok := m.known[text]
	if !ok {
		if n, err = m.count(text); err == nil {
			m.known[text] = n
		}
	}
	return n, err
}

func abs(n int) int { return max(n, -n) }

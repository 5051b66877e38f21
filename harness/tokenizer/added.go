package tokenizer

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is found in the text before anything else is done
// to it: <s>, <|im_end|>, and their like.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no letter or digit touches it
	LStrip     bool   `json:"lstrip"`      // takes the white space before it along
	RStrip     bool   `json:"rstrip"`      // takes the white space after it along
	Normalized bool   `json:"normalized"`  // looked for in the normalized text
}

type addedTokens struct {
	ids             map[string]int32
	raw, normalized matcher
}

// matcher holds tokens by the first byte of what is looked for, the longest
// first: the leftmost and, there, the longest match is taken.
type matcher map[byte][]pattern

type pattern struct {
	text string
	addedToken
}

func newAddedTokens(tokens []addedToken, n normalizer) *addedTokens {
	a := &addedTokens{ids: map[string]int32{}, raw: matcher{}, normalized: matcher{}}
	for _, tok := range tokens {
		if tok.Content == "" {
			continue
		}
		a.ids[tok.Content] = tok.ID
		into, text := a.raw, tok.Content
		if tok.Normalized {
			into, text = a.normalized, n(tok.Content)
		}
		if text != "" {
			into[text[0]] = append(into[text[0]], pattern{text, tok})
		}
	}
	for _, m := range []matcher{a.raw, a.normalized} {
		for _, list := range m {
			sort.SliceStable(list, func(i, j int) bool { return len(list[i].text) > len(list[j].text) })
		}
	}
	return a
}

// cut finds the added tokens and normalizes what lies between them.
func (a *addedTokens) cut(text string, n normalizer) []piece {
	var out []piece
	for _, p := range a.raw.cut(piece{text: text, first: true}) {
		if p.isToken {
			out = append(out, p)
			continue
		}
		p.text = n(p.text)
		out = append(out, a.normalized.cut(p)...)
	}
	return out
}

func (m matcher) cut(p piece) (out []piece) {
	s, done := p.text, 0 // s[:done] is in out
	for i := 0; i < len(s); {
		tok, ok := m.at(s, i)
		if !ok {
			i++
			continue
		}
		start, end := i, i+len(tok.text)
		if tok.LStrip {
			start = max(done, len(strings.TrimRightFunc(s[:start], unicode.IsSpace)))
		}
		if tok.RStrip {
			end = len(s) - len(strings.TrimLeftFunc(s[end:], unicode.IsSpace))
		}
		if done < start {
			out = append(out, piece{text: s[done:start], first: p.first && done == 0})
		}
		out = append(out, piece{isToken: true, id: tok.ID})
		i, done = end, end
	}
	if done < len(s) {
		out = append(out, piece{text: s[done:], first: p.first && done == 0})
	}
	return out
}

// at returns the longest token at s[i:].
func (m matcher) at(s string, i int) (pattern, bool) {
	for _, tok := range m[s[i]] {
		if !strings.HasPrefix(s[i:], tok.text) {
			continue
		}
		if tok.SingleWord {
			before, _ := utf8.DecodeLastRuneInString(s[:i])
			after, _ := utf8.DecodeRuneInString(s[i+len(tok.text):])
			if i > 0 && isWord(before) || i+len(tok.text) < len(s) && isWord(after) {
				return pattern{}, false // the search took the longest; it does not try a shorter one
			}
		}
		return tok, true
	}
	return pattern{}, false
}

// isWord returns a regular expression's \w.
func isWord(r rune) bool {
	return unicode.In(like(r), unicode.L, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Other_Alphabetic,
		unicode.Join_Control)
}

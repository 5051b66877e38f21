package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// piece is a part of the text on its way to the model.
type piece struct {
	text    string
	first   bool // it begins where the whole text begins
	isToken bool // it is an added token, and done
	id      int32
}

// preTokenizer cuts pieces into smaller ones, within which the model merges.
type preTokenizer func([]piece) []piece

func newPreTokenizer(raw json.RawMessage) (preTokenizer, error) {
	var p struct {
		Type             string            `json:"type"`
		PreTokenizers    []json.RawMessage `json:"pretokenizers"`
		Pattern          rawPattern        `json:"pattern"`
		Behavior         string            `json:"behavior"`
		Invert           bool              `json:"invert"`
		AddPrefixSpace   *bool             `json:"add_prefix_space"`
		UseRegex         *bool             `json:"use_regex"`
		Replacement      string            `json:"replacement"`
		PrependScheme    string            `json:"prepend_scheme"`
		Split            *bool             `json:"split"`
		IndividualDigits bool              `json:"individual_digits"`
	}
	if isNull(raw) {
		return func(ps []piece) []piece { return ps }, nil
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	switch p.Type {
	case "Sequence":
		var steps []preTokenizer
		for _, sub := range p.PreTokenizers {
			step, err := newPreTokenizer(sub)
			if err != nil {
				return nil, err
			}
			steps = append(steps, step)
		}
		return func(ps []piece) []piece {
			for _, step := range steps {
				ps = step(ps)
			}
			return ps
		}, nil
	case "Split":
		find, err := p.Pattern.finder()
		if err != nil {
			return nil, fmt.Errorf("pre_tokenizer Split: %w", err)
		}
		return splitter(find, p.Behavior, p.Invert)
	case "Digits":
		behavior := "Contiguous"
		if p.IndividualDigits {
			behavior = "Isolated"
		}
		return splitter(runesThat(unicode.IsNumber), behavior, false)
	case "ByteLevel":
		return byteLevel(p.AddPrefixSpace == nil || *p.AddPrefixSpace, p.UseRegex == nil || *p.UseRegex)
	case "Metaspace":
		if p.PrependScheme == "" { // the older form of the file
			p.PrependScheme = "always"
			if p.AddPrefixSpace != nil && !*p.AddPrefixSpace {
				p.PrependScheme = "never"
			}
		}
		return metaspace(p.Replacement, p.PrependScheme, p.Split == nil || *p.Split)
	}
	return nil, fmt.Errorf("pre_tokenizer %q is not among those that this tokenizer knows", p.Type)
}

// finder gives the matches of a pattern in a text, as byte offsets.
type finder func(string) [][]int

// rawPattern is {"String": …} or {"Regex": …}.
type rawPattern struct {
	String *string
	Regex  *string
}

func (p rawPattern) finder() (finder, error) {
	switch {
	case p.String != nil && *p.String != "":
		return func(s string) (out [][]int) {
			for at := 0; ; {
				i := strings.Index(s[at:], *p.String)
				if i < 0 {
					return out
				}
				out = append(out, []int{at + i, at + i + len(*p.String)})
				at += i + len(*p.String)
			}
		}, nil
	case p.Regex != nil:
		return compile(*p.Regex)
	}
	return nil, errors.New("it has no pattern")
}

// runesThat finds every single character that is so.
func runesThat(is func(rune) bool) finder {
	return func(s string) (out [][]int) {
		for i, r := range s {
			if is(r) {
				out = append(out, []int{i, i + utf8.RuneLen(r)})
			}
		}
		return out
	}
}

// span is a part of a piece, which matched or lies between matches.
type span struct {
	from, to int
	match    bool
}

// behaviors are what a Split does with the spans between and at its matches: it keeps
// them, drops the matches, or joins a span to the one before it, by the file's names.
var behaviors = map[string]func([]span) []span{
	"Isolated": func(s []span) []span { return s },
	"Removed": func(spans []span) []span {
		return slices.DeleteFunc(spans, func(s span) bool { return s.match })
	},
	"MergedWithPrevious": joined(func(before, s span) bool { return s.match && !before.match }),
	"MergedWithNext":     joined(func(before, s span) bool { return before.match && !s.match }),
	"Contiguous":         joined(func(before, s span) bool { return before.match == s.match }),
}

// joined returns a function that joins each span to the one before it where join says so.
func joined(join func(before, s span) bool) func([]span) []span {
	return func(spans []span) (out []span) {
		for i, s := range spans {
			if i > 0 && join(spans[i-1], s) {
				out[len(out)-1].to = s.to
			} else {
				out = append(out, s)
			}
		}
		return out
	}
}

// spansOf cuts a text at the matches. With invert, what lies between them matches.
func spansOf(text string, find finder, invert bool) []span {
	var spans []span
	done := 0
	for _, m := range find(text) {
		if m[0] == m[1] {
			continue
		}
		if done < m[0] {
			spans = append(spans, span{done, m[0], invert})
		}
		spans = append(spans, span{m[0], m[1], !invert})
		done = m[1]
	}
	if done < len(text) {
		spans = append(spans, span{done, len(text), invert})
	}
	return spans
}

// splitter cuts at the matches, and does with them as behavior says (see [behaviors]).
func splitter(find finder, behavior string, invert bool) (preTokenizer, error) {
	shape, ok := behaviors[behavior]
	if !ok {
		return nil, fmt.Errorf("pre_tokenizer Split: behavior %q is not among those that this tokenizer knows", behavior)
	}
	return func(ps []piece) (out []piece) {
		for _, p := range ps {
			for _, s := range shape(spansOf(p.text, find, invert)) {
				out = append(out, piece{text: p.text[s.from:s.to], first: p.first && s.from == 0})
			}
		}
		return out
	}, nil
}

// metaspace writes spaces as another character, SentencePiece's way.
func metaspace(replacement, scheme string, split bool) (preTokenizer, error) {
	switch scheme {
	case "always", "first", "never":
	default:
		return nil, fmt.Errorf("pre_tokenizer Metaspace: prepend_scheme %q is not always, first or never", scheme)
	}
	pattern := rawPattern{String: &replacement}
	find, err := pattern.finder()
	if err != nil {
		return nil, fmt.Errorf("pre_tokenizer Metaspace: %w", err)
	}
	cut := func(ps []piece) []piece { return ps }
	if split {
		if cut, err = splitter(find, "MergedWithNext", false); err != nil {
			return nil, err
		}
	}
	return func(ps []piece) []piece {
		out := make([]piece, 0, len(ps))
		for _, p := range ps {
			p.text = strings.ReplaceAll(p.text, " ", replacement)
			if !strings.HasPrefix(p.text, replacement) && (scheme == "always" || scheme == "first" && p.first) {
				p.text = replacement + p.text
			}
			out = append(out, p)
		}
		return cut(out)
	}, nil
}

// gpt2 is the pattern that ByteLevel cuts by where use_regex is set.
const gpt2 = `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`

// byteLevel writes every byte as a printable character: the vocabulary's
// alphabet.
func byteLevel(prefixSpace, useRegex bool) (preTokenizer, error) {
	cut := func(ps []piece) []piece { return ps }
	if useRegex {
		find, err := compile(gpt2)
		if err != nil {
			return nil, err
		}
		if cut, err = splitter(find, "Isolated", false); err != nil {
			return nil, err
		}
	}
	return func(ps []piece) []piece {
		in := make([]piece, 0, len(ps))
		for _, p := range ps {
			if prefixSpace && !strings.HasPrefix(p.text, " ") {
				p.text = " " + p.text
			}
			in = append(in, p)
		}
		out := cut(in)
		for i := range out {
			out[i].text = byteChars(out[i].text)
		}
		return out
	}, nil
}

// byteChar is GPT-2's table of a character for each byte: itself where it is
// printable in Latin-1, else the next one from U+0100 on.
var byteChar = func() (table [256]string) {
	next := rune(256)
	for b := range rune(256) {
		if b >= '!' && b <= '~' || b >= '¡' && b <= '¬' || b >= '®' && b <= 'ÿ' {
			table[b] = string(b)
		} else {
			table[b] = string(next)
			next++
		}
	}
	return table
}()

func byteChars(s string) string {
	var b strings.Builder
	b.Grow(2 * len(s))
	for i := range len(s) {
		b.WriteString(byteChar[s[i]])
	}
	return b.String()
}

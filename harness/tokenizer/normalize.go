package tokenizer

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// normalizer rewrites a text before it is cut.
type normalizer func(string) string

// newNormalizer reads the normalizer of a tokenizer.json; null does nothing.
func newNormalizer(raw json.RawMessage) (normalizer, error) {
	var n struct {
		Type        string            `json:"type"`
		Normalizers []json.RawMessage `json:"normalizers"`
		Pattern     rawPattern        `json:"pattern"`
		Content     string            `json:"content"`
		Prepend     string            `json:"prepend"`
		StripLeft   bool              `json:"strip_left"`
		StripRight  bool              `json:"strip_right"`
	}
	if isNull(raw) {
		return func(s string) string { return s }, nil
	}
	if err := json.Unmarshal(raw, &n); err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	switch n.Type {
	case "Sequence":
		return normalizers(n.Normalizers)
	case "NFC":
		return normalForm(norm.NFC), nil
	case "NFD":
		return normalForm(norm.NFD), nil
	case "NFKC":
		return normalForm(norm.NFKC), nil
	case "NFKD":
		return normalForm(norm.NFKD), nil
	case "Lowercase":
		return lowercase, nil
	case "Strip":
		return func(s string) string {
			if n.StripLeft {
				s = strings.TrimLeftFunc(s, unicode.IsSpace)
			}
			if n.StripRight {
				s = strings.TrimRightFunc(s, unicode.IsSpace)
			}
			return s
		}, nil
	case "Prepend":
		return func(s string) string {
			if s == "" {
				return s
			}
			return n.Prepend + s
		}, nil
	case "Replace":
		find, err := n.Pattern.finder()
		if err != nil {
			return nil, fmt.Errorf("normalizer Replace: %w", err)
		}
		return func(s string) string { return replaced(s, find, n.Content) }, nil
	}
	return nil, fmt.Errorf("normalizer %q is not among those that this tokenizer knows", n.Type)
}

// normalizers applies one after the other.
func normalizers(raw []json.RawMessage) (normalizer, error) {
	var steps []normalizer
	for _, sub := range raw {
		step, err := newNormalizer(sub)
		if err != nil {
			return nil, err
		}
		steps = append(steps, step)
	}
	return func(s string) string {
		for _, step := range steps {
			s = step(s)
		}
		return s
	}, nil
}

// replaced is a text with content in place of every match.
func replaced(s string, find finder, content string) string {
	var b strings.Builder
	done := 0
	for _, m := range find(s) {
		b.WriteString(s[done:m[0]])
		b.WriteString(content)
		done = m[1]
	}
	b.WriteString(s[done:])
	return b.String()
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }

package tokenizer

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/unicode/rangetable"
)

// Hugging Face's tokenizers is made of parts that know different versions of
// Unicode: 16 where a pattern is matched, 9 where a text is brought to a normal
// form, 17 where it is lowercased. Go knows 15. What follows makes up for that.

// newer are the characters whose category is not in Go's tables, each range with
// an older character of the same category and of as many bytes.
var newer = []struct{ first, last, like rune }{
	{0x0897, 0x0897, 0x1ab0},    // Mn
	{0x1b4e, 0x1b4f, 0x1b5a},    // Po
	{0x1b7f, 0x1b7f, 0x1b5a},    // Po
	{0x1c89, 0x1c89, 0xa722},    // Lu
	{0x1c8a, 0x1c8a, 0xa723},    // Ll
	{0x2427, 0x2429, 0x2400},    // So
	{0x2ffc, 0x2fff, 0x2400},    // So
	{0x31e4, 0x31e5, 0x2400},    // So
	{0x31ef, 0x31ef, 0x2400},    // So
	{0xa7cb, 0xa7cc, 0xa722},    // Lu
	{0xa7cd, 0xa7cd, 0xa723},    // Ll
	{0xa7da, 0xa7da, 0xa722},    // Lu
	{0xa7db, 0xa7db, 0xa723},    // Ll
	{0xa7dc, 0xa7dc, 0xa722},    // Lu
	{0x105c0, 0x105f3, 0x10280}, // Lo
	{0x10d40, 0x10d49, 0x104a0}, // Nd
	{0x10d4a, 0x10d4d, 0x10280}, // Lo
	{0x10d4e, 0x10d4e, 0x16b40}, // Lm
	{0x10d4f, 0x10d4f, 0x10280}, // Lo
	{0x10d50, 0x10d65, 0x10400}, // Lu
	{0x10d69, 0x10d6d, 0x101fd}, // Mn
	{0x10d6e, 0x10d6e, 0x10ead}, // Pd
	{0x10d6f, 0x10d6f, 0x16b40}, // Lm
	{0x10d70, 0x10d85, 0x10428}, // Ll
	{0x10d8e, 0x10d8f, 0x1d6c1}, // Sm
	{0x10ec2, 0x10ec4, 0x10280}, // Lo
	{0x10efc, 0x10efc, 0x101fd}, // Mn
	{0x11380, 0x11389, 0x10280}, // Lo
	{0x1138b, 0x1138b, 0x10280}, // Lo
	{0x1138e, 0x1138e, 0x10280}, // Lo
	{0x11390, 0x113b5, 0x10280}, // Lo
	{0x113b7, 0x113b7, 0x10280}, // Lo
	{0x113b8, 0x113ba, 0x11000}, // Mc
	{0x113bb, 0x113c0, 0x101fd}, // Mn
	{0x113c2, 0x113c2, 0x11000}, // Mc
	{0x113c5, 0x113c5, 0x11000}, // Mc
	{0x113c7, 0x113ca, 0x11000}, // Mc
	{0x113cc, 0x113cd, 0x11000}, // Mc
	{0x113ce, 0x113ce, 0x101fd}, // Mn
	{0x113cf, 0x113cf, 0x11000}, // Mc
	{0x113d0, 0x113d0, 0x101fd}, // Mn
	{0x113d1, 0x113d1, 0x10280}, // Lo
	{0x113d2, 0x113d2, 0x101fd}, // Mn
	{0x113d3, 0x113d3, 0x10280}, // Lo
	{0x113d4, 0x113d5, 0x10100}, // Po
	{0x113d7, 0x113d8, 0x10100}, // Po
	{0x113e1, 0x113e2, 0x101fd}, // Mn
	{0x116d0, 0x116e3, 0x104a0}, // Nd
	{0x1171e, 0x1171e, 0x11000}, // Mc
	{0x11bc0, 0x11be0, 0x10280}, // Lo
	{0x11be1, 0x11be1, 0x10100}, // Po
	{0x11bf0, 0x11bf9, 0x104a0}, // Nd
	{0x11f5a, 0x11f5a, 0x101fd}, // Mn
	{0x13460, 0x143fa, 0x10280}, // Lo
	{0x16100, 0x1611d, 0x10280}, // Lo
	{0x1611e, 0x16129, 0x101fd}, // Mn
	{0x1612a, 0x1612c, 0x11000}, // Mc
	{0x1612d, 0x1612f, 0x101fd}, // Mn
	{0x16130, 0x16139, 0x104a0}, // Nd
	{0x16d40, 0x16d42, 0x16b40}, // Lm
	{0x16d43, 0x16d6a, 0x10280}, // Lo
	{0x16d6b, 0x16d6c, 0x16b40}, // Lm
	{0x16d6d, 0x16d6f, 0x10100}, // Po
	{0x16d70, 0x16d79, 0x104a0}, // Nd
	{0x18cff, 0x18cff, 0x10280}, // Lo
	{0x1cc00, 0x1ccef, 0x1f000}, // So
	{0x1ccf0, 0x1ccf9, 0x104a0}, // Nd
	{0x1cd00, 0x1ceb3, 0x1f000}, // So
	{0x1e5d0, 0x1e5ed, 0x10280}, // Lo
	{0x1e5ee, 0x1e5ef, 0x101fd}, // Mn
	{0x1e5f0, 0x1e5f0, 0x10280}, // Lo
	{0x1e5f1, 0x1e5fa, 0x104a0}, // Nd
	{0x1e5ff, 0x1e5ff, 0x10100}, // Po
	{0x1f8b2, 0x1f8bb, 0x1f000}, // So
	{0x1f8c0, 0x1f8c1, 0x1f000}, // So
	{0x1fa89, 0x1fa89, 0x1f000}, // So
	{0x1fa8f, 0x1fa8f, 0x1f000}, // So
	{0x1fabe, 0x1fabe, 0x1f000}, // So
	{0x1fac6, 0x1fac6, 0x1f000}, // So
	{0x1fadc, 0x1fadc, 0x1f000}, // So
	{0x1fadf, 0x1fadf, 0x1f000}, // So
	{0x1fae9, 0x1fae9, 0x1f000}, // So
	{0x1fbcb, 0x1fbef, 0x1f000}, // So
	{0x2ebf0, 0x2ee5d, 0x20000}, // Lo, Han
}

// like is r, or where Go does not know r a character that patterns treat alike.
func like(r rune) rune {
	i := sort.Search(len(newer), func(i int) bool { return newer[i].last >= r })
	if i < len(newer) && newer[i].first <= r {
		return newer[i].like
	}
	return r
}

// familiar is s in characters whose category Go knows, of as many bytes each, so
// that what a pattern finds in it lies where it lies in s.
func familiar(s string) string {
	for i := range len(s) {
		if s[i] >= 0xe0 { // of three bytes or more
			return strings.Map(like, s)
		}
	}
	return s
}

var unicode9 = rangetable.Assigned("9.0.0")

// normalForm is f as Unicode 9 has it: a character that came later is left as it
// is, and no mark moves past it.
func normalForm(f norm.Form) normalizer {
	return func(s string) string {
		isLater := func(r rune) bool { return r > unicode.MaxLatin1 && !unicode.Is(unicode9, r) }
		if strings.IndexFunc(s, isLater) < 0 {
			return f.String(s)
		}
		var b strings.Builder
		for s != "" {
			at := strings.IndexFunc(s, isLater)
			if at < 0 {
				at = len(s)
			}
			b.WriteString(f.String(s[:at]))
			_, n := utf8.DecodeRuneInString(s[at:])
			b.WriteString(s[at : at+n])
			s = s[at+n:]
		}
		return b.String()
	}
}

// newerLetters are the capitals of Unicode 16 and 17.
var newerLetters = unicode.SpecialCase{
	lower(0x1c89, 0x1c89, 1), lower(0xa7cb, 0xa7cb, 0x264-0xa7cb), lower(0xa7cc, 0xa7cc, 1), lower(0xa7ce, 0xa7ce,
		1), lower(0xa7d2, 0xa7d2, 1), lower(0xa7d4, 0xa7d4, 1),
	lower(0xa7da, 0xa7da, 1), lower(0xa7dc, 0xa7dc, 0x19b-0xa7dc), lower(0x10d50, 0x10d65, 0x20), lower(0x16ea0, 0x16eb8,
		0x1b),
}

func lower(first, last uint32, by rune) unicode.CaseRange {
	return unicode.CaseRange{Lo: first, Hi: last, Delta: [unicode.MaxCase]rune{unicode.LowerCase: by}}
}

// lowercase returns every character's own small letters: two for İ.
func lowercase(s string) string {
	return strings.ToLowerSpecial(newerLetters, strings.ReplaceAll(s, "İ", "i\u0307"))
}

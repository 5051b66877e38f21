package accuracy

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Document is one article of a WikiText file.
type Document struct {
	Page   string // the article as the file has it; words and bytes are counted on it
	Target string // the article detokenised: what the model is asked to predict
	Words  int    // pieces of a split on white space, an empty piece at either end included
	Bytes  int    // length in UTF-8
}

// NewDocument detokenises and counts a page.
func NewDocument(page string) Document {
	return Document{Page: page, Target: Detokenize(page), Words: countWords(page), Bytes: len(page)}
}

// SplitDocuments cuts a raw WikiText file into articles, as the data set
// EleutherAI/wikitext_document_level does: a new one starts at each line that is
// a title, `= Name =`, of the first level. Articles of white space alone are
// dropped, and so the blank line before a title ends the article before it.
func SplitDocuments(raw string) []Document {
	var docs []Document
	var lines []string
	end := func() {
		if page := strings.Join(lines, "\n"); !isBlank(page) {
			docs = append(docs, NewDocument(page))
		}
		lines = nil
	}
	for line := range strings.SplitSeq(raw, "\n") {
		if isTitle(line) {
			end()
		}
		lines = append(lines, line)
	}
	end()
	return docs
}

func isTitle(line string) bool {
	line = strings.ReplaceAll(line, "= = =", "===")
	line = strings.ReplaceAll(line, "= =", "==")
	line = strings.TrimFunc(line, isSpace)
	return strings.HasPrefix(line, "= ") && strings.HasSuffix(line, " =")
}

// isSpace is Python's str.isspace for one character, which its re module's \s
// and its strip share: Go's, and four control characters more.
func isSpace(r rune) bool { return unicode.IsSpace(r) || 0x1c <= r && r <= 0x1f }

func isBlank(s string) bool { return strings.TrimFunc(s, isSpace) == "" }

// countWords is len(re.split(r"\s+", s)): one more than the runs of white space.
func countWords(s string) int {
	n, inside := 1, false
	for _, r := range s {
		space := isSpace(r)
		if space && !inside {
			n++
		}
		inside = space
	}
	return n
}

// ws is Python's \s as a class of Go's regexp, whose own \s knows ASCII alone.
const ws = `[\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]`

// rewrite is one step of the detokeniser: a replacement of plain text, or of
// what a pattern matches.
type rewrite struct {
	old     string
	pattern *regexp.Regexp
	new     string
}

func plain(old, new string) rewrite { return rewrite{old: old, new: new} }

func match(pattern, new string) rewrite {
	return rewrite{pattern: regexp.MustCompile(strings.ReplaceAll(pattern, `\s`, ws)), new: new}
}

// detokenizer is lm-evaluation-harness's wikitext_detokenizer, step by step and
// in its order (lm_eval/tasks/wikitext/preprocess_wikitext.py, task version
// 2.0). Its oddities are kept, since they are what the published figures were
// measured with: the second step looks for slashes that are not in the text,
// and " N " becomes " 1 ".
var detokenizer = []rewrite{
	// contractions
	plain("s '", "s'"),
	match(`/' [0-9]/`, `/'[0-9]/`),
	// number separators
	plain(" @-@ ", "-"),
	plain(" @,@ ", ","),
	plain(" @.@ ", "."),
	// punctuation
	plain(" : ", ": "),
	plain(" ; ", "; "),
	plain(" . ", ". "),
	plain(" ! ", "! "),
	plain(" ? ", "? "),
	plain(" , ", ", "),
	// double brackets
	match(`\(\s*([^)]*?)\s*\)`, `(${1})`),
	match(`\[\s*([^\]]*?)\s*\]`, `[${1}]`),
	match(`\{\s*([^}]*?)\s*\}`, `{${1}}`),
	match(`"\s*([^"]*?)\s*"`, `"${1}"`),
	match(`'\s*([^']*?)\s*'`, `'${1}'`),
	// miscellaneous
	plain("= = = =", "===="),
	plain("= = =", "==="),
	plain("= =", "=="),
	plain(" ° ", "°"),
	plain(" \n", "\n"),
	plain("\n ", "\n"),
	plain(" N ", " 1 "),
	plain(" 's", "'s"),
}

// Detokenize undoes WikiText's spacing of punctuation, as
// lm-evaluation-harness does before it scores.
func Detokenize(page string) string {
	for _, r := range detokenizer {
		if r.pattern == nil {
			page = strings.ReplaceAll(page, r.old, r.new)
		} else {
			page = r.pattern.ReplaceAllString(page, r.new)
		}
	}
	return page
}

// validText says whether a text can be scored at all: it is UTF-8 and not blank.
func validText(raw string) bool { return utf8.ValidString(raw) && !isBlank(raw) }

package tokenizer

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// compile makes a finder of a regular expression in Oniguruma's dialect, which
// Hugging Face uses; its look-aheads are beyond the standard library's regexp.
func compile(expr string) (finder, error) {
	if err := foreign(expr); err != nil {
		return nil, fmt.Errorf("pattern %q: %w", expr, err)
	}
	re, err := regexp2.Compile(longS.Replace(expr))
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %s", expr, oneLine(err.Error())) // it quotes the pattern as it is
	}
	re.MatchTimeout = matchLimit
	return func(s string) [][]int {
		matches, err := re.FindAllStringIndex(familiar(s), -1)
		if err != nil {
			panic(patternError{fmt.Errorf("pattern %q on a text of %d bytes: %w", expr, len(s), err)})
		}
		return matches
	}, nil
}

// matchLimit is how long one match may take. Real patterns take microseconds; a
// pattern that backtracks without end must not hang a run.
const matchLimit = 2 * time.Second

// patternError is what a finder panics with; [Tokenizer.Encode] returns it.
type patternError struct{ error }

// longS spells out what Oniguruma's (?i) takes for an s: also ſ, whose upper
// case is S. The case-insensitive parts of the known patterns are English
// contractions, so that s is the one letter of theirs that has such a twin.
var longS = strings.NewReplacer("(?i:'s|", "(?i:'[sſ]|")

// foreign refuses what Oniguruma reads in one way and regexp2, which follows
// .NET, in another: both would take it, and the tokens would be nearly right.
func foreign(expr string) error {
	class := false
	for i := 0; i < len(expr); i++ {
		rest, what := expr[i:], ""
		switch {
		case rest[0] == '\\':
			i++
		case class && rest[0] == '[':
			what = "a set within a set"
		case class && strings.HasPrefix(rest, "&&"):
			what = "an intersection of sets"
		case class:
			class = rest[0] != ']'
		case rest[0] == '[':
			class = true
			if strings.HasPrefix(rest, "[^") {
				i++
			}
		case rest[0] == '^' || rest[0] == '$':
			what = "an anchor of lines"
		case repeated.MatchString(rest):
			what = "a repeated repetition"
		}
		if what != "" {
			return fmt.Errorf("%s is not among what this tokenizer knows", what)
		}
	}
	return nil
}

// repeated is an interval with a plus, which is possessive to .NET alone.
var repeated = regexp.MustCompile(`^\{\d*,?\d*\}\+`)

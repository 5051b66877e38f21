package leaderboard

import (
	"strings"
	"unicode/utf8"

	"github.com/mtibben/confusables"
	"golang.org/x/text/secure/precis"
)

// name is a team's name in the forms in which it is kept.
type name struct {
	shown string
	key   string // as RFC 8266 compares it: without regard to case, width and double spaces
	// The skeletons of Unicode TR 39, in which characters that look alike are
	// one: of the key, and of the name as it is shown. The second finds capital
	// letters that look like other letters (I and l, a Greek Τ and T).
	looks, looksShown string
}

// blanks are symbols that look like nothing, so that a name with one looks like
// another without: RFC 8266 takes them for symbols as any.
const blanks = "\u2800\ufffc\U0001d159" // of Braille, of an object that is not there, of music

// nameOf checks a team's name: one line, without control characters.
func nameOf(team string) (name, error) {
	shown, err := precis.Nickname.String(team)
	var key string
	if err == nil {
		key, err = precis.Nickname.CompareKey(team)
	}
	if err != nil || strings.Trim(shown, ".") == "" || strings.ContainsAny(shown, blanks) ||
		utf8.RuneCountInString(shown) > maxTeam {
		return name{}, breaks("the team name must be 1 to %d characters on one line, without control characters "+
			"or blank symbols, and more than dots", maxTeam)
	}
	return withLooks(shown, key), nil
}

func withLooks(shown, key string) name {
	return name{shown: shown, key: key, looks: confusables.Skeleton(key),
		looksShown: confusables.Skeleton(strings.ToLower(confusables.Skeleton(shown)))}
}

package leaderboard

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mtibben/confusables"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"
)

// name is a team's name in the forms in which it is kept.
type name struct {
	shown string
	key   string // as RFC 8266 compares it: without regard to case, width and double spaces
	// The skeletons of Unicode TR 39, in which characters that look alike are
	// one, without what else an eye passes over (see [bare]): of the key, and of
	// the name as it is shown. The second finds capital letters that look like
	// other letters (I and l, a Greek Τ and T).
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
	return name{shown: shown, key: key, looks: bare(key), looksShown: bare(strings.ToLower(confusables.Skeleton(shown)))}
}

// smallCapitals are letters of phonetics that look like capitals: TR 39 does not
// have them all.
var smallCapitals = strings.NewReplacer("ᴀ", "a", "ʙ", "b", "ᴄ", "c", "ᴅ", "d", "ᴇ", "e", "ꜰ", "f", "ɢ", "g", "ʜ", "h",
	"ɪ", "i", "ᴊ", "j", "ᴋ", "k", "ʟ", "l", "ᴍ", "m", "ɴ", "n", "ᴏ", "o", "ᴘ", "p", "ʀ", "r", "ꜱ", "s", "ᴛ", "t",
	"ᴜ", "u", "ᴠ", "v", "ᴡ", "w", "ʏ", "y", "ᴢ", "z")

// bare is a name's skeleton without punctuation, spaces, and the accents of
// Latin, Greek and Cyrillic letters. In other scripts marks are vowels, and stay.
// A name of nothing else keeps it all.
func bare(text string) string {
	skeleton := confusables.Skeleton(smallCapitals.Replace(text))
	var out strings.Builder
	accented := false // the letter before
	for _, r := range norm.NFD.String(skeleton) {
		switch {
		case unicode.Is(unicode.Mn, r):
			if accented {
				continue
			}
		case unicode.IsPunct(r) || unicode.IsSpace(r):
			continue
		default:
			accented = unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic)
		}
		out.WriteRune(r)
	}
	if out.Len() == 0 {
		return skeleton
	}
	return out.String()
}

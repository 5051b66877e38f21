package batch

import (
	"bytes"
	"regexp"
	"strconv"
	"unicode"
	"unicode/utf8"
)

var escapes = regexp.MustCompile(`\\(?:u[0-9a-fA-F]{4}|.)`)

// printable returns a JSON text without what would steer a terminal, in its strings
// as it stands or escaped: line ends and tabs within them become spaces, other
// control characters and the marks that turn the direction of writing U+FFFD. A
// result is printed in many places; whoever damaged or forged one writes in none.
func printable(text []byte) []byte {
	if !bytes.ContainsFunc(text, func(r rune) bool { return r == '\\' || r >= 0x7f }) {
		return text
	}
	text = escapes.ReplaceAllFunc(text, func(e []byte) []byte {
		switch e[1] {
		case 'n', 'r', 't', 'b', 'f':
			return []byte{' '}
		case 'u':
			if code, _ := strconv.ParseUint(string(e[2:]), 16, 16); steers(rune(code)) {
				return []byte(string(utf8.RuneError))
			}
		}
		return e
	})
	return bytes.Map(func(r rune) rune {
		if steers(r) && r != '\n' && r != '\r' && r != '\t' { // those stand between values: within a string they are no JSON
			return utf8.RuneError
		}
		return r
	}, text)
}

func steers(r rune) bool { return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) }

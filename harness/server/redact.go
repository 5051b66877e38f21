package server

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"html"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file is the gate that every text passes which a server had a hand in:
// names, versions, errors, answers that could not be read, headers. What comes
// through is one line without secrets and without characters that a terminal, a
// log or a page would obey. It is applied where such a text enters, so that
// whoever prints it need not think of it.

// Redact makes a text fit to be shown; see the function of that name.
func (t *Server) Redact(text string) string { return Redact(text, t.secrets()...) }

// ErrorMessage is [ErrorMessage] without the target's secrets.
func (t *Server) ErrorMessage(body []byte) string { return ErrorMessage(body, t.secrets()...) }

// secrets are the API key and the values of the target's headers: servers and
// gateways in front of them echo headers in their error answers.
func (t *Server) secrets() []string {
	secrets := []string{t.key}
	for _, values := range t.Headers {
		for _, v := range values {
			secrets = append(secrets, v)
			if _, credentials, ok := strings.Cut(v, " "); ok { // as in Bearer KEY
				secrets = append(secrets, credentials)
			}
		}
	}
	return secrets
}

// name makes a name that a server gives fit to be shown, shortened.
func (t *Server) name(s string) string { return oneLine(t.Redact(s)) }

// gate makes an error's text fit to be shown. It stays what it was for
// [errors.Is] and [errors.As].
func (t *Server) gate(err error) error {
	var g *gated
	if err == nil || errors.As(err, &g) && g.Error() == err.Error() {
		return err
	}
	if text := t.Redact(err.Error()); text != err.Error() {
		return &gated{err, text}
	}
	return err
}

type gated struct {
	error
	text string
}

func (g *gated) Error() string { return g.text }
func (g *gated) Unwrap() error { return g.error }

// Redact takes secrets out of a text, however they are written there (see
// [written]), and control characters: those that end or feed a line become
// spaces, and others, with the marks that turn the direction of writing, U+FFFD.
// What is cut off at the end of a text may hold the beginning of a secret, so
// redact before you shorten.
func Redact(text string, secrets ...string) string {
	for _, s := range secrets {
		if len(s) >= shortestSecret {
			for _, f := range written(s) {
				text = f.cut(text, "[secret]")
			}
		}
	}
	return strings.Map(printable, strings.ToValidUTF8(text, string(utf8.RuneError)))
}

// shortestSecret keeps a key of a letter or two, as tests and habits have them,
// from taking every such letter out of a message.
const shortestSecret = 4

func printable(r rune) rune {
	switch {
	case r == '\t', r == '\n', r == '\v', r == '\f', r == '\r', r == '\u0085', unicode.In(r, unicode.Zl, unicode.Zp):
		return ' '
	case unicode.In(r, unicode.Cc, unicode.Cf):
		return utf8.RuneError
	}
	return r
}

// written are the forms that a secret may have in a text, before whatever
// escapes: as it is, in hexadecimal, and in base64, wherever it stands there
// among other bytes, as in an Authorization header.
func written(secret string) []form {
	forms := []form{{secret, true}, {hex.EncodeToString([]byte(secret)), true}}
	for before := range 3 { // bytes, modulo those that base64 takes at a time
		bytes := append(make([]byte, before), secret...)
		for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			// The first and the last digit may hold bits of the neighbours.
			digits := encoding.EncodeToString(bytes)[(before*8+5)/6 : len(bytes)*8/6]
			if f := (form{text: digits}); len(digits) >= shortestSecret && !slices.Contains(forms, f) {
				forms = append(forms, f)
			}
		}
	}
	return forms
}

// form is a text to look for.
type form struct {
	text    string
	anyCase bool // letters of ASCII match in either case
}

// cut replaces every place where the form stands, escaped in whatever way.
func (f form) cut(text, by string) string {
	var b strings.Builder
	kept := 0
	for i := 0; i < len(text); {
		n := f.at(text[i:], f.text)
		if n < 0 {
			i++
			continue
		}
		b.WriteString(text[kept:i] + by)
		i += n
		kept = i
	}
	if kept == 0 {
		return text
	}
	return b.String() + text[kept:]
}

// at is how many bytes a form's rest takes at the beginning of a text; -1 where
// it does not stand there. What escapes a character may also be one.
func (f form) at(text, want string) int {
	if want == "" {
		return 0
	}
	if text == "" {
		return -1
	}
	if f.same(text[0], want[0]) || text[0] == '+' && want[0] == ' ' {
		if n := f.at(text[1:], want[1:]); n >= 0 {
			return 1 + n
		}
	}
	n, m := f.escape(text, want)
	if m == 0 {
		return -1
	}
	if rest := f.at(text[n:], want[m:]); rest >= 0 {
		return n + rest
	}
	return -1
}

// escape is how many bytes of the text escape how many of what is wanted; 0 where
// they escape something else, or nothing.
func (f form) escape(text, want string) (n, m int) {
	switch text[0] {
	case '\\':
		n = len(text) - len(strings.TrimLeft(text, `\`))
		if k, r := afterBackslash(text[n:]); f.matches(r, want) > 0 {
			return n + k, f.matches(r, want)
		}
		if m = len(want) - len(strings.TrimLeft(want, `\`)); 0 < m && m <= n {
			return n, m // JSON in JSON doubles them
		}
		if n < len(text) && f.same(text[n], want[0]) { // as in \/
			return n + 1, 1
		}
	case '%', '=': // as in addresses, once or again and again, and in mail
		digits := text[1:]
		for strings.HasPrefix(digits, "25") {
			digits = digits[2:]
		}
		if v, k := number(digits, 16, 2); k == 2 && f.same(byte(v), want[0]) {
			return len(text) - len(digits) + 2, 1
		}
	case '&':
		if k, r := entity(text); f.matches(r, want) > 0 {
			return k, f.matches(r, want)
		}
	}
	return 0, 0
}

func (f form) same(a, b byte) bool { return a == b || f.anyCase && lower(a) == lower(b) }

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// matches is how many bytes of what is wanted are the character r; 0 where it
// does not begin with it.
func (f form) matches(r rune, want string) int {
	switch {
	case r < 0:
		return 0
	case r < utf8.RuneSelf && f.same(byte(r), want[0]):
		return 1
	case strings.HasPrefix(want, string(r)):
		return utf8.RuneLen(r)
	}
	return 0
}

// afterBackslash reads u0041, u{41}, x41 and 101; -1 where it is none of these.
func afterBackslash(text string) (n int, r rune) {
	switch {
	case strings.HasPrefix(text, "u{"):
		if v, k := number(text[2:], 16, 6); k > 0 && strings.HasPrefix(text[2+k:], "}") {
			return k + 3, v
		}
	case strings.HasPrefix(text, "u"), strings.HasPrefix(text, "U"):
		if v, k := number(text[1:], 16, 4); k == 4 {
			return 5, v
		}
	case strings.HasPrefix(text, "x"):
		if v, k := number(text[1:], 16, 2); k == 2 {
			return 3, v
		}
	default:
		if v, k := number(text, 8, 3); k == 3 {
			return 3, v
		}
	}
	return 0, -1
}

// entity reads a character as HTML writes it, once or again and again; -1 where
// it is none.
func entity(text string) (n int, r rune) {
	end := strings.IndexByte(text[:min(len(text), len("&#x10ffff;"))], ';')
	if end < 0 {
		return 0, -1
	}
	plain := html.UnescapeString(text[:end+1])
	r, size := utf8.DecodeRuneInString(plain)
	if size != len(plain) {
		return 0, -1
	}
	if again := text[end+1:]; r == '&' && (strings.HasPrefix(again, "#") || again != "" &&
		unicode.IsLetter(rune(again[0]))) {
		if k, r := entity("&" + again[:min(len(again), 40)]); r >= 0 {
			return end + k, r
		}
	}
	return end + 1, r
}

// number reads digits to a base, at most so many; k is how many there were.
func number(text string, base, most int) (v rune, k int) {
	for k < most && k < len(text) {
		d, err := strconv.ParseUint(text[k:k+1], base, 8)
		if err != nil {
			break
		}
		v, k = v*rune(base)+rune(d), k+1
	}
	return v, k
}

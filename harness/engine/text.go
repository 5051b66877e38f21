package engine

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"inferbench/harness/engine/ngram"
)

// The text of the specials, where specials are shown.
const (
	bosText = "<|bos|>"
	eosText = "<|eos|>"
)

// tokenize cuts a text into tokens: its bytes. A special's name in the text is
// that special, as with Hugging Face's tokenizers: lm-evaluation-harness asks
// for the id of <|bos|> in this way.
func tokenize(text string, bos bool) []int32 {
	ids := make([]int32, 0, len(text)+1)
	if bos {
		ids = append(ids, ngram.BOS)
	}
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '<':
		case strings.HasPrefix(text[i:], bosText):
			ids = append(ids, ngram.BOS)
			i += len(bosText) - 1
			continue
		case strings.HasPrefix(text[i:], eosText):
			ids = append(ids, ngram.EOS)
			i += len(eosText) - 1
			continue
		}
		ids = append(ids, int32(text[i]))
	}
	return ids
}

// detokenize returns the text of tokens. Bytes that are not UTF-8 become U+FFFD.
func detokenize[T int32 | uint16](tokens []T, specials bool) string {
	var b strings.Builder
	for _, t := range tokens {
		switch {
		case t < 256:
			b.WriteByte(byte(t))
		case !specials:
		case t == ngram.BOS:
			b.WriteString(bosText)
		default:
			b.WriteString(eosText)
		}
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// tokenText returns a token as the logprobs name it. A byte that is no character of
// its own is written as OpenAI's API wrote such tokens: bytes:\xe2.
func tokenText(t int32) string {
	switch {
	case t < utf8.RuneSelf:
		return string(rune(t))
	case t == ngram.BOS:
		return bosText
	case t == ngram.EOS:
		return eosText
	}
	return `bytes:\x` + strconv.FormatInt(int64(t), 16)
}

// quotedToken holds each token's name as a JSON string.
var quotedToken = func() (q [ngram.Vocab]string) {
	for t := range q {
		q[t] = string(appendJSON(nil, tokenText(int32(t))))
	}
	return q
}()

// escaped holds each ASCII byte as it stands within a JSON string.
var escaped = func() (e [utf8.RuneSelf]string) {
	for t := range e {
		q := appendJSON(nil, string(rune(t)))
		e[t] = string(q[1 : len(q)-1])
	}
	return e
}()

// appendJSON appends s as a JSON string.
func appendJSON(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s { // invalid bytes come out as U+FFFD
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r == '\r':
			b = append(b, '\\', 'r')
		case r == '\t':
			b = append(b, '\\', 't')
		case r < 0x20 || r == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	return append(b, '"')
}

// progress is how far a job has been written.
type progress struct {
	sent   int     // tokens of out that an event was written for
	shown  int     // tokens of out whose text was written
	closed bool    // the last event was written
	half   [4]byte // the beginning of a character that is not whole yet
	halves int
	text   []byte // all text so far, escaped, where every event repeats it
	began  bool   // something was written: an echo or a role comes before it
	chars  int    // characters that the logprobs have told the offsets of
}

// appendText appends what may be shown of j's text up to token to, escaped for a JSON
// string. Held back is what may turn out to be the beginning of a stop string,
// and the bytes of a character that is not whole; last lets go of them.
func (j *job) appendText(b []byte, to int, last bool) []byte {
	p := &j.form
	if last {
		to = j.keep
	} else {
		made := to
		for _, s := range j.how.stop {
			to = min(to, made+1-len(s))
		}
	}
	for ; p.shown < to; p.shown++ {
		t := j.out[p.shown]
		if t < utf8.RuneSelf && p.halves == 0 {
			b = append(b, escaped[t]...)
			continue
		}
		b = p.multibyte(b, t)
	}
	if last && p.halves > 0 {
		b, p.halves = append(b, "\uFFFD"...), 0
	}
	return b
}

// multibyte takes one more byte of a character of several.
func (p *progress) multibyte(b []byte, t uint16) []byte {
	if t >= 256 {
		return b // a special has no text
	}
	p.half[p.halves] = byte(t)
	p.halves++
	for p.halves > 0 && utf8.FullRune(p.half[:p.halves]) {
		r, n := utf8.DecodeRune(p.half[:p.halves])
		if r < utf8.RuneSelf {
			b = append(b, escaped[r]...)
		} else {
			b = utf8.AppendRune(b, r)
		}
		copy(p.half[:], p.half[n:p.halves])
		p.halves -= n
	}
	return b
}

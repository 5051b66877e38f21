package load

import (
	"math"

	"inferbench/harness/server"
	"inferbench/harness/stats"
)

// scanner walks JSON in place. It accepts only what encoding/json accepts; it
// gives up, by setting bad, on what that would refuse and also on what is
// merely unusual: escapes in a key, deep nesting, fractions in a token count.
type scanner struct {
	b   []byte
	i   int
	bad bool

	text area // the latest text that is not empty, with its quotes
}

// area is where something lies; to is 0 where it lies nowhere.
type area struct{ from, to int }

const maxDepth = 32

func (s *scanner) space() {
	for s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\n', '\r', '\t':
			s.i++
		default:
			return
		}
	}
}

// peek is the next byte that is not white space, 0 at the end.
func (s *scanner) peek() byte {
	if s.i < len(s.b) && s.b[s.i] > ' ' {
		return s.b[s.i]
	}
	s.space()
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// eat takes the byte c, which must be next.
func (s *scanner) eat(c byte) bool {
	if s.peek() != c {
		return false
	}
	s.i++
	return true
}

func (s *scanner) want(c byte) {
	if !s.eat(c) {
		s.bad = true
	}
}

// plainByte marks the bytes that a JSON string holds as they are, one byte each.
var plainByte = func() (t [256]bool) {
	for c := range t {
		t[c] = c >= ' ' && c != '"' && c != '\\'
	}
	return t
}()

// str takes a string: its bytes as written, and whether it has an escape.
func (s *scanner) str() (v []byte, escaped bool) {
	if !s.eat('"') {
		s.bad = true
		return nil, false
	}
	b, i := s.b, s.i
	for i < len(b) {
		c := b[i]
		if plainByte[c] {
			i++
			continue
		}
		switch c {
		case '"':
			v, s.i = b[s.i:i], i+1
			return v, escaped
		case '\\':
			escaped = true
			n := escapeLen(b[i:])
			if n == 0 {
				s.bad = true
				return nil, false
			}
			i += n
		default:
			s.bad = true
			return nil, false
		}
	}
	s.bad = true
	return nil, false
}

// escapeLen is the length of the escape that b begins with, 0 for none.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// key takes a key and its colon; ok is false at the object's end.
func (s *scanner) key(first bool) (k []byte, ok bool) {
	if s.bad {
		return nil, false
	}
	if s.eat('}') {
		return nil, false
	}
	if !first {
		s.want(',')
	}
	k, escaped := s.str()
	if escaped {
		s.bad = true // could spell any key
	}
	s.want(':')
	return k, !s.bad
}

// keys takes an object, and yields each key where its value is next.
func (s *scanner) keys(yield func(k []byte) bool) {
	s.want('{')
	for first := true; ; first = false {
		k, ok := s.key(first)
		if !ok || !yield(k) {
			return
		}
	}
}

func (s *scanner) literal(word string) {
	if len(s.b)-s.i < len(word) || string(s.b[s.i:s.i+len(word)]) != word {
		s.bad = true
		return
	}
	s.i += len(word)
}

// null takes a null, if that is next.
func (s *scanner) null() bool {
	if s.peek() != 'n' {
		return false
	}
	s.literal("null")
	return true
}

// number takes a number, by JSON's grammar.
func (s *scanner) number() {
	digits := func() bool {
		from := s.i
		for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
			s.i++
		}
		return s.i > from
	}
	at := func(cs string) bool {
		for _, c := range []byte(cs) {
			if s.i < len(s.b) && s.b[s.i] == c {
				s.i++
				return true
			}
		}
		return false
	}
	at("-")
	if !at("0") && !digits() {
		s.bad = true
	}
	if at(".") && !digits() {
		s.bad = true
	}
	if at("eE") {
		at("+-")
		if !digits() {
			s.bad = true
		}
	}
}

// skip takes any value; full reports whether it is something: not null, "",
// [] or {}.
func (s *scanner) skip(depth int) (full bool) {
	if depth > maxDepth {
		s.bad = true
	}
	if s.bad {
		return false
	}
	switch c := s.peek(); c {
	case '"':
		v, _ := s.str()
		return len(v) > 0
	case '{':
		n := 0
		for range s.keys {
			s.skip(depth + 1)
			n++
		}
		return n > 0
	case '[':
		s.i++
		for n := 0; ; n++ {
			if s.eat(']') {
				return n > 0
			}
			if n > 0 {
				s.want(',')
			}
			if s.skip(depth + 1); s.bad {
				return false
			}
		}
	case 'n':
		s.literal("null")
		return false
	case 't':
		s.literal("true")
	case 'f':
		s.literal("false")
	default:
		s.number()
	}
	return true
}

// count takes a token count; false where it is null.
func (s *scanner) count() (n int, is bool) {
	if s.null() {
		return 0, false
	}
	s.peek()
	from := s.i
	for s.i < len(s.b) && '0' <= s.b[s.i] && s.b[s.i] <= '9' {
		n = n*10 + int(s.b[s.i]-'0')
		s.i++
		if n > math.MaxInt32 {
			s.bad = true
			return 0, false
		}
	}
	switch {
	case s.i == from, s.b[from] == '0' && s.i > from+1:
		s.bad = true
	case s.i < len(s.b) && (s.b[s.i] == '.' || s.b[s.i] == 'e' || s.b[s.i] == 'E'):
		s.bad = true
	}
	return n, true
}

// chunk takes an event's data.
func (s *scanner) chunk(c *chunk) {
	var failed, object, kind, known bool
	var tiers *stats.Tiers
	for k := range s.keys {
		switch string(k) {
		case "choices":
			if c.choice {
				*c = chunk{usage: c.usage}
			}
			known = true
			s.choices(c)
		case "usage":
			c.usage, known = used{}, true
			s.usage(&c.usage)
		case "error":
			s.peek()
			from := s.i
			s.skip(0)
			failed = !s.bad && server.SaysError(s.b[from:s.i])
		case "sglext":
			tiers = s.tiers()
		case "object":
			object = s.isError()
		case "type":
			kind = s.isError()
		case "timings":
			s.bad = s.skip(0) || s.bad // perhaps llama.cpp's
		default:
			s.skip(0)
		}
	}
	c.usage.tiers = tiers
	c.failed = failed || object || kind
	s.bad = s.bad || !known && !c.failed // it may be an error in other words
	s.space()
}

// isError takes a value and reports whether it is the text "error".
func (s *scanner) isError() bool {
	if s.peek() != '"' {
		s.skip(0)
		return false
	}
	v, escaped := s.str()
	return string(v) == "error" && !escaped
}

func (s *scanner) choices(c *chunk) {
	if s.null() {
		return
	}
	s.want('[')
	for n := 0; !s.bad; n++ {
		if s.eat(']') {
			return
		}
		if n > 0 {
			s.want(',')
			s.skip(0)
			continue
		}
		c.choice = true
		s.firstChoice(c)
	}
}

func (s *scanner) firstChoice(c *chunk) {
	var text, said bool
	var seen uint
	for k := range s.keys {
		switch string(k) {
		case "index", "logprobs", "stop_reason", "matched_stop", "token_ids":
			s.skip(0)
		case "finish_reason":
			c.finish = s.finish()
		case "delta":
			c.chat, c.role, said = false, false, false
			if !s.null() {
				c.chat = true
				said = s.delta(c)
			}
		default:
			text = s.mayBeText(k, &seen) || text
		}
	}
	c.text = text || said
}

// finish takes a finish_reason.
func (s *scanner) finish() finish {
	if s.null() {
		return goingOn
	}
	if s.peek() != '"' {
		s.bad = true
		return goingOn
	}
	v, escaped := s.str()
	s.bad = s.bad || escaped
	switch string(v) {
	case "":
		return goingOn
	case "length":
		return atLength
	case "stop":
		return ended
	}
	return finishOf(string(v))
}

func (s *scanner) delta(c *chunk) (text bool) {
	var seen uint
	for k := range s.keys {
		if string(k) == "role" {
			c.role = s.skip(0)
			continue
		}
		text = s.mayBeText(k, &seen) || text
	}
	return text
}

// mayBeText takes a value and reports whether it is text. Of a key that is repeated
// the last counts: that is left to encoding/json.
func (s *scanner) mayBeText(key []byte, seen *uint) bool {
	s.peek()
	from := s.i
	full := s.skip(0)
	bit := textKey(string(key))
	if full && bit != 0 && !s.bad && s.b[from] == '"' {
		s.text = area{from, s.i}
	}
	s.bad = s.bad || *seen&bit != 0
	*seen |= bit
	return full && bit != 0
}

func (s *scanner) usage(u *used) {
	if s.null() {
		return
	}
	for k := range s.keys {
		switch string(k) {
		case "prompt_tokens":
			u.input, u.hasInput = s.count()
		case "completion_tokens":
			u.output, u.hasOutput = s.count()
		case "prompt_tokens_details":
			s.details(u)
		case "prompt_cache_hit_tokens", "cached_tokens":
			s.bad = true // see cachedKeys
		default:
			s.skip(0)
		}
	}
}

// details reads where the prompt's tokens came from.
func (s *scanner) details(u *used) {
	u.cached, u.hasCached = 0, false
	if s.null() {
		return
	}
	for k := range s.keys {
		if string(k) == "cached_tokens" {
			u.cached, u.hasCached = s.count()
		} else {
			s.skip(0)
		}
	}
}

// tiers reads SGLang's extension of an answer: see [slowTiers], to which what is odd
// in it is left.
func (s *scanner) tiers() (t *stats.Tiers) {
	if s.null() {
		return nil
	}
	for k := range s.keys {
		if string(k) == "cached_tokens_details" {
			t = s.tierCounts()
		} else {
			s.skip(0)
		}
	}
	return t
}

func (s *scanner) tierCounts() *stats.Tiers {
	if s.null() {
		return nil
	}
	var n [3]int
	var told [3]bool
	for k := range s.keys {
		switch string(k) {
		case "device":
			n[0], told[0] = s.count()
		case "host":
			n[1], told[1] = s.count()
		case "storage":
			n[2], told[2] = s.count()
		default:
			s.skip(0)
		}
	}
	if told == ([3]bool{}) || s.bad {
		return nil
	}
	return &stats.Tiers{Device: n[0], Host: n[1], Storage: n[2]}
}

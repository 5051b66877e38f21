package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"

	"inferbench/harness/server"
	"inferbench/harness/stats"
)

// chunk is what matters of one event of a completions or chat stream.
type chunk struct {
	choice bool   // it has a first choice
	text   bool   // whose text, content, reasoning or tool call is not empty: see textKey
	chat   bool   // which has a delta: the chat endpoint's form
	role   bool   // which names a role
	finish finish // how it ends, if it does
	usage  used
	failed bool // it is an error, or holds one
}

// used is the server's count of tokens. A count that is absent, or null, is no
// count: it is not zero.
type used struct {
	input, output       int // so far, where events before the last have a usage too
	hasInput, hasOutput bool
	cached              int // of input, taken from the prefix cache
	hasCached           bool
	tiers               *stats.Tiers // where that was; nil where it is not said
}

// finish is what a finish_reason says of an answer.
type finish uint8

const (
	goingOn  finish = iota // nothing: it is absent, null, empty, or one of these as a word
	ended                  // it is whole
	atLength               // it is whole: max_tokens was reached
	cutOff                 // it is not whole: the server gave it up
)

// textKey tells the fields of a choice, or of its delta, that hold what tokens
// spell: one that is not empty came with a token. It is a bit for each, 0 for a
// field that is none of them. What comes under another name may hold text, too:
// then the server's count says so.
func textKey(key string) uint {
	switch key {
	case "text":
		return 1
	case "content":
		return 2
	case "reasoning":
		return 4
	case "reasoning_content":
		return 8
	case "reasoning_details":
		return 16
	case "thinking":
		return 32
	case "refusal":
		return 64
	case "tool_calls":
		return 128
	case "function_call":
		return 256
	}
	return 0
}

// isErrorKey reports whether an event that has this field, and neither choices
// nor a usage, is an error: FastAPI's detail, gRPC's and OpenAPI's code and
// message, and the like.
func isErrorKey(key string) bool {
	switch key {
	case "detail", "message", "code", "errors", "error_message", "error_msg", "error_code", "status_code", "msg":
		return true
	}
	return false
}

// finishOf tells what a finish_reason means. Servers agree on few of the words.
func finishOf(reason string) finish {
	switch reason {
	case "":
		return goingOn
	case "stop", "tool_calls", "function_call", "eos_token", "stop_sequence":
		return ended
	case "length", "max_tokens":
		return atLength
	}
	switch strings.ToLower(reason) {
	case "null", "none":
		return goingOn
	case "length", "max_tokens", "max_length", "max_new_tokens":
		return atLength
	}
	if server.GaveUp(reason) {
		return cutOff
	}
	return ended
}

var errNotJSON = errors.New("an event is not the JSON of a completion")

// parseChunk reads an event's data. It walks the JSON once, in place, and
// allocates nothing; whatever is out of the ordinary it leaves to
// encoding/json, which settles what is right.
func parseChunk(data []byte) (chunk, error) {
	c, _, err := findText(data)
	return c, err
}

// findText is [parseChunk], and where in data the text lies; nowhere where it is
// not of one piece, or was left to encoding/json.
func findText(data []byte) (c chunk, text area, err error) {
	s := scanner{b: data}
	if s.chunk(&c); s.bad || s.i != len(s.b) {
		c, err = slowChunk(data)
		return c, area{}, err
	}
	return c, s.text, nil
}

// slowChunk is parseChunk by encoding/json. Keys match exactly; of a repeated
// key the last counts.
func slowChunk(data []byte) (chunk, error) {
	var c chunk
	top, err := object(data)
	if err != nil {
		return c, err
	}
	for _, k := range []string{"object", "type"} {
		c.failed = c.failed || string(top[k]) == `"error"`
	}
	c.failed = c.failed || server.SaysError(top["error"])
	if v, ok := top["choices"]; ok {
		if err := slowChoices(v, &c); err != nil {
			return c, err
		}
	}
	if v, ok := top["usage"]; ok && server.Filled(v) {
		if c.usage, err = slowUsage(v); err != nil {
			return c, err
		}
	}
	if v, ok := top["sglext"]; ok {
		c.usage.tiers = slowTiers(v)
	}
	if !c.usage.hasCached { // llama.cpp's
		c.usage.cached, c.usage.hasCached = cachedTokens(top["timings"], "cache_n")
	}
	_, choices := top["choices"]
	_, usage := top["usage"]
	for k := range top {
		c.failed = c.failed || isErrorKey(k) && !choices && !usage && server.SaysError(top[k])
	}
	return c, nil
}

func slowChoices(v json.RawMessage, c *chunk) error {
	var list []json.RawMessage
	if !isNull(v) && json.Unmarshal(v, &list) != nil {
		return errNotJSON
	}
	if len(list) == 0 {
		return nil
	}
	c.choice = true
	choice, err := object(list[0])
	if err != nil {
		return err
	}
	for k, v := range choice {
		c.text = c.text || textKey(k) != 0 && server.Filled(v)
	}
	if r, ok := choice["finish_reason"]; ok {
		c.finish = finishOf(finishWord(r))
	}
	if d, ok := choice["delta"]; ok && !isNull(d) {
		c.chat = true
		delta, err := object(d)
		if err != nil {
			return err
		}
		for k, v := range delta {
			c.text = c.text || textKey(k) != 0 && server.Filled(v)
		}
		c.role = server.Filled(delta["role"])
	}
	return nil
}

func slowUsage(v json.RawMessage) (u used, err error) {
	fields, err := object(v)
	if err != nil {
		return u, fmt.Errorf("%w: usage is %.40s", errCount, v)
	}
	if u.input, u.hasInput, err = count(fields, "prompt_tokens"); err != nil {
		return u, err
	}
	if u.output, u.hasOutput, err = count(fields, "completion_tokens"); err != nil {
		return u, err
	}
	u.cached, u.hasCached = cachedTokens(fields["prompt_tokens_details"], "cached_tokens")
	if !u.hasCached {
		u.cached, u.hasCached = cachedTokens(v, cachedKeys...)
	}
	return u, nil
}

// slowTiers reads SGLang's extension of an answer: by which tiers of the prefix cache
// its prompt was found. What is odd there says nothing, and spoils nothing else.
func slowTiers(v json.RawMessage) *stats.Tiers {
	ext, err := object(v)
	if err != nil {
		return nil
	}
	details, err := object(ext["cached_tokens_details"])
	if err != nil {
		return nil
	}
	var tiers stats.Tiers
	told := false
	for key, into := range map[string]*int{"device": &tiers.Device, "host": &tiers.Host, "storage": &tiers.Storage} {
		n, is, err := count(details, key)
		if err != nil {
			return nil
		}
		*into, told = n, told || is
	}
	if !told {
		return nil
	}
	return &tiers
}

// cachedKeys are what servers call the cached tokens in the usage itself:
// DeepSeek's name, and Moonshot's.
var cachedKeys = []string{"prompt_cache_hit_tokens", "cached_tokens"}

// cachedTokens is the count under the first of the given keys of v that has one.
// What is odd there says nothing, and spoils nothing else.
func cachedTokens(v json.RawMessage, keys ...string) (n int, told bool) {
	fields, err := object(v)
	if err != nil {
		return 0, false
	}
	for _, key := range keys {
		if n, told, err = count(fields, key); err == nil && told {
			return n, true
		}
	}
	return 0, false
}

// finishWord is the word of a finish_reason: a text, or the type of an object,
// as SGLang's own interface has it. Whatever else is there ends an answer too,
// but for null and false.
func finishWord(v json.RawMessage) string {
	var word string
	var object struct{ Type string }
	switch {
	case json.Unmarshal(v, &word) == nil:
		return word // empty for null
	case json.Unmarshal(v, &object) == nil:
		return object.Type
	case string(v) == "false":
		return ""
	}
	return string(v)
}

// finishReason is the word with which an event ends an answer.
func finishReason(data []byte) string {
	var e struct {
		Choices []struct {
			FinishReason json.RawMessage `json:"finish_reason"`
		}
	}
	if json.Unmarshal(data, &e) != nil || len(e.Choices) == 0 {
		return ""
	}
	return finishWord(e.Choices[0].FinishReason)
}

func object(data []byte) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil || m == nil {
		return nil, errNotJSON
	}
	return m, nil
}

func isNull(v []byte) bool { return string(bytes.TrimSpace(v)) == "null" }

var errCount = errors.New("a token count in usage is not a whole number from 0 to 2147483647")

// count reads a token count among an object's fields; false where it is absent or
// null.
func count(fields map[string]json.RawMessage, key string) (n int, is bool, err error) {
	v := fields[key]
	if len(v) == 0 || isNull(v) {
		return 0, false, nil
	}
	var f float64
	if json.Unmarshal(v, &f) != nil || f < 0 || f > math.MaxInt32 || f != math.Trunc(f) {
		return 0, false, fmt.Errorf("%w: %s is %.40s", errCount, key, v)
	}
	return int(f), true, nil
}

package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
)

// chunk is what matters of one event of a completions or chat stream.
type chunk struct {
	choice   bool // it has a first choice
	text     bool // whose text, content, reasoning or tool call is not empty
	chat     bool // which has a delta: the chat endpoint's form
	finished bool // and a finish_reason
	length   bool // which is that max_tokens was reached

	usage         bool // it counts the answer's tokens
	input, output int  // tokens, of usage
	failed        bool // it has an error, or says that it is one
}

var errNotJSON = errors.New("an event is not the JSON of a completion")

// parseChunk reads an event's data. It walks the JSON once, in place, and
// allocates nothing; whatever is out of the ordinary it leaves to
// encoding/json, which settles what is right.
func parseChunk(data []byte) (chunk, error) {
	var c chunk
	s := scanner{b: data}
	if s.chunk(&c); s.bad || s.i != len(s.b) {
		return slowChunk(data)
	}
	return c, nil
}

// slowChunk is parseChunk by encoding/json. Keys match exactly; of a repeated
// key the last counts.
func slowChunk(data []byte) (chunk, error) {
	var c chunk
	top, err := object(data)
	if err != nil {
		return c, err
	}
	if v, ok := top["error"]; ok && !isNull(v) {
		c.failed = true
	}
	if v, ok := top["object"]; ok && string(v) == `"error"` {
		c.failed = true
	}
	if v, ok := top["choices"]; ok && !isNull(v) {
		var list []json.RawMessage
		if json.Unmarshal(v, &list) != nil {
			return c, errNotJSON
		}
		if len(list) > 0 {
			c.choice = true
			choice, err := object(list[0])
			if err != nil {
				return c, err
			}
			c.text = filled(choice["text"])
			if r, ok := choice["finish_reason"]; ok && !isNull(r) {
				c.finished = true
				c.length = string(bytes.TrimSpace(r)) == `"length"`
			}
			if d, ok := choice["delta"]; ok && !isNull(d) {
				c.chat = true
				delta, err := object(d)
				if err != nil {
					return c, err
				}
				for _, k := range []string{"content", "reasoning_content", "reasoning", "tool_calls"} {
					c.text = c.text || filled(delta[k])
				}
			}
		}
	}
	if v, ok := top["usage"]; ok && !isNull(v) {
		usage, err := object(v)
		if err != nil {
			return c, err
		}
		c.usage = filled(usage["completion_tokens"])
		if c.input, err = count(usage["prompt_tokens"]); err != nil {
			return c, err
		}
		if c.output, err = count(usage["completion_tokens"]); err != nil {
			return c, err
		}
	}
	return c, nil
}

func object(data []byte) (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(data, &m); err != nil || m == nil {
		return nil, errNotJSON
	}
	return m, nil
}

func isNull(v []byte) bool { return string(bytes.TrimSpace(v)) == "null" }

// filled reports whether a value is something: not absent, null, "", [] or {}.
func filled(v []byte) bool {
	switch v = bytes.TrimSpace(v); string(v) {
	case "", "null", `""`:
		return false
	}
	if v[0] == '[' || v[0] == '{' {
		return len(bytes.TrimSpace(v[1:len(v)-1])) > 0
	}
	return true
}

var errCount = errors.New("a token count in usage is not a whole number from 0 to 2147483647")

// count reads a token count; absent or null counts as zero.
func count(v []byte) (int, error) {
	if len(v) == 0 || isNull(v) {
		return 0, nil
	}
	var f float64
	if json.Unmarshal(v, &f) != nil || f < 0 || f > math.MaxInt32 || f != math.Trunc(f) {
		return 0, errCount
	}
	return int(f), nil
}

package engine

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// maxBody bounds a request: 256K token ids take about a megabyte.
const maxBody = 64 << 20

// readBody reads a request's JSON into out. The id arrays under the given keys
// are taken out of it first and parsed by hand: encoding/json takes ten times
// as long, which for a prompt of 128K ids would be longer than the prompt's
// prefill. A value under such a key that is not a plain array of small numbers
// stays where it is, for out to take or refuse.
func readBody(r *http.Request, out any, keys ...string) (ids []int32, apiErr *apiError) {
	var buf bytes.Buffer
	if r.ContentLength > 0 && r.ContentLength < maxBody {
		buf.Grow(int(r.ContentLength) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(http.MaxBytesReader(nil, r.Body, maxBody)); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return nil, &apiError{http.StatusRequestEntityTooLarge, "BadRequestError", "the request is longer than 64 MiB", ""}
		}
		return nil, badRequest("", "read the request: %v", err)
	}
	body := buf.Bytes()
	for _, key := range keys {
		if rest, found, ok := cutIDs(body, key); ok {
			body, ids = rest, found
			break
		}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(out); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return nil, badRequest(wrong.Field, "%s: a %s cannot be there", wrong.Field, wrong.Value)
		}
		return nil, badRequest("body", "the request is not valid JSON: %v", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, badRequest("body", "the request is not valid JSON: more follows its end")
	}
	return ids, nil
}

// cutIDs finds "key": [1, 2, …] at the top level of the JSON object body, and
// returns the numbers, and body with null in their place.
func cutIDs(body []byte, key string) (rest []byte, ids []int32, ok bool) {
	depth := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			start := i + 1
			for i++; i < len(body) && body[i] != '"'; i++ {
				if body[i] == '\\' {
					i++
				}
			}
			if depth != 1 || i >= len(body) || string(body[start:i]) != key {
				continue
			}
			at := skipSpace(body, i+1)
			if at >= len(body) || body[at] != ':' {
				continue // a value that happens to read like the key
			}
			at = skipSpace(body, at+1)
			ids, end, ok := parseIDs(body, at)
			if !ok {
				return body, nil, false
			}
			rest = append(body[:at:at], "null"...)
			return append(rest, body[end:]...), ids, true
		}
	}
	return body, nil, false
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// parseIDs parses [1, 2, …], at least one number, each of at most nine digits,
// and returns where it ends.
func parseIDs(b []byte, i int) (ids []int32, end int, ok bool) {
	if i >= len(b) || b[i] != '[' {
		return nil, 0, false
	}
	ids = make([]int32, 0, min((len(b)-i)/3+1, 1<<20))
	for {
		i = skipSpace(b, i+1)
		start, v := i, int32(0)
		for i < len(b) && b[i]-'0' <= 9 && i-start < 9 {
			v = v*10 + int32(b[i]-'0')
			i++
		}
		if i == start || b[start] == '0' && i > start+1 {
			return nil, 0, false
		}
		ids = append(ids, v)
		i = skipSpace(b, i)
		switch {
		case i >= len(b):
			return nil, 0, false
		case b[i] == ']':
			return ids, i + 1, true
		case b[i] != ',':
			return nil, 0, false
		}
	}
}

// words is a JSON string or a list of them.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*w = nil
		if string(b) != "null" {
			*w = words{one}
		}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(w))
}

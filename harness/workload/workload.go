// Package workload is what is sent: the prompts of a run, and how long each
// answer shall be. It is seeded and lazy: request i follows from the seed and
// i alone, so that the same seed sends the same prompts on every machine, in
// whatever order they are asked for, and nothing large is kept.
package workload

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Request is one prompt and the length of its answer.
type Request struct {
	Index     int
	Tokens    []int32         // the prompt as token ids, or
	Text      string          // the prompt as text, or
	Messages  json.RawMessage // the prompt as a chat's list of messages
	TextLen   int             // tokens of Text by the server's own tokenizer; 0 where they were not counted
	OutputLen int             // tokens to generate
	At        time.Duration   // when to send it, from the start; only where a trace says
	Canary    *Canary         // its answer is compared; nil for all but a few

	Extra map[string]json.RawMessage // keys of the body, beside and in place of those that all requests have
}

// MayStop reports whether a request's own keys let its answer end before OutputLen.
func (r Request) MayStop() bool {
	for _, k := range []string{"ignore_eos", "stop", "stop_token_ids"} {
		if v, ok := r.Extra[k]; ok && string(bytes.TrimSpace(v)) != "true" {
			return true
		}
	}
	return false
}

// InputTokens is how many tokens the prompt has; 0 where that is not known.
func (r Request) InputTokens() int {
	if r.Tokens != nil {
		return len(r.Tokens)
	}
	return r.TextLen
}

// ownKeys are the keys of a request's body that follow from the request, or that
// the timing of its tokens depends on: nobody else may set them. Of a server that
// refuses them, the droppable ones may be left out.
var (
	ownKeys   = []string{"model", "prompt", "messages", "stream", "max_tokens", "stream_options"}
	droppable = []string{"max_tokens", "stream_options"}
)

// CheckExtraBody is an error where keys that are to go into every request's body
// are among those that the client sets itself.
func CheckExtraBody(extra map[string]json.RawMessage) error {
	for _, k := range ownKeys {
		v, ok := extra[k]
		switch {
		case !ok, LeavesOut(v) && slices.Contains(droppable, k):
		case slices.Contains(droppable, k):
			return fmt.Errorf("%q is the client's own: it can be left out (null), not set", k)
		default:
			return fmt.Errorf("%q is the client's own (of %s)", k, strings.Join(ownKeys, ", "))
		}
	}
	return nil
}

// LeavesOut reports whether a value in an extra body, null, leaves its key out.
func LeavesOut(v json.RawMessage) bool { return string(bytes.TrimSpace(v)) == "null" }

// Endless is the length of a source that does not end: the run must be bound
// by its duration.
const Endless = math.MaxInt32

// Source gives the requests of a run. Request may be called at once from
// several goroutines.
type Source interface {
	// Len is the number of requests of the measured run.
	Len() int

	// Request is request i. A negative i asks for a prompt to warm up with:
	// -1, -2, … are prompts of the same kind that are not among the measured
	// ones, where the source has such.
	Request(i int) (Request, error)
}

// Checker is a [Source] that can tell beforehand that it makes no requests. A
// source that wraps another passes this on: see [Check].
type Checker interface{ Check() error }

// Check says what is wrong with a source, where it can tell.
func Check(src Source) error {
	if c, ok := src.(Checker); ok {
		return c.Check()
	}
	return nil
}

// Reuser is a [Source] that can write a prompt's token ids into tokens[:0]: a
// caller who is through with a prompt before the next one saves memory. A source
// that wraps another passes this on: see [RequestInto].
type Reuser interface {
	RequestInto(tokens []int32, i int) (Request, error)
}

// RequestInto is request i of src, its ids in tokens[:0] where src is a [Reuser]
// and they fit.
func RequestInto(src Source, tokens []int32, i int) (Request, error) {
	if r, ok := src.(Reuser); ok {
		return r.RequestInto(tokens, i)
	}
	return src.Request(i)
}

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"
)

// Scoring a text brings a hundred megabytes of JSON of which a tenth is wanted,
// so answers with log-probabilities are not decoded but picked from. What is
// picked is counted and checked number by number.

// logprob reads a number; null is NaN, since JSON itself has no NaN. A literal
// NaN or Infinity, which Python's json writes all the same, is an error.
func logprob(v gjson.Result) (float64, error) {
	switch v.Type {
	case gjson.Null:
		if v.Raw == "null" {
			return math.NaN(), nil
		}
	case gjson.Number:
		lp, err := strconv.ParseFloat(v.Raw, 64)
		if err == nil && (math.IsNaN(lp) || math.IsInf(lp, 0)) {
			return 0, ErrNotFinite
		}
		if err == nil {
			return lp, nil
		}
	}
	return 0, fmt.Errorf("%w: %q is no number", ErrNoPromptLogprobs, oneLine(v.Raw))
}

// logprobs reads a list of numbers. Room is made for n, as many as there should be.
func logprobs(list gjson.Result, n int) (out []float64, err error) {
	out = make([]float64, 0, n)
	list.ForEach(func(_, v gjson.Result) bool {
		var lp float64
		if lp, err = logprob(v); err != nil {
			err = fmt.Errorf("token %d: %w", len(out), err)
			return false
		}
		out = append(out, lp)
		return true
	})
	return out, err
}

// echo scores by OpenAI's legacy completions: the prompt's own tokens come back
// with their log-probabilities, then those generated. The body is what
// lm-evaluation-harness's local-completions sends, for one prompt.
func (s *Scorer) echo(ctx context.Context, tokens []int32, from int, best bool) ([]Scored, error) {
	var b json.RawMessage
	err := s.t.PostRetry(ctx, s.retry, "/v1/completions", map[string]any{
		"model": s.t.ModelSent(), "prompt": tokens, "max_tokens": s.maxTokens, "temperature": 0,
		"logprobs": 1, "echo": true, "seed": 1234,
	}, &b)
	if err != nil {
		return nil, err
	}
	return s.echoed(b, tokens, from, best)
}

// echoed reads the answer of a completion that was asked to echo its prompt.
func (s *Scorer) echoed(b []byte, tokens []int32, from int, best bool) ([]Scored, error) {
	answer := gjson.GetBytes(b, "choices.0.logprobs")
	lps, err := completionLogprobs(answer, len(tokens)+1)
	if err != nil {
		return nil, err
	}
	generated := s.maxTokens
	if len(lps) != len(tokens)+generated { // a server may generate other than it was asked to, if it says so
		if n := gjson.GetBytes(b, "usage.completion_tokens"); n.Type == gjson.Number {
			generated = int(n.Int())
		}
	}
	if generated < 0 || len(lps) != len(tokens)+generated {
		return nil, fmt.Errorf("%w: %d values for %d prompt tokens and %d generated", ErrNoPromptLogprobs, len(lps),
			len(tokens), generated)
	}
	scored := make([]Scored, 0, len(tokens)-from)
	for _, lp := range lps[from:len(tokens)] {
		scored = append(scored, Scored{Logprob: lp, Best: lp})
	}
	if best {
		err = addBest(scored, answer.Get("top_logprobs"), from, len(lps))
	}
	return scored, err
}

// completionLogprobs reads a completion's logprobs object: OpenAI's legacy
// shape, or the chat shape under "content", which llama.cpp uses here too.
func completionLogprobs(answer gjson.Result, n int) ([]float64, error) {
	if list := answer.Get("token_logprobs"); list.IsArray() {
		return logprobs(list, n)
	}
	if list := answer.Get("content.#.logprob"); list.IsArray() {
		return logprobs(list, n)
	}
	return nil, ErrNoPromptLogprobs
}

// addBest fills in the likeliest tokens' log-probabilities from top_logprobs,
// an object from token to log-probability for each of n tokens, the first
// perhaps null. vLLM puts the token itself there too, so the largest is meant.
func addBest(scored []Scored, top gjson.Result, from, n int) (err error) {
	i := 0
	top.ForEach(func(_, alternatives gjson.Result) bool {
		if at := i - from; at >= 0 && at < len(scored) {
			alternatives.ForEach(func(_, v gjson.Result) bool {
				var lp float64
				if lp, err = logprob(v); err == nil {
					scored[at].Best = max(scored[at].Best, lp)
				}
				return err == nil
			})
		}
		i++
		return err == nil
	})
	if err == nil && i != n {
		err = fmt.Errorf("%w: top_logprobs has %d entries for %d tokens", ErrNoPromptLogprobs, i, n)
	}
	return err
}

var errNoID = errors.New("not a token id")

func tokenID(v gjson.Result) (int32, error) {
	id, err := strconv.ParseInt(v.Raw, 10, 32)
	if v.Type != gjson.Number || err != nil || id < 0 {
		return 0, fmt.Errorf("%w: %s", errNoID, oneLine(v.Raw))
	}
	return int32(id), nil
}

// tokenIDs reads a list of token ids.
func tokenIDs(list gjson.Result) (out []int32, err error) {
	if !list.IsArray() {
		return nil, fmt.Errorf("%w: there is no list", errNoID)
	}
	out, plain := plainIDs(list.Raw)
	if plain {
		return out, nil
	}
	out = out[:0]
	list.ForEach(func(_, v gjson.Result) bool {
		var id int32
		if id, err = tokenID(v); err != nil {
			err = fmt.Errorf("token %d: %w", len(out), err)
			return false
		}
		out = append(out, id)
		return true
	})
	return out, err
}

// plainIDs reads a list of whole numbers as long prompts have them, a hundred thousand
// say; false where it is any other list.
func plainIDs(raw string) (out []int32, plain bool) {
	out = make([]int32, 0, len(raw)/4)
	for i := 1; i < len(raw); i++ {
		for raw[i] == ' ' && i+1 < len(raw) {
			i++
		}
		from, n := i, 0
		for ; i < len(raw) && '0' <= raw[i] && raw[i] <= '9' && i-from < 9; i++ {
			n = 10*n + int(raw[i]-'0')
		}
		if i == from || i == len(raw) || raw[from] == '0' && i > from+1 {
			return out, false
		}
		out = append(out, int32(n))
		switch raw[i] {
		case ',':
		case ']':
			return out, i == len(raw)-1
		default:
			return out, false
		}
	}
	return out, false
}

// Absent reports whether an error says that there is no such endpoint.
func Absent(err error) bool {
	return hasStatus(err, http.StatusNotFound) || hasStatus(err, http.StatusMethodNotAllowed) ||
		hasStatus(err, http.StatusNotImplemented)
}

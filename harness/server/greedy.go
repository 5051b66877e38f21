package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// ErrNoTokenIDs: the server does not say which tokens it generated, so that
// they cannot be scored again.
var ErrNoTokenIDs = errors.New("the server does not give the ids of the tokens it generates")

// Continuation is what a server generated, token by token.
type Continuation struct {
	IDs      []int32
	Logprobs []float64 // natural, as the decode steps gave them; of the same length
}

// Greedy asks for n tokens after a prompt at temperature 0, with their ids and
// their log-probabilities, over the same endpoint that s scores with. The
// text's end does not stop it.
func (s *Scorer) Greedy(ctx context.Context, prompt []int32, n int) (*Continuation, error) {
	c, err := s.way.greedy(s, ctx, prompt, n)
	switch {
	case err != nil:
	case len(c.IDs) != n:
		err = fmt.Errorf("%d tokens came of %d asked for", len(c.IDs), n)
	default:
		for i, lp := range c.Logprobs {
			if err = checkLogprob(lp); err != nil {
				err = fmt.Errorf("token %d: %w", i, err)
				break
			}
		}
	}
	if err != nil {
		return nil, s.t.gate(fmt.Errorf("generate %d tokens at %s%s: %w", n, s.t.BaseURL, s.Path, nameRefusal(err)))
	}
	return c, nil
}

func (s *Scorer) greedyCompletion(ctx context.Context, prompt []int32, n int) (*Continuation, error) {
	var b json.RawMessage
	body := map[string]any{
		"model": s.t.ModelSent(), "prompt": prompt, "max_tokens": n, "temperature": 0, "logprobs": 1, "ignore_eos": true,
		"return_token_ids": true, "return_tokens_as_token_ids": true, // vLLM's two ways; others take no notice
	}
	maps.Copy(body, s.sampling)
	err := s.t.PostRetry(ctx, s.retry, "/v1/completions", body, &b)
	if err != nil {
		return nil, err
	}
	choice := gjson.GetBytes(b, "choices.0")
	c := new(Continuation)
	if c.Logprobs, err = completionLogprobs(choice.Get("logprobs"), n); err != nil {
		return nil, fmt.Errorf("the answer has no log-probabilities: %w", err)
	}
	if c.IDs, err = generatedIDs(choice); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoTokenIDs, err)
	}
	if len(c.IDs) != len(c.Logprobs) {
		return nil, fmt.Errorf("%w: %d ids beside %d log-probabilities", ErrNoTokenIDs, len(c.IDs), len(c.Logprobs))
	}
	return c, nil
}

// generatedIDs finds the generated tokens' ids: vLLM's token_ids, its names of
// the form token_id:17, or llama.cpp's id beside each log-probability.
func generatedIDs(choice gjson.Result) ([]int32, error) {
	if list := choice.Get("token_ids"); list.IsArray() {
		return tokenIDs(list)
	}
	if list := choice.Get("logprobs.content.#.id"); list.IsArray() {
		return tokenIDs(list)
	}
	var ids []int32
	for _, name := range choice.Get("logprobs.tokens").Array() {
		digits, ok := strings.CutPrefix(name.String(), "token_id:")
		id, err := strconv.ParseInt(digits, 10, 32)
		if !ok || err != nil {
			return nil, fmt.Errorf("%q names no id", oneLine(name.String()))
		}
		ids = append(ids, int32(id))
	}
	return ids, nil
}

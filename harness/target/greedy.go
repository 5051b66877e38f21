package target

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
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
	ask := s.greedyCompletion
	if s.Path == "/generate" {
		ask = s.greedyGenerate
	}
	c, err := ask(ctx, prompt, n)
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
		return nil, fmt.Errorf("generate %d tokens at %s%s: %w", n, s.t.BaseURL, s.Path, nameRefusal(err))
	}
	return c, nil
}

func (s *Scorer) greedyCompletion(ctx context.Context, prompt []int32, n int) (*Continuation, error) {
	var out completion
	err := s.t.PostRetry(ctx, s.retry, "/v1/completions", map[string]any{
		"model": s.t.Model, "prompt": prompt, "max_tokens": n, "temperature": 0, "logprobs": 1, "ignore_eos": true,
		"return_token_ids": true, "return_tokens_as_token_ids": true, // vLLM's two ways; others take no notice
	}, &out)
	if err != nil {
		return nil, err
	}
	if len(out.Choices) == 0 || out.Choices[0].Logprobs == nil {
		return nil, errors.New("the answer has no log-probabilities")
	}
	choice := out.Choices[0]
	c := &Continuation{IDs: choice.TokenIDs}
	for _, lp := range choice.Logprobs.values() {
		c.Logprobs = append(c.Logprobs, float64(lp))
	}
	if c.IDs == nil {
		for _, name := range choice.Logprobs.Tokens { // "token_id:17"
			id, err := strconv.ParseInt(strings.TrimPrefix(name, "token_id:"), 10, 32)
			if err != nil || !strings.HasPrefix(name, "token_id:") {
				return nil, ErrNoTokenIDs
			}
			c.IDs = append(c.IDs, int32(id))
		}
	}
	if c.IDs == nil {
		for _, e := range choice.Logprobs.Content {
			if e.ID == nil {
				return nil, ErrNoTokenIDs
			}
			c.IDs = append(c.IDs, *e.ID)
		}
	}
	if len(c.IDs) != len(c.Logprobs) {
		return nil, fmt.Errorf("%w: %d ids beside %d log-probabilities", ErrNoTokenIDs, len(c.IDs), len(c.Logprobs))
	}
	return c, nil
}

func (s *Scorer) greedyGenerate(ctx context.Context, prompt []int32, n int) (*Continuation, error) {
	var out generated
	err := s.t.PostRetry(ctx, s.retry, "/generate", map[string]any{
		"input_ids": prompt, "return_logprob": true,
		"sampling_params": map[string]any{"max_new_tokens": n, "temperature": 0, "ignore_eos": true},
	}, &out)
	if err != nil {
		return nil, err
	}
	if out.Meta == nil || len(out.Meta.Output) == 0 {
		return nil, errors.New("the answer has no output_token_logprobs")
	}
	c := &Continuation{}
	for _, raw := range out.Meta.Output {
		e, err := raw.read()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoTokenIDs, err)
		}
		c.IDs, c.Logprobs = append(c.IDs, e.id), append(c.Logprobs, e.logprob)
	}
	return c, nil
}

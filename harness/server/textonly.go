package server

import (
	"context"
	"errors"
)

// FindTextOnly finds out whether the server takes prompts as text alone, not as
// token ids: routers in front of an engine and transformers serve are so. It asks
// for one token after a few ids and, where those are refused, after a text. What
// refuses both is no help: the requests that follow meet the refusal again. The
// error is the context's.
func (t *Server) FindTextOnly(ctx context.Context, r Retry) error {
	if t.TextOnly = t.Dialect.TextOnly; t.TextOnly {
		return nil
	}
	r.Tries = 1
	one := func(prompt any) error {
		return t.PostRetry(ctx, r, "/v1/completions", map[string]any{
			"model": t.ModelSent(), "prompt": prompt, "max_tokens": 1, "temperature": 0}, nil)
	}
	var refusal *HTTPError
	if err := one([]int32{3, 4, 5}); !errors.As(err, &refusal) || Passing(err) {
		return ctx.Err()
	}
	t.TextOnly = one("one two three") == nil
	return ctx.Err()
}

package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"
)

// Complete is the text that the model writes after a prompt at temperature 0, up
// to n tokens or one of the stop words, which is left out. The body is what
// lm-evaluation-harness's local-completions sends, for one prompt.
func (t *Server) Complete(ctx context.Context, r Retry, prompt []int32, n int, stop []string) (string, error) {
	var b []byte
	err := t.PostRetry(ctx, r, "/v1/completions", map[string]any{
		"model": t.ModelSent(), "prompt": prompt, "max_tokens": n, "temperature": 0, "stop": stop, "seed": 1234,
	}, &b)
	if err != nil {
		return "", nameRefusal(err)
	}
	text := gjson.GetBytes(b, "choices.0.text")
	if text.Type != gjson.String {
		return "", fmt.Errorf("POST %s/v1/completions: %w", t.BaseURL, errNoText)
	}
	return text.Str, nil
}

var errNoText = errors.New("the answer has no choices[0].text")

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"
)

// Prompt is a prompt as token ids or, where there are none, as text.
type Prompt struct {
	IDs  []int32
	Text string
}

// MarshalJSON writes it as OpenAI's completions take it.
func (p Prompt) MarshalJSON() ([]byte, error) {
	if p.IDs == nil {
		return json.Marshal(p.Text)
	}
	return json.Marshal(p.IDs)
}

// Complete is the text that the model writes after a prompt at temperature 0, up
// to n tokens or one of the stop words, which is left out. The body is what
// lm-evaluation-harness's local-completions sends, for one prompt.
func (t *Server) Complete(ctx context.Context, r Retry, prompt Prompt, n int, stop []string) (string, error) {
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

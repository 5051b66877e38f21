package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

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
	choice := gjson.GetBytes(b, "choices.0")
	if finish := choice.Get("finish_reason").String(); GaveUp(finish) {
		return "", t.gaveUpOn("/v1/completions", finish)
	}
	text := choice.Get("text")
	if text.Type != gjson.String {
		return "", fmt.Errorf("POST %s/v1/completions: %w", t.BaseURL, errNoText)
	}
	return text.Str, nil
}

// GaveUp reports whether a finish_reason is that of an answer which the server gave
// up before it was whole. Servers agree on few of the words.
func GaveUp(finish string) bool {
	finish = strings.ToLower(finish)
	return slices.ContainsFunc([]string{"abort", "error", "cancel", "filter", "fail", "reject", "timeout", "timed",
		"interrupt", "safety", "recitation", "blocklist", "prohibited", "overload", "shutdown", "kill", "preempt",
		"disconnect"}, func(bad string) bool { return strings.Contains(finish, bad) })
}

// SaysError reports whether the value of a key that tells of an error tells of one:
// some servers send the key with every answer, empty, false or 0.
func SaysError(v []byte) bool {
	switch string(v) {
	case "false", "0":
		return false
	}
	return Filled(v)
}

// Filled reports whether a JSON value is something: not absent, null, "", [] or {}.
func Filled(v []byte) bool {
	switch v = bytes.TrimSpace(v); string(v) {
	case "", "null", `""`:
		return false
	}
	inside := string(bytes.TrimSpace(v[1:]))
	return !(v[0] == '[' && inside == "]" || v[0] == '{' && inside == "}")
}

func (t *Server) gaveUpOn(path, finish string) error {
	return fmt.Errorf("POST %s%s: the server gave the answer up: finish_reason %.60q", t.BaseURL, path, t.Redact(finish))
}

var errNoText = errors.New("the answer has no choices[0].text")

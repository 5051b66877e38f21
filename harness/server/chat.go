package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/tidwall/gjson"
)

// Message is one message of a chat.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Chat is the answer to a chat, without the reasoning before it.
type Chat struct {
	Text    string
	Cut     bool // it reached the most tokens that it might take
	Refused bool // the model, or a filter after it, declines to answer
}

// Ask is the answer to a chat of up to n tokens, at temperature 0. The body is
// what lm-evaluation-harness's local-chat-completions sends, with more in it.
// Reasoning is set aside, whether it has a key of its own or stands before
// </think>.
func (t *Server) Ask(ctx context.Context, r Retry, chat []Message, n int, stop []string, more map[string]any) (Chat,
	error) {
	body := map[string]any{"messages": chat, "model": t.Model, "max_tokens": n, "temperature": 0, "stop": stop,
		"seed": 1234}
	maps.Copy(body, more)
	var b json.RawMessage
	if err := t.PostRetry(ctx, r, "/v1/chat/completions", body, &b); err != nil {
		return Chat{}, nameRefusal(err)
	}
	choice := gjson.GetBytes(b, "choices.0")
	message := choice.Get("message")
	if !message.IsObject() {
		return Chat{}, fmt.Errorf("POST %s/v1/chat/completions: the answer has no choices[0].message", t.BaseURL)
	}
	finish := choice.Get("finish_reason").String()
	out := Chat{Text: message.Get("content").String(), Cut: finish == "length",
		Refused: message.Get("refusal").String() != "" || finish == "content_filter"}
	if !out.Refused && GaveUp(finish) {
		return Chat{}, t.gaveUpOn("/v1/chat/completions", finish)
	}
	if before, after, ok := strings.Cut(out.Text, "</think>"); ok {
		out.Text = after
	} else if strings.HasPrefix(strings.TrimSpace(before), "<think>") { // it never came to an answer
		out.Text = ""
	}
	return out, nil
}

// ChatOnly reports whether the server answers /v1/chat/completions and has no
// /v1/completions. It asks both for one token.
func (t *Server) ChatOnly(ctx context.Context, r Retry) bool {
	ask := map[string]any{"model": t.Model, "prompt": "a", "max_tokens": 1}
	err := t.PostRetry(ctx, r, "/v1/completions", ask, nil)
	if !Absent(err) ||
		strings.Contains(err.Error(), "does not exist") { // vLLM's 404 for a model that it does not serve
		return false
	}
	delete(ask, "prompt")
	ask["messages"] = []Message{{Role: "user", Content: "a"}}
	return t.PostRetry(ctx, r, "/v1/chat/completions", ask, nil) == nil
}

package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/tidwall/gjson"
)

// ErrNoDetokenizer: the server has no /detokenize.
var ErrNoDetokenizer = errors.New("the server has no /detokenize")

// Text is the text of tokens, from the server's /detokenize or, where it has none,
// from the TokenizerFile. Without either the error is [ErrNoDetokenizer].
func (t *Server) Text(ctx context.Context, r Retry, tokens []int32) (string, error) {
	text, err := t.detokenize(ctx, r, tokens)
	if !errors.Is(err, ErrNoDetokenizer) || t.TokenizerFile == "" {
		return text, err
	}
	file, err := t.file.load(t.TokenizerFile)
	if err != nil {
		return "", err
	}
	return file.Decode(tokens)
}

// detokenize posts tokens to /detokenize, or to what the dialect has in its place.
// The text is "prompt" for vLLM, "text" for SGLang, "content" for llama.cpp.
func (t *Server) detokenize(ctx context.Context, r Retry, tokens []int32) (string, error) {
	path := "/detokenize"
	if p := t.Dialect.Detokenize; p != "" {
		path = p
	}
	var b json.RawMessage
	err := t.PostRetry(ctx, r, path, map[string]any{"model": t.ModelSent(), "tokens": tokens}, &b)
	if Absent(err) {
		return "", fmt.Errorf("%w: %w", ErrNoDetokenizer, err)
	}
	if err != nil {
		return "", err
	}
	for _, key := range []string{"prompt", "text", "content"} {
		if v := gjson.GetBytes(b, key); v.Type == gjson.String {
			return v.Str, nil
		}
	}
	return "", t.gate(fmt.Errorf("%w: POST %s%s: no text came", ErrNoDetokenizer, t.BaseURL, path))
}

// ChatCounter counts the tokens of a chat of one message of the user's, those of
// the template included, as the server counts them in its usage. more is what goes
// into every request's body besides, as chat_template_kwargs.
//
// vLLM's /tokenize takes a chat. Of another server the template's own tokens are
// found out by two short requests, and are added to the text's. Without a tokenizer
// the error is [ErrNoTokenizer].
func (t *Server) ChatCounter(ctx context.Context, r Retry, more map[string]json.RawMessage) (func(ctx context.Context,
	text string) (int, error), error) {
	whole := func(ctx context.Context, text string) (int, error) {
		in := map[string]any{"model": t.ModelSent(), "messages": user(text), "add_generation_prompt": true}
		for _, key := range []string{"chat_template", "chat_template_kwargs", "add_generation_prompt"} {
			if v, ok := more[key]; ok {
				in[key] = v
			}
		}
		ids, err := t.tokenize(ctx, r, in)
		return len(ids), err
	}
	once := r
	once.Tries = 1
	short, err := whole(ctx, "a")
	if err == nil {
		if told, err := t.chatUsage(ctx, once, "a", more); err == nil && told == short {
			return whole, nil
		}
	}
	if ctx.Err() != nil {
		return nil, err
	}
	var around [2]int
	for i, text := range []string{"a", "one two three four five six"} {
		ids, err := t.Tokens(ctx, r, text, false)
		if err != nil {
			return nil, err
		}
		told, err := t.chatUsage(ctx, r, text, more)
		if err != nil {
			return nil, err
		}
		around[i] = told - len(ids)
	}
	if around[0] != around[1] || around[0] < 0 {
		return nil, fmt.Errorf("the server counts %+d and %+d tokens besides those of two texts in a chat: its template's "+
			"length cannot be told", around[0], around[1])
	}
	return func(ctx context.Context, text string) (int, error) {
		ids, err := t.Tokens(ctx, r, text, false)
		return len(ids) + around[0], err
	}, nil
}

func user(text string) []Message { return []Message{{Role: "user", Content: text}} }

// chatUsage is how many prompt tokens the server counts in a chat.
func (t *Server) chatUsage(ctx context.Context, r Retry, text string, more map[string]json.RawMessage) (int, error) {
	body := map[string]any{"model": t.ModelSent(), "messages": user(text), "max_tokens": 1, "temperature": 0}
	for key, v := range more {
		if string(v) != "null" {
			body[key] = v
		}
	}
	maps.DeleteFunc(body, func(key string, _ any) bool { return key == "stream" || key == "stream_options" })
	var b json.RawMessage
	if err := t.PostRetry(ctx, r, "/v1/chat/completions", body, &b); err != nil {
		return 0, err
	}
	n := count(gjson.GetBytes(b, "usage.prompt_tokens"))
	if n <= 0 {
		return 0, fmt.Errorf("POST %s/v1/chat/completions: its usage has no count of prompt tokens", t.BaseURL)
	}
	return n, nil
}

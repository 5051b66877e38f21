package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"
)

var (
	// ErrNoTokenizer: the server has no /tokenize.
	ErrNoTokenizer = errors.New("the server has no /tokenize")
	// ErrNoPrefix: the server does not say which token begins a text.
	ErrNoPrefix = errors.New("the server does not say which token begins a text (BOS) or ends one (EOS)")
)

// Tokenize asks the server for the tokens of text, without those that the
// tokenizer would add of itself (BOS and the like) unless special is set, in the
// way of its dialect. Without a tokenizer the error is [ErrNoTokenizer].
func (t *Server) Tokenize(ctx context.Context, r Retry, text string, special bool) ([]int32, error) {
	if ask := t.Dialect.Tokenize; ask != nil {
		return ask(t, ctx, r, text, special)
	}
	return t.tokenize(ctx, r, map[string]any{"model": t.ModelSent(), "prompt": text, "add_special_tokens": special})
}

// tokenize posts a question to /tokenize and reads the answer, whose shape is
// everywhere nearly the same.
func (t *Server) tokenize(ctx context.Context, r Retry, in map[string]any) ([]int32, error) {
	var b json.RawMessage
	err := t.PostRetry(ctx, r, "/tokenize", in, &b)
	if Absent(err) {
		return nil, fmt.Errorf("%w: %w", ErrNoTokenizer, err)
	}
	if err != nil {
		return nil, err
	}
	tokens := gjson.GetBytes(b, "tokens")
	if first := tokens.Get("0"); first.IsArray() && !tokens.Get("1").Exists() {
		tokens = first // SGLang's answer to a list of prompts, which some versions give to one
	}
	ids, err := tokenIDs(tokens)
	if err != nil {
		return nil, t.gate(fmt.Errorf("%w: POST %s/tokenize: \"tokens\": %w", ErrNoTokenizer, t.BaseURL, err))
	}
	return ids, nil
}

// Prefix finds the token that the first predicted token of a text is
// conditioned on, as lm-evaluation-harness picks it: the tokenizer's BOS, else
// its EOS. The server is asked for the tokens' names (vLLM's /tokenizer_info,
// llama.cpp's /props), and else what it puts before a text that it is told to
// add special tokens to. It never guesses: without an answer the error is
// [ErrNoPrefix].
func (t *Server) Prefix(ctx context.Context, r Retry) (int32, error) {
	if ask := t.Dialect.Prefix; ask != nil {
		return ask(t, ctx, r)
	}
	for _, path := range []string{"/tokenizer_info", "/props"} {
		var info struct {
			BOS json.RawMessage `json:"bos_token"`
			EOS json.RawMessage `json:"eos_token"`
		}
		each, cancel := context.WithTimeout(ctx, r.orDefaults().Each)
		err := t.Get(each, path, &info)
		cancel()
		if err != nil {
			if ctx.Err() != nil {
				return 0, err
			}
			continue
		}
		for _, raw := range []json.RawMessage{info.BOS, info.EOS} {
			name := tokenName(raw)
			if name == "" {
				continue
			}
			ids, err := t.Tokenize(ctx, r, name, false)
			if err != nil {
				return 0, err
			}
			if len(ids) == 1 {
				return ids[0], nil
			}
		}
	}
	const some = "a"
	bare, err := t.Tokenize(ctx, r, some, false)
	if err != nil {
		return 0, err
	}
	full, err := t.Tokenize(ctx, r, some, true)
	if err != nil {
		return 0, err
	}
	if len(full) > len(bare) && len(bare) > 0 && full[1] == bare[0] {
		return full[0], nil
	}
	return 0, ErrNoPrefix
}

// tokenName reads a special token as tokenizer_config.json writes it: a string,
// or an object whose content is one.
func tokenName(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	var obj struct {
		Content string `json:"content"`
	}
	_ = json.Unmarshal(raw, &obj) // null, or nothing: no such token
	return obj.Content
}

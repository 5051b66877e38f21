package server

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
)

// LlamaCppPython is llama-cpp-python's server, which PyPI carries. It takes
// prompts as text alone and puts BOS before each. Its echo leaves BOS out of its
// answer and gives null for the token after it, and it tokenizes at paths of its
// own.
//
// A window is therefore sent as the text of its tokens, which is checked to be
// those tokens again, so that what is scored is exactly the window. The one
// difference to a server that takes ids: BOS stands before every window, and
// since the token after BOS comes back without a value, a document begins with a
// line break instead of BOS ([Server.Prefix]).
var LlamaCppPython = &Dialect{
	Name:              "llama-cpp-python",
	OwnedBy:           []string{"me"}, // no other server says so
	TextOnly:          true,
	Pages:             []Page{}, // it has none
	Tokenize:          (*Server).extrasTokenize,
	Detokenize:        "/extras/detokenize",
	RepetitionPenalty: "repeat_penalty",
	Prefix:            (*Server).lineBreak,
	Ways:              []Way{{Path: "/v1/completions", score: (*Scorer).echoText, greedy: (*Scorer).greedyCompletion}},
}

// lineBreak is the token of a line break, where BOS cannot be one's prefix.
func (t *Server) lineBreak(ctx context.Context, r Retry) (int32, error) {
	ids, err := t.Tokenize(ctx, r, "\n", false)
	if err == nil && len(ids) != 1 {
		err = ErrNoPrefix
	}
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

// extrasTokenize is the tokens of text; BOS, which the server adds always, only
// where special is set.
func (t *Server) extrasTokenize(ctx context.Context, r Retry, text string, special bool) ([]int32, error) {
	var full, added struct{ Tokens []int32 }
	if err := t.PostRetry(ctx, r, "/extras/tokenize", map[string]any{"input": text}, &full); err != nil {
		return nil, err
	}
	if special {
		return full.Tokens, nil
	}
	if err := t.PostRetry(ctx, r, "/extras/tokenize", map[string]any{"input": ""}, &added); err != nil {
		return nil, err
	}
	if len(added.Tokens) > len(full.Tokens) {
		return nil, fmt.Errorf("POST %s/extras/tokenize: %d tokens for a text, %d for none", t.BaseURL,
			len(full.Tokens), len(added.Tokens))
	}
	return full.Tokens[len(added.Tokens):], nil
}

// echoText scores a window through its text.
func (s *Scorer) echoText(ctx context.Context, tokens []int32, from int, best bool) ([]Scored, error) {
	window, err := s.t.detokenize(ctx, s.retry, tokens)
	if err != nil {
		return nil, err
	}
	again, err := s.t.extrasTokenize(ctx, s.retry, window, false)
	if err != nil {
		return nil, err
	}
	if !slices.Equal(again, tokens) {
		return nil, fmt.Errorf("%w: the server takes prompts as text alone, and this window's text is other tokens "+
			"(%d for %d)", ErrOtherTokens, len(again), len(tokens))
	}
	var b json.RawMessage
	err = s.t.PostRetry(ctx, s.retry, "/v1/completions", map[string]any{
		"model": s.t.ModelSent(), "prompt": window, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": true,
	}, &b)
	if err != nil {
		return nil, err
	}
	return s.echoed(b, tokens, from, best)
}

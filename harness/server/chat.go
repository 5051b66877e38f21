package server

import (
	"context"
	"net/http"
	"strings"
)

// ChatOnly reports whether the server answers /v1/chat/completions and has no
// /v1/completions. It asks both for one token.
func (t *Server) ChatOnly(ctx context.Context, r Retry) bool {
	ask := map[string]any{"model": t.Model, "prompt": "a", "max_tokens": 1}
	err := t.PostRetry(ctx, r, "/v1/completions", ask, nil)
	if !(hasStatus(err, http.StatusNotFound) || hasStatus(err, http.StatusMethodNotAllowed) || hasStatus(err, http.StatusNotImplemented)) ||
		strings.Contains(err.Error(), "does not exist") { // vLLM's 404 for a model that it does not serve
		return false
	}
	delete(ask, "prompt")
	ask["messages"] = []map[string]string{{"role": "user", "content": "a"}}
	return t.PostRetry(ctx, r, "/v1/chat/completions", ask, nil) == nil
}

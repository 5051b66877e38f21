package server

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Requests that are not timed, those of accuracy, have the keys as the server
// takes them too; a native endpoint's are its own.
func TestKeysOfUntimedRequests(t *testing.T) {
	got := map[string]map[string]any{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if json.NewDecoder(r.Body).Decode(&body) == nil {
			got[r.URL.Path] = body
		}
		w.Write([]byte("{}"))
	}))
	defer s.Close()
	tg := New(s.URL, "m", "", nil)
	tg.Keys = Keys{LeftOut: []string{"ignore_eos", "stream_options", "top_p", "temperature"}, MaxTokens: "max_completion_tokens"}
	sent := map[string]any{"model": "m", "max_tokens": 4, "temperature": 0, "ignore_eos": true, "top_p": 1}
	for _, path := range []string{"/v1/completions", "/v1/chat/completions", "/generate"} {
		require.NoError(t, tg.PostRetry(t.Context(), Retry{}, path, sent, nil))
	}
	fitted := map[string]any{"model": "m", "max_completion_tokens": 4.0, "top_p": 1.0}
	assert.Equal(t, fitted, got["/v1/completions"], "what was asked for besides is scoring's own affair")
	assert.Equal(t, fitted, got["/v1/chat/completions"])
	assert.Equal(t, map[string]any{"model": "m", "max_tokens": 4.0, "temperature": 0.0, "ignore_eos": true, "top_p": 1.0}, got["/generate"])
	assert.Len(t, sent, 5, "the caller's body stays as it is")
}

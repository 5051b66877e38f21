package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Servers refuse ids in many ways; whether they take texts is what tells them
// from those that refuse everything.
func TestFindTextOnly(t *testing.T) {
	for name, c := range map[string]struct {
		ids, text int // status of the answer to either
		want      bool
	}{
		"takes both":                   {200, 200, false},
		"a router that reads the body": {422, 200, true},
		"a server with a schema":       {400, 200, true},
		"llama-cpp-python":             {500, 200, true},
		"refuses everything":           {400, 400, false},
		"is too busy to say":           {503, 200, false},
		"has no such endpoint":         {404, 404, false},
		"wants a key":                  {401, 401, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var in struct{ Prompt any }
				require.NoError(t, json.NewDecoder(r.Body).Decode(&in))
				status := c.ids
				if _, text := in.Prompt.(string); text {
					status = c.text
				}
				w.WriteHeader(status)
				fmt.Fprint(w, `{"choices":[{"text":"a"}]}`)
			}))
			defer l.Close()
			s := New(l.URL, "m", "", nil)
			require.NoError(t, s.FindTextOnly(t.Context(), Retry{}))
			assert.Equal(t, c.want, s.TextOnly)
		})
	}
	s := New("http://127.0.0.1:1", "m", "", nil)
	s.Dialect = LlamaCppPython
	require.NoError(t, s.FindTextOnly(t.Context(), Retry{}), "one that is known is not asked")
	assert.True(t, s.TextOnly)
}

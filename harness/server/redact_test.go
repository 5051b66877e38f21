package server

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A key that JSON or an address writes otherwise is the same key.
func TestAKeyIsRedactedHoweverItIsWritten(t *testing.T) {
	const key = `sk+a/b<c>"d&e`
	quoted, err := json.Marshal(key)
	require.NoError(t, err)
	for name, body := range map[string]string{
		"plain":             "bad key " + key,
		"JSON":              fmt.Sprintf(`{"error":{"message":%s}}`, quoted),
		"JSON of PHP":       `{"error":{"message":"` + strings.NewReplacer("/", `\/`, `"`, `\"`).Replace(key) + `"}}`,
		"JSON all escaped":  `{"error":{"message":"sk\u002Ba\u002Fb\u003Cc\u003E\u0022d\u0026e"}}`,
		"an address":        "no such page: /?key=sk%2Ba%2Fb%3Cc%3E%22d%26e",
		"where it is cut":   strings.Repeat("x", 290) + key,
		"a header's value":  "refused: Bearer gate/way-key",
		"the value's key":   `{"error":"gate\/way-key"}`,
		"not JSON as it is": `{"error":` + string(quoted),
	} {
		t.Run(name, func(t *testing.T) {
			for _, status := range []int{http.StatusTeapot, http.StatusOK} {
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(status)
					fmt.Fprint(w, body)
				}))
				defer s.Close()
				tg := New(s.URL, "", key, nil)
				tg.Headers = http.Header{"X-Auth": {"Bearer gate/way-key"}}
				err := tg.Get(t.Context(), "/x", new([]int))
				require.Error(t, err)
				for _, part := range []string{"sk+a", "a/b", `a\/b`, "d&e", "way-key"} {
					assert.NotContains(t, err.Error(), part)
				}
			}
		})
	}
}

// Gateways want their headers with every request, not with the timed ones alone.
func TestHeadersGoWithEveryRequest(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Gateway") != "open sesame" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		fmt.Fprint(w, `{"data":[{"id":"A"}]}`)
	}))
	defer s.Close()
	tg := New(s.URL, "", "", nil)
	require.ErrorContains(t, tg.Wait(t.Context(), WaitOptions{}), "HTTP 403")
	tg.Headers = http.Header{"X-Gateway": {"open sesame"}}
	require.NoError(t, tg.Wait(t.Context(), WaitOptions{}))
}

// A proxy of the environment would stand in the way of waiting and scoring, and
// not of the timed requests: so it stands in the way of none.
func TestNoProxyStandsBetween(t *testing.T) {
	client, err := Client("")
	require.NoError(t, err)
	assert.Nil(t, client.Transport.(*http.Transport).Proxy)
}

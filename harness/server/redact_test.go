package server

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
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

// Whatever a server or a gateway makes of a key when it repeats it.
func TestAKeyIsRedactedInEveryEscape(t *testing.T) {
	const key = `sk-Ab+3/x&<9>"q\z`
	percent, unicoded, hexed, octal, decimal, twice := "", "", "", "", "", ""
	for _, c := range []byte(key) {
		percent += fmt.Sprintf("%%%02x", c)
		unicoded += fmt.Sprintf(`\u%04X`, c)
		hexed += fmt.Sprintf(`\x%02x`, c)
		octal += fmt.Sprintf(`\%03o`, c)
		decimal += fmt.Sprintf("&#%d;", c)
		twice += fmt.Sprintf("%%25%02X", c)
	}
	inJSON, err := json.Marshal(key)
	require.NoError(t, err)
	again, err := json.Marshal(string(inJSON))
	require.NoError(t, err)
	for name, form := range map[string]string{
		"plain": key, "in lower case": strings.ToLower(key), "in upper case": strings.ToUpper(key),
		"a query": url.QueryEscape(key), "a path": url.PathEscape(key), "a query, lower case": strings.ToLower(url.QueryEscape(key)),
		"every character percent-encoded": percent, "twice": twice, "a query of a query": url.QueryEscape(url.QueryEscape(key)),
		"JSON": string(inJSON), "JSON in JSON": string(again), "JSON, every character": unicoded,
		"C": hexed, "C, octal": octal, "Go": fmt.Sprintf("%q", key),
		"HTML": html.EscapeString(key), "HTML of HTML": html.EscapeString(html.EscapeString(key)), "HTML, every character": decimal,
		"hexadecimal": hex.EncodeToString([]byte(key)), "HEXADECIMAL": strings.ToUpper(hex.EncodeToString([]byte(key))),
		"base64":           base64.StdEncoding.EncodeToString([]byte(key)),
		"base64, URLs":     base64.URLEncoding.EncodeToString([]byte(key)),
		"basic, a user":    base64.StdEncoding.EncodeToString([]byte("u:" + key)),
		"basic, two":       base64.StdEncoding.EncodeToString([]byte("us:" + key + ":")),
		"basic, three":     base64.RawURLEncoding.EncodeToString([]byte("usr:" + key + "::")),
		"base64 in a path": url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(key))),
	} {
		got := Redact("you sent ["+form+"] to us", key)
		assert.Contains(t, got, "you sent [", name)
		assert.Contains(t, got, "] to us", name)
		assert.Contains(t, got, "[secret]", name)
		assert.Less(t, len(got), len("you sent [[secret]] to us")+10, "%s: but for the digits that base64 shares with its neighbours: %s", name, got)
	}
	assert.Equal(t, "nothing of s, k or sk-Ab+3", Redact("nothing of s, k or sk-Ab+3", key), "the rest stays")
	assert.Equal(t, "ask, but", Redact("ask, but", "sk"), "a key of two letters is none")
}

// What a terminal, a log or a page would obey does not get through.
func TestControlCharactersAreTakenOut(t *testing.T) {
	for in, want := range map[string]string{
		"m\x1b[2J\x1b]0;pwn\x07":     "m�[2J�]0;pwn�",
		"a\n::error::forged\r\nline": "a ::error::forged  line",
		"a\u2028b\u2029c\u0085d":     "a b c d",
		"C1 \u009b31m":               "C1 �31m",
		"C1 in one byte \x9b31m":     "C1 in one byte �31m",
		"\u202egnp.exe\u2066":        "�gnp.exe�",
		"DEL\x7f NUL\x00 \ufeff":     "DEL� NUL� �",
		"naïve 模型 — ok\t!":           "naïve 模型 — ok !",
	} {
		assert.Equal(t, want, Redact(in))
	}
	assert.Equal(t, "no � escape here", ErrorMessage([]byte(`{"error":{"message":"no \u001b escape\n here"}}`)), "nor what JSON hides")
}

// A model may be called anything: requests have its name, people what is fit
// to be shown of it.
func TestANameIsSentAsItIsAndShownAsItMayBe(t *testing.T) {
	const key, name = "k3y-that-nobody-sees", "m\x1b[2J k3y-that-nobody-sees"
	var sent string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/models":
			_ = json.NewEncoder(w).Encode(map[string]any{"data": []any{map[string]any{"id": name}}})
		case "/version":
			_ = json.NewEncoder(w).Encode(map[string]string{"version": "1\x07" + key + strings.Repeat("x", 1<<20)})
		case "/tokenize":
			var in struct{ Model string }
			_ = json.NewDecoder(r.Body).Decode(&in)
			sent = in.Model
			fmt.Fprint(w, `{"tokens":["\u202e k3y-that-nobody-sees"]}`)
		}
	}))
	defer s.Close()
	tg := New(s.URL, "", key, nil)
	for range 2 { // whoever waits again does not ask for what is shown
		require.NoError(t, tg.Wait(t.Context(), WaitOptions{}))
	}
	assert.Equal(t, "m�[2J [secret]", tg.Model)
	assert.True(t, strings.HasPrefix(tg.Version, "1�[secret]x"), tg.Version)
	assert.Less(t, len(tg.Version), 1000)
	_, err := tg.Tokenize(t.Context(), hasty, "x", false)
	assert.Equal(t, name, sent)
	require.ErrorContains(t, err, "[secret]")
	assert.NotContains(t, err.Error(), "\u202e")
	require.ErrorIs(t, err, ErrNoTokenizer, "it stays what it was")

	tg = New(s.URL, "other", key, nil)
	assert.ErrorContains(t, tg.Wait(t.Context(), WaitOptions{}), "it lists: m�[2J [secret]")
}

// What a header or a broken answer says comes with net/http's own errors.
func TestErrorsOfTheConnectionPassTheGate(t *testing.T) {
	for name, says := range map[string]string{
		"a status line": "HTTP/1.1 \x1b[2Jk3y-that-nobody-sees\r\n\r\n",
		"a header":      "HTTP/1.1 200 OK\r\n\x1b[2Jk3y-that-nobody-sees\r\n\r\n",
		"a redirect":    "HTTP/1.1 302 Found\r\nLocation: http://k3y-that-nobody-sees/\r\nContent-Length: 0\r\n\r\n",
		"no HTTP":       "SSH-2.0 \x1b[2J k3y-that-nobody-sees\r\n",
	} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				_, _ = c.Read(make([]byte, 4096))
				fmt.Fprint(c, says)
				c.Close()
			}
		}()
		err = New("http://"+l.Addr().String(), "", "k3y-that-nobody-sees", nil).Get(t.Context(), "/x", nil)
		require.Error(t, err, name)
		assert.NotContains(t, err.Error(), "k3y-that-nobody-sees", name)
		assert.NotContains(t, err.Error(), "\x1b", name)
	}
}

// A page that is asked for every second is given up long before an answer is.
func TestAPageIsBounded(t *testing.T) {
	sent := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for block := bytes.Repeat([]byte("x"), 1<<20); sent < 64; sent++ {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	_, err := New(s.URL, "", "", nil).Page(t.Context(), "/metrics")
	require.ErrorContains(t, err, "longer than 8 MiB")
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

// A page of another server gets none of this one's secrets.
func TestKeysStayWithTheServer(t *testing.T) {
	var got http.Header
	page := func(w http.ResponseWriter, r *http.Request) { got = r.Header; fmt.Fprint(w, r.URL.Path) }
	own, other := httptest.NewServer(http.HandlerFunc(page)), httptest.NewServer(http.HandlerFunc(page))
	defer own.Close()
	defer other.Close()
	tg := New(own.URL, "", "k3y-that-nobody-sees", nil)
	tg.Headers = http.Header{"X-Gateway": {"open sesame"}}
	for address, keys := range map[string]bool{own.URL + "/metrics": true, other.URL + "/worker/metrics": false, own.URL + "0/metrics": false} {
		got = nil
		text, err := tg.PageAt(t.Context(), address)
		if got == nil {
			require.Error(t, err, "there is nobody at a port of one digit more")
			continue
		}
		require.NoError(t, err)
		assert.True(t, strings.HasSuffix(address, string(text)))
		assert.Equal(t, keys, got.Get("Authorization") != "" && got.Get("X-Gateway") != "")
		assert.Equal(t, keys, got.Get("Authorization") != "" || got.Get("X-Gateway") != "")
	}
}

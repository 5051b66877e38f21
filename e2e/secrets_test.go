package e2e

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
)

const (
	apiKey = "sk-do-not-print/this+1234567890"
	header = "gateway/secret<0987654321>"
	board  = "board-token-5432167890"
)

// tattler echoes what it was sent in its error answers, as gateways do when
// they are being helpful.
func tattler(t *testing.T, fails func(r *http.Request, body string) bool) string {
	e, err := engine.Start(engine.Config{APIKey: apiKey})
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	u, err := url.Parse(e.URL())
	require.NoError(t, err)
	next := httputil.NewSingleHostReverseProxy(u)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		body.ReadFrom(r.Body)
		r.Body = http.NoBody
		if body.Len() > 0 {
			r.Body = readCloser{bytes.NewReader(body.Bytes())}
		}
		if !fails(r, body.String()) {
			whole(next).ServeHTTP(w, r)
			return
		}
		w.WriteHeader(http.StatusTeapot)
		// A header's value also without its first word, as some JSON writes it, and
		// where a message is shortened.
		said := fmt.Sprintf("you sent %s %s and %s", r.Header.Get("Authorization"), r.Header.Get("X-Gateway"), strings.TrimPrefix(r.Header.Get("X-Gateway"), "Token "))
		said += strings.Repeat("x", max(0, 290-len(said)))
		fmt.Fprintf(w, `{"error":{"message":"%s%s"}}`, strings.ReplaceAll(said, "/", `\/`), r.Header.Get("Authorization"))
	}))
	t.Cleanup(s.Close)
	return s.URL
}

type readCloser struct{ *bytes.Reader }

func (readCloser) Close() error { return nil }

// No secret is in anything that a run prints or writes, whichever way it fails.
func TestSecretsAreNowhere(t *testing.T) {
	text, err := filepath.Abs("../harness/accuracy/texts/heldout.txt")
	require.NoError(t, err)
	stream := func(_ *http.Request, body string) bool { return strings.Contains(body, `"stream":true`) }
	for name, c := range map[string]struct {
		fails  func(*http.Request, string) bool
		passes bool
	}{
		"nothing fails": {func(*http.Request, string) bool { return false }, true},
		"waiting fails": {func(*http.Request, string) bool { return true }, false},
		"accuracy fails": {func(r *http.Request, body string) bool {
			return strings.Contains(body, `"echo":true`) || r.URL.Path == "/generate"
		}, false},
		"benchmark fails": {stream, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			env := append(os.Environ(), "BASE_URL="+tattler(t, c.fails), "API_KEY="+apiKey, "HEADERS=X-Gateway: Token "+header,
				"LEADERBOARD_TOKEN="+board, "READY_TIMEOUT=1s", "REQUEST_TIMEOUT=2s", "TP=1", "WIKITEXT="+text)
			exit, dir, out := finish(t, env, append(small, "-test.run=TestServing", "-test.v")...)
			if !c.passes {
				assert.NotZero(t, exit)
				assert.Contains(t, out, "you sent", "the server's words are shown")
			}
			seen := everything(t, dir, out)
			for where, text := range seen {
				for _, secret := range []string{apiKey, header, board, apiKey[:12], header[:12], header[15:]} {
					assert.NotContains(t, text, secret, where)
				}
			}
		})
	}
}

// A server may call its model what it likes, also by the key that it was sent or
// in words that a terminal obeys: requests have that name, and nothing that is
// printed or written has it as it is.
func TestNothingThatAServerSaysIsObeyed(t *testing.T) {
	const name = "m\x1b[2J\x1b]0;pwn\x07\n::error::forged \u202e" + apiKey
	listed, err := json.Marshal(name)
	require.NoError(t, err)
	ours, err := json.Marshal(engine.ModelName)
	require.NoError(t, err)
	e, err := engine.Start(engine.Config{APIKey: apiKey})
	require.NoError(t, err)
	defer e.Close()
	u, err := url.Parse(e.URL())
	require.NoError(t, err)
	next := httputil.NewSingleHostReverseProxy(u)
	next.ModifyResponse = func(r *http.Response) error {
		if r.Request.Method == http.MethodGet && r.Request.URL.Path != "/metrics" {
			b, err := io.ReadAll(r.Body)
			b = bytes.ReplaceAll(b, ours, listed)
			b = bytes.ReplaceAll(b, []byte(`"version":"`), []byte(`"version":"\u001b[31m`))
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
			r.Header.Del("Content-Length")
			return err
		}
		return nil
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		b = bytes.ReplaceAll(b, listed, ours) // whoever asks for another name is refused
		r.Body, r.ContentLength = readCloser{bytes.NewReader(b)}, int64(len(b))
		whole(next).ServeHTTP(w, r)
	}))
	defer s.Close()
	env := append(os.Environ(), "BASE_URL="+s.URL, "API_KEY="+apiKey, "TP=1")
	exit, dir, out := finish(t, env, append(small, "-test.run=TestServing", "-test.v")...)
	require.Zero(t, exit, out)
	require.Contains(t, out, "m�[2J�]0;pwn� ::error::forged �[secret]")
	seen := everything(t, dir, out)
	for where, text := range seen {
		assert.NotContains(t, text, apiKey, where)
		for _, r := range text {
			obeyed := unicode.Is(unicode.Cc, r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r)
			require.False(t, obeyed, "%s has %q", where, r)
		}
	}
}

// everything is what a run printed and what it left in its folder, by where.
func everything(t *testing.T, dir, out string) map[string]string {
	seen := map[string]string{"the output": out}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			b, err := os.ReadFile(path)
			require.NoError(t, err)
			seen[path] = string(unzip(b))
		}
		return err
	}))
	return seen
}

// unzip is what a .gz file holds; another file is itself.
func unzip(b []byte) []byte {
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		return b
	}
	out, _ := io.ReadAll(z)
	return out
}

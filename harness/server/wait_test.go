package server

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// server answers each path with a fixed status and body.
func server(t *testing.T, answers map[string]string) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		var status int
		n, _ := fmt.Sscanf(a, "%d ", &status)
		if n == 1 {
			w.WriteHeader(status)
			a = a[4:]
		}
		fmt.Fprint(w, a)
	}))
	t.Cleanup(s.Close)
	return s
}

const twoModels = `{"data":[{"id":"/models/A","owned_by":"vllm","max_model_len":4096},{"id":"B"}]}`

func TestWaitTakesWhatTheServerSays(t *testing.T) {
	s := server(t, map[string]string{"/health": "", "/v1/models": twoModels, "/version": `{"version":"0.9"}`})
	tg := New(s.URL+"/", "org/A", "", nil)
	require.NoError(t, tg.Wait(context.Background(), WaitOptions{}))
	assert.Equal(t, "/models/A", tg.Model, "the server's own name for it is the one to send")
	assert.Same(t, VLLM, tg.Dialect)
	assert.Equal(t, "0.9", tg.Version)
	assert.Equal(t, 4096, tg.MaxLen)
}

func TestWaitGivesUpAtOnceOnWhatWaitingCannotMend(t *testing.T) {
	for name, c := range map[string]struct {
		model   string
		answers map[string]string
		want    string
	}{
		"wrong model":    {"C", map[string]string{"/health": "", "/v1/models": twoModels}, `MODEL="C" is not what the server serves; it lists: /models/A, B`},
		"several models": {"", map[string]string{"/health": "", "/v1/models": twoModels}, "set MODEL to one of /models/A, B"},
		"no model":       {"", map[string]string{"/health": "", "/v1/models": `{"data":[]}`}, "lists no model"},
		"key refused":    {"", map[string]string{"/health": `401 {"error":{"message":"bad key"}}`}, "set API_KEY"},
		"another server": {"", map[string]string{"/health": ""}, "is BASE_URL right?"},
	} {
		t.Run(name, func(t *testing.T) {
			tg := New(server(t, c.answers).URL, c.model, "k3y", nil)
			err := tg.Wait(context.Background(), WaitOptions{Timeout: time.Hour})
			require.ErrorContains(t, err, c.want)
			assert.NotContains(t, err.Error(), "k3y")
		})
	}
}

func TestWaitKeepsAskingThenSaysWhatItLastHeard(t *testing.T) {
	var polls atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if polls.Add(1) < 3 {
			http.Error(w, `{"error":{"message":"loading weights"}}`, http.StatusServiceUnavailable)
			return
		}
		fmt.Fprint(w, `{"data":[{"id":"A"}]}`)
	}))
	defer s.Close()
	var heard []string
	tg := New(s.URL, "", "", nil)
	require.NoError(t, tg.Wait(context.Background(), WaitOptions{Every: time.Millisecond, OnWait: func(_ time.Duration, err error) { heard = append(heard, err.Error()) }}))
	require.Len(t, heard, 2)
	assert.Contains(t, heard[0], "HTTP 503: loading weights")

	polls.Store(-1 << 20)
	err := tg.Wait(context.Background(), WaitOptions{Every: time.Millisecond, Timeout: 30 * time.Millisecond})
	require.ErrorContains(t, err, "READY_TIMEOUT")
	assert.ErrorContains(t, err, "loading weights")

	begin := time.Now()
	require.Error(t, tg.Wait(context.Background(), WaitOptions{Every: time.Hour, Timeout: 30 * time.Millisecond}))
	assert.GreaterOrEqual(t, time.Since(begin), 30*time.Millisecond, "all of READY_TIMEOUT is waited, however seldom it polls")
}

func TestWaitHonoursCancellation(t *testing.T) {
	tg := New("http://127.0.0.1:1", "", "", nil) // nothing listens on port 1
	ctx, cancel := context.WithCancel(context.Background())
	err := tg.Wait(ctx, WaitOptions{Every: time.Hour, Timeout: 2 * time.Hour, OnWait: func(time.Duration, error) { cancel() }})
	assert.ErrorContains(t, err, "interrupted while waiting")
}

func TestErrorMessage(t *testing.T) {
	for body, want := range map[string]string{
		`{"error":{"message":"too long","type":"x"}}`:   "too long",
		`{"object":"error","message":"old vLLM"}`:       "old vLLM",
		`{"error":"llama.cpp says"}`:                    "llama.cpp says",
		`{"detail":[{"loc":["body"],"msg":"missing"}]}`: `[{"loc":["body"],"msg":"missing"}]`,
		"<html>\n <b>502</b>\n</html>":                  "<html> <b>502</b> </html>",
		"":                                              "",
	} {
		assert.Equal(t, want, ErrorMessage([]byte(body)))
	}
}

package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/hint"
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

var manyModels = func() string {
	list := `{"data":[{"id":"m1"}`
	for i := 2; i <= 1000; i++ {
		list += fmt.Sprintf(`,{"id":"m%d"}`, i)
	}
	return list + "]}"
}()

// Only 503 and a refused connection say that a server is not ready; of all that
// gateways answer to /health, nothing else does.
func TestOnlyTheModelListDecides(t *testing.T) {
	const list = `{"data":[{"id":"A"}]}`
	for name, health := range map[string]string{"none": "404 ", "method": "405 ", "not implemented": "501 ", "bad": "400 ", "a key for it alone": "403 ",
		"another key": "401 ", "broken": "500 x", "no upstream": "502 x", "late upstream": "504 x", "too many": "429 x", "JSON": `{"status":"ok"}`, "a page": "<html>"} {
		t.Run(name, func(t *testing.T) {
			s := server(t, map[string]string{"/health": health, "/v1/models": list})
			require.NoError(t, New(s.URL, "", "", nil).Wait(t.Context(), WaitOptions{Timeout: time.Hour, Every: time.Hour}))
		})
	}
	for name, odd := range map[string]http.HandlerFunc{
		"never answers": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"cuts off":      func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"is elsewhere": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.invalid/", http.StatusFound)
		},
		"goes in rounds": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/health", http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			mux := http.NewServeMux()
			mux.HandleFunc("/health", odd)
			mux.HandleFunc("/v1/models", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, list) })
			s := httptest.NewServer(mux)
			defer s.Close()
			require.NoError(t, New(s.URL, "", "", nil).Wait(t.Context(), WaitOptions{Timeout: 4 * time.Second, Every: time.Hour}))
		})
	}
}

// Whatever form a model list has, what it says is read; what it says in no form
// that is known is left out, and what it does not say is taken from MODEL.
func TestModelListsOfEveryForm(t *testing.T) {
	for name, c := range map[string]struct {
		model, list, want string
		maxLen            int
	}{
		"bare":                   {"", `[{"id":"A","max_model_len":4096}]`, "A", 4096},
		"names alone":            {"", `{"data":["A"]}`, "A", 0},
		"Ollama's":               {"", `{"models":[{"name":"A:latest","model":"A:latest"}]}`, "A:latest", 0},
		"llama.cpp's, with both": {"", `{"models":[{"name":"B"}],"data":[{"id":"A"}]}`, "A", 0},
		"a number for a name":    {"", `{"data":[{"id":7}]}`, "7", 0},
		"a length as a float":    {"", `{"data":[{"id":"A","max_model_len":32768.0}]}`, "A", 32768},
		"a length in quotes":     {"", `{"data":[{"id":"A","max_model_len":"32768"}]}`, "A", 32768},
		"no length":              {"", `{"data":[{"id":"A","max_model_len":null,"meta":null}]}`, "A", 0},
		"an absurd length":       {"", `{"data":[{"id":"A","max_model_len":1e999,"meta":{"n_vocab":"many"}}]}`, "A", 0},
		"odd fields":             {"", `{"data":[{"id":"A","owned_by":7,"root":[],"max_model_len":{},"created":"now","meta":"x"}]}`, "A", 0},
		"once for each worker":   {"", `{"data":[{"id":"A"},{"id":"A"}]}`, "A", 0},
		"a byte order mark":      {"", "\ufeff" + `{"data":[{"id":"A"}]}`, "A", 0},
		"empty":                  {"A", `{"data":[]}`, "A", 0},
		"null":                   {"A", `{"object":"list","data":null}`, "A", 0},
		"none":                   {"A", "404 ", "A", 0},
		"no such method":         {"A", "405 ", "A", 0},
		"not implemented":        {"A", "501 ", "A", 0},
		"a bad request":          {"A", "400 ", "A", 0},
		"many":                   {"m900", manyModels, "m900", 0},
	} {
		t.Run(name, func(t *testing.T) {
			tg := New(server(t, map[string]string{"/v1/models": c.list}).URL, c.model, "", nil)
			require.NoError(t, tg.Wait(t.Context(), WaitOptions{Timeout: time.Hour}))
			assert.Equal(t, c.want, tg.Model)
			assert.Equal(t, c.maxLen, tg.MaxLen)
		})
	}
}

// A gateway that asks every model before it lists them is slow, not dead.
func TestASlowModelListIsWaitedFor(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/models" {
			time.Sleep(300 * time.Millisecond)
		}
		fmt.Fprint(w, `{"data":[{"id":"A"}]}`)
	}))
	defer s.Close()
	require.NoError(t, New(s.URL, "", "", nil).Wait(t.Context(), WaitOptions{Timeout: 800 * time.Millisecond, Every: time.Millisecond}))
}

type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// A server that takes connections and says nothing is waited for as long as was asked,
// and no longer.
func TestASilentServerIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard error
		begin := time.Now()
		err := New("http://h", "", "", &http.Client{Transport: silent{}}).Wait(t.Context(),
			WaitOptions{Timeout: 8 * time.Second, OnWait: func(_ time.Duration, err error) { heard = err }})
		assert.LessOrEqual(t, time.Since(begin), 9*time.Second)
		require.ErrorContains(t, err, "no server at http://h after 8s (READY_TIMEOUT); last heard: GET http://h/v1/models: no answer within 2s")
		assert.ErrorContains(t, heard, "GET http://h/v1/models: no answer within 2s")
	})
}

// What speaks something else than HTTP will not learn it.
func TestWaitGivesUpOnWhatIsNoWebServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, "SSH-2.0-OpenSSH_9.6\r\n")
			c.Close()
		}
	}()
	err = New("http://"+l.Addr().String(), "A", "", nil).Wait(t.Context(), WaitOptions{Timeout: time.Hour})
	assert.Contains(t, hint.Line(err), "does not speak HTTP: correct PORT or BASE_URL")
}

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
		"several models": {"", map[string]string{"/health": "", "/v1/models": twoModels}, "lists several models: /models/A, B: set MODEL to one of them"},
		"no model":       {"", map[string]string{"/health": "", "/v1/models": `{"data":[]}`}, "lists no model"},
		"key refused":    {"A", map[string]string{"/health": "", "/v1/models": `401 {"error":{"message":"bad key"}}`}, "HTTP 401: bad key: the server wants a key: put it into API_KEY"},
		"not allowed":    {"A", map[string]string{"/v1/models": `403 no`}, "HTTP 403: no"},
		"another server": {"", map[string]string{"/health": ""}, "this is not an OpenAI-compatible server"},
		"no such method": {"", map[string]string{"/v1/models": "405 no"}, "this is not an OpenAI-compatible server"},
		"a bad request":  {"", map[string]string{"/v1/models": "400 which organisation?"}, "which organisation?"},
		"a web page":     {"A", map[string]string{"/v1/models": "<html>Welcome</html>"}, `this is no JSON (it starts "<html>Welcome</html>"): correct BASE_URL to where`},
		"cut off":        {"A", map[string]string{"/v1/models": `{"data":[{"id":"A"`}, "this is no JSON"},
		"no list":        {"A", map[string]string{"/v1/models": `{"object":"list"}`}, "this is no list of models"},
		"words":          {"A", map[string]string{"/v1/models": `"hello"`}, "this is no list of models"},
		"an error, 200":  {"A", map[string]string{"/v1/models": `{"error":{"message":"no worker"}}`}, "no worker"},
		"many models":    {"X", map[string]string{"/v1/models": manyModels}, "m1, m2, m3, m4, m5, m6, m7, m8, m9, m10 and 990 more"},
	} {
		t.Run(name, func(t *testing.T) {
			tg := New(server(t, c.answers).URL, c.model, "k3y", nil)
			err := tg.Wait(context.Background(), WaitOptions{Timeout: time.Hour})
			require.Error(t, err)
			assert.Contains(t, hint.Line(err), c.want)
			assert.NotContains(t, hint.Line(err), "k3y")
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
		`{"detail":"router: no upstream"}`:              "router: no upstream",
		`{"detail":{"error":{"message":"wrapped"}}}`:    "wrapped",
		"<html>\n <b>502</b>\n</html>":                  "<html> <b>502</b> </html>",
		"":                                              "",
	} {
		assert.Equal(t, want, ErrorMessage([]byte(body)))
	}
}

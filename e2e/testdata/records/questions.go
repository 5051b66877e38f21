package records

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"inferbench/harness/server"
)

// Questions are what is asked of every engine, in the order of the table: the
// answer is a few words, the same each time.
var Questions = []struct {
	Name string
	ask  func(*asker) string
}{
	{"how it is recognised (`owned_by`)", (*asker).owner},
	{"prompt as token ids", (*asker).ids},
	{"keys that OpenAI does not have (`ignore_eos`)", (*asker).extraKeys},
	{"context length told", (*asker).context},
	{"more tokens than fit", (*asker).tooMany},
	{"`usage` in the stream", (*asker).usage},
	{"chunks for 32 tokens", (*asker).chunks},
	{"chats", (*asker).chats},
	{"a second request meanwhile", (*asker).parallel},
	{"prompt log-probabilities", (*asker).logprobs},
	{"tokenizer", (*asker).tokenizer},
	{"`/health`", (*asker).health},
	{"`/version`", (*asker).version},
	{"figures in `/metrics`", (*asker).metrics},
	{"an unknown page", (*asker).unknown},
}

// Ask asks an engine that is ready every question.
func Ask(t testing.TB, s *server.Server) map[string]string {
	t.Helper()
	a := &asker{t: t, s: s}
	if err := s.FindTextOnly(context.Background(), server.Retry{Each: time.Minute}); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, q := range Questions {
		out[q.Name] = q.ask(a)
	}
	return out
}

// asker asks one engine.
type asker struct {
	t     testing.TB
	s     *server.Server
	plain bool // it refuses keys that OpenAI does not have
}

// once asks on a connection of its own: one that was kept may be closed just then.
var once = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// post asks a path and returns status and body.
func (a *asker) post(path string, body map[string]any) (int, []byte) {
	a.t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.do(http.MethodPost, path, b)
}

func (a *asker) do(method, path string, body []byte) (int, []byte) {
	a.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, a.s.BaseURL+path, bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	a.s.Authorize(req.Header)
	resp, err := once.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer resp.Body.Close()
	out, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return resp.StatusCode, out
}

// fits is the context that the engines are started with.
const fits = 4096

// body is that of a completion.
func (a *asker) body(n int, more map[string]any) map[string]any {
	b := map[string]any{"model": a.s.ModelSent(), "prompt": "one two three", "max_tokens": n, "temperature": 0}
	if !a.plain {
		b["ignore_eos"] = true
	}
	for k, v := range more {
		b[k] = v
	}
	return b
}

// refused is a refusal in bold.
func refused(status int, body []byte) string {
	switch status / 100 {
	case 2:
		return "yes"
	case 0:
		return "**no**: no answer"
	}
	if says := server.ErrorMessage(body); len(says) > 0 && len(says) <= 60 {
		return fmt.Sprintf("**no**: HTTP %d, %s", status, strings.ReplaceAll(says, "|", "/"))
	}
	return fmt.Sprintf("**no**: HTTP %d", status)
}

func (a *asker) owner() string {
	_, list := a.do(http.MethodGet, "/v1/models", nil)
	if owner := gjson.GetBytes(list, "data.0.owned_by").String(); owner != "" {
		return "`" + owner + "`"
	}
	return "**not**: it lists no model"
}

func (a *asker) ids() string {
	status, body := a.post("/v1/completions", map[string]any{"model": a.s.ModelSent(),
		"prompt": []int{5, 6, 7}, "max_tokens": 1})
	return refused(status, body)
}

func (a *asker) extraKeys() string {
	status, body := a.post("/v1/completions", a.body(1, nil))
	a.plain = status/100 != 2
	if a.plain {
		return strings.TrimSuffix(refused(status, body), ".")
	}
	return "not refused"
}

func (a *asker) context() string {
	_, list := a.do(http.MethodGet, "/v1/models", nil)
	if gjson.GetBytes(list, "data.0.max_model_len").Exists() {
		return "`max_model_len`"
	}
	_, props := a.do(http.MethodGet, "/props", nil)
	if gjson.GetBytes(props, "default_generation_settings.n_ctx").Exists() {
		return "of a slot, in `/props`"
	}
	return "no"
}

// tooMany asks for 100 tokens after a prompt that leaves room for some 50.
func (a *asker) tooMany() string {
	const word, few, more, want = " a", 100, 500, 100
	ask := func(n, tokens int) (int, []byte) {
		return a.post("/v1/completions", a.body(tokens, map[string]any{"prompt": strings.Repeat(word, n)}))
	}
	count := func(n int) int {
		_, body := ask(n, 1)
		return int(gjson.GetBytes(body, "usage.prompt_tokens").Int())
	}
	first := count(few)
	each := (count(more) - first) / (more - few)
	if each < 1 {
		return "not known: it does not count the prompt"
	}
	status, body := ask(few+(max(fits, a.s.MaxLen)-want/2-first)/each, want)
	switch n := gjson.GetBytes(body, "usage.completion_tokens").Int(); {
	case status/100 != 2:
		return fmt.Sprintf("refused: HTTP %d", status)
	case n < want:
		return "**fewer come, in silence**"
	}
	return "they come"
}

// stream is the chunks of one.
func (a *asker) stream(n int) (chunks []gjson.Result) {
	more := map[string]any{"stream": true}
	if !a.plain {
		more["stream_options"] = map[string]any{"include_usage": true}
	}
	_, body := a.post("/v1/completions", a.body(n, more))
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && data != "[DONE]" {
			chunks = append(chunks, gjson.Parse(data))
		}
	}
	return chunks
}

func (a *asker) usage() string {
	for _, c := range a.stream(8) {
		if !c.Get("usage").IsObject() {
			continue
		}
		if c.Get("choices.#").Int() == 0 {
			return "a chunk without choices at the end"
		}
		return "in the finishing chunk"
	}
	return "**none**"
}

func (a *asker) chunks() string {
	text, empty := 0, 0
	for _, c := range a.stream(32) {
		silent := c.Get("choices.0.text").String() == ""
		switch {
		case c.Get("choices.#").Int() == 0, silent && c.Get("choices.0.finish_reason").String() != "":
		case silent:
			empty++
		default:
			text++
		}
	}
	if empty == 0 {
		return fmt.Sprint(text)
	}
	return fmt.Sprintf("%d, and %d without text", text, empty)
}

func (a *asker) chats() string {
	status, body := a.post("/v1/chat/completions", map[string]any{"model": a.s.ModelSent(), "max_tokens": 2,
		"messages": []map[string]string{{"role": "user", "content": "one"}}})
	return refused(status, body)
}

// parallel begins a long answer and, once it has begun, a short one that may
// overtake it.
func (a *asker) parallel() string {
	b, err := json.Marshal(a.body(200, map[string]any{"stream": true}))
	if err != nil {
		a.t.Fatal(err)
	}
	req, err := http.NewRequest(http.MethodPost, a.s.BaseURL+"/v1/completions", bytes.NewReader(b))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "**no answer**"
	}
	defer resp.Body.Close()
	long := bufio.NewReader(resp.Body)
	_, _ = long.ReadString('\n') // its first chunk
	end := make(chan time.Time, 1)
	go func() {
		_, _ = io.Copy(io.Discard, long)
		end <- time.Now()
	}()
	a.stream(4)
	if short := time.Now(); short.Before(<-end) {
		return "is answered meanwhile"
	}
	return "**waits**, or ends the first"
}

func (a *asker) logprobs() string {
	sc, err := a.s.Scorer(context.Background(), []int32{5, 6, 7}, server.Retry{Tries: 1, Each: time.Minute})
	if err == nil {
		return "`" + sc.Path + "`"
	}
	var h *server.HTTPError
	if errors.As(err, &h) {
		return refused(h.Status, []byte(h.Body))
	}
	return "**no**"
}

func (a *asker) tokenizer() string {
	if _, err := a.s.Tokenize(context.Background(), server.Retry{Tries: 1, Each: time.Minute}, "a", false); err != nil {
		return "**none**"
	}
	status, _ := a.post("/tokenize", map[string]any{"model": a.s.ModelSent(), "prompt": "a", "content": "a"})
	if status == http.StatusNotFound {
		return "at a path of its own"
	}
	return "`/tokenize`"
}

func (a *asker) health() string {
	status, _ := a.do(http.MethodGet, "/health", nil)
	return fmt.Sprintf("HTTP %d", status)
}

func (a *asker) version() string {
	status, body := a.do(http.MethodGet, "/version", nil)
	if status == 200 && gjson.GetBytes(body, "version").Exists() {
		return "yes"
	}
	return "no"
}

func (a *asker) metrics() string {
	status, body := a.do(http.MethodGet, "/metrics", nil)
	if status != 200 {
		return fmt.Sprintf("no: HTTP %d", status)
	}
	for _, names := range server.MetricNames() {
		for _, name := range append(names.Running, names.TTFT...) {
			if bytes.Contains(body, []byte(name)) {
				return "yes"
			}
		}
	}
	return "none that is known here"
}

func (a *asker) unknown() string {
	status, body := a.do(http.MethodGet, "/v1/nothing", nil)
	return fmt.Sprintf("HTTP %d, `%s`", status, strings.Join(strings.Fields(string(body[:min(len(body), 40)])), " "))
}

// Package server is a server we talk to: where it is, which model it serves,
// what dialect it speaks, and how to ask it something over HTTP.
//
// The streaming requests whose tokens are timed are sent by package load; what
// is here is everything else: readiness, models, tokenizers, scoring calls.
package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"inferbench/harness/hint"
)

// Server is a server that answered: see [Wait]. It is safe for concurrent use.
type Server struct {
	BaseURL  string // scheme and host without a trailing slash: http://127.0.0.1:8888
	Model    string // the model's name as the server lists it, fit to be shown
	Dialect  *Dialect
	Version  string // the engine's own version, empty where it gives none
	MaxLen   int    // context length in tokens, 0 where the server does not say
	Vocab    int    // size of the vocabulary, 0 where the server does not say
	TextOnly bool   // it takes prompts as text alone, not as token ids: see [Server.FindTextOnly]
	Loopback bool   // the server is the suite's own embedded engine
	Profile  string // of the embedded engine
	About    About  // what it says of how it was started
	Within   bool   // that engine runs in this process: whoever starts it says so

	TokenizerFile string // path of the model's tokenizer.json, for a server without one; may be empty

	// Headers go with every request, beside the target's own. Their values may be
	// secrets. Set them before the first request.
	Headers http.Header

	// Keys are those of a request's body that the server does not take as they are.
	Keys Keys

	key    string
	listed string // the model's name as the server lists it; see ModelSent
	http   *http.Client
	file   tokenizerFile
}

// ModelSent returns the model's name as requests have it: to the letter what the
// server lists, which is not fit to be shown where a secret or a control
// character is in it.
func (t *Server) ModelSent() string {
	if t.listed != "" {
		return t.listed
	}
	return t.Model
}

// Engine is what the server calls itself: its dialect's name and, where it tells that,
// its version.
func (t *Server) Engine() string { return strings.TrimSpace(t.Dialect.Name + " " + t.Version) }

// New is a target that has not been asked anything yet. The key goes into an
// Authorization header and nowhere else; it may be empty. A nil client means
// one with a pool wide enough for any CONC.
func New(baseURL, model, key string, client *http.Client) *Server {
	if client == nil {
		client, _ = Client("") // fails on a CA file only
	}
	own := *client
	own.CheckRedirect = staysThere
	return &Server{BaseURL: strings.TrimRight(baseURL, "/"), Model: model, Dialect: OpenAI, key: key, http: &own}
}

// redirectError is a server that says it is elsewhere.
type redirectError struct{ to string }

func (e *redirectError) Error() string {
	return fmt.Sprintf("the server redirects to %s, and no request is sent to another host than BASE_URL's", e.to)
}

var errRedirects = errors.New("redirected too often")

// staysThere follows redirects within a server. One to another would take the
// headers along, of which net/http holds Authorization back alone, and the timed
// requests follow none.
func staysThere(next *http.Request, before []*http.Request) error {
	if first := before[0].URL; next.URL.Scheme != first.Scheme || next.URL.Host != first.Host {
		return hint.New(&redirectError{to: next.URL.Scheme + "://" + next.URL.Host}, "set BASE_URL to where the server is")
	}
	if len(before) > 3 {
		return errRedirects
	}
	return nil
}

// Authorize adds the API key, where there is one, to a request's header.
func (t *Server) Authorize(h http.Header) {
	if t.key != "" {
		h.Set("Authorization", "Bearer "+t.key)
	}
}

// HTTPError is an answer whose status is not 2xx, or that is an error all the same.
type HTTPError struct {
	Method, URL string
	Status      int
	RetryAfter  time.Duration // from the Retry-After header, 0 without one
	Body        string        // the server's message, or the start of what it sent
}

func (e *HTTPError) Error() string {
	if e.Status/100 == 2 {
		return fmt.Sprintf("%s %s: HTTP %d, but the server says: %s", e.Method, e.URL, e.Status, e.Body)
	}
	return fmt.Sprintf("%s %s: HTTP %d: %s", e.Method, e.URL, e.Status, e.Body)
}

// maxAnswer bounds what one non-streaming answer may hold in memory: prompt
// logprobs of a 128K-token window (some 20 MB) stay below it. A page that is
// read again and again, as /metrics is, stays below maxPage.
const (
	maxAnswer = 64 << 20
	maxPage   = 8 << 20
)

var errTooMuch = errors.New("answer is longer than")

// Get asks path and decodes the JSON answer into out; a nil out reads and drops
// the answer, a *[]byte takes it as it is, a *json.RawMessage too if it is JSON.
// The error's text is fit to be shown; what is decoded is the server's word.
func (t *Server) Get(ctx context.Context, path string, out any) error {
	return t.gate(t.do(ctx, http.MethodGet, path, nil, out, maxAnswer))
}

// Page asks path for a text of at most 8 MiB.
func (t *Server) Page(ctx context.Context, path string) ([]byte, error) {
	var page []byte
	err := t.gate(t.do(ctx, http.MethodGet, path, nil, &page, maxPage))
	return page, err
}

// PageAt asks for a text of at most 8 MiB at an address that may be another
// server's, which gets no key and no header of this one.
func (t *Server) PageAt(ctx context.Context, address string) ([]byte, error) {
	if path, ok := strings.CutPrefix(address, t.BaseURL); ok && strings.HasPrefix(path, "/") {
		return t.Page(ctx, path)
	}
	page, err := New(address, "", "", t.http).Page(ctx, "")
	return page, t.gate(err)
}

// Post sends in as JSON to path and decodes the JSON answer into out, as Get does.
func (t *Server) Post(ctx context.Context, path string, in, out any) error {
	if body, ok := in.(map[string]any); ok && strings.HasPrefix(path, "/v1/") {
		in = t.Keys.fit(body)
	}
	return t.gate(t.do(ctx, http.MethodPost, path, in, out, maxAnswer))
}

func (t *Server) do(ctx context.Context, method, path string, in, out any, most int64) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
		body = bytes.NewReader(b)
	}
	url := t.BaseURL + path
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	maps.Copy(req.Header, t.Headers)
	req.Header.Del("Accept-Encoding") // net/http decompresses what it asked for itself
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	t.Authorize(req.Header)
	begin := time.Now()
	resp, err := t.http.Do(req)
	if err != nil { // names method and URL already: the server's own after a redirect
		return AdviseNetwork(inTime(err, method, url, begin))
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		refusal := t.newHTTPError(method, url, resp)
		return AdviseAnswer(refusal, refusal.Status, path, refusal.Body)
	}
	limited := &io.LimitedReader{R: resp.Body, N: most}
	var b []byte
	if out == nil {
		_, err = io.Copy(io.Discard, limited)
	} else {
		buf := bytes.NewBuffer(make([]byte, 0, min(max(resp.ContentLength, 0), 4<<20)+bytes.MinRead))
		_, err = buf.ReadFrom(limited)
		b = buf.Bytes()
	}
	if limited.N <= 0 {
		return fmt.Errorf("%s %s: %w %d MiB", method, url, errTooMuch, most>>20)
	}
	if err != nil {
		return AdviseNetwork(inTime(fmt.Errorf("%s %s: read the answer: %w", method, url, err), method, url, begin))
	}
	if says := t.errorIn(b); method == http.MethodPost && says != "" {
		refusal := &HTTPError{Method: method, URL: url, Status: resp.StatusCode, Body: says}
		return AdviseAnswer(refusal, refusal.Status, path, says)
	}
	switch out := out.(type) {
	case nil:
		return nil
	case *[]byte:
		*out = b
		return nil
	case *json.RawMessage:
		if !gjson.ValidBytes(b) { // which gjson itself, picking from it, does not mind
			return t.malformed(method, url, b, errNoJSON)
		}
		*out = b
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return t.malformed(method, url, b, err)
	}
	return nil
}

// errorIn is the message of the error that an answer of status 2xx is all the same,
// as some servers and gateways send it; "" where it is none.
func (t *Server) errorIn(answer []byte) string {
	if len(answer) > longestStart || gjson.GetBytes(answer, "choices.0").Exists() {
		return ""
	}
	if said := gjson.GetBytes(answer, "error").Raw; SaysError([]byte(said)) ||
		gjson.GetBytes(answer, "object").Str == "error" {
		return t.ErrorMessage(answer)
	}
	return ""
}

// silentError is a server that did not answer in the time it was given.
type silentError struct {
	method, url string
	after       time.Duration
	err         error
}

func (e *silentError) Error() string {
	return fmt.Sprintf("%s %s: no answer within %s", e.method, e.url, e.after.Round(100*time.Millisecond))
}

func (e *silentError) Unwrap() error { return e.err }

// inTime says of an error that is a time-out how long was waited.
func inTime(err error, method, url string, begin time.Time) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &silentError{method, url, time.Since(begin), err}
	}
	return err
}

var errNoJSON = errors.New("this is no JSON")

// MalformedError is a 2xx answer that is not the JSON it should be.
type MalformedError struct {
	Method, URL string
	Start       string // of the answer, fit to be shown
	NotFinite   bool   // NaN or Infinity stands in it, which Python writes and JSON has not
	Err         error  // what is wrong
}

func (t *Server) malformed(method, url string, body []byte, err error) *MalformedError {
	return &MalformedError{Method: method, URL: url, Start: oneLine(t.Redact(string(start(body)))),
		NotFinite: bytes.Contains(body, []byte("NaN")) || bytes.Contains(body, []byte("Infinity")), Err: err}
}

func (e *MalformedError) Error() string {
	text := []rune(e.Start)
	return fmt.Sprintf("%s %s: read the answer: %v (it starts %q)", e.Method, e.URL, e.Err,
		string(text[:min(len(text), 60)]))
}

func (e *MalformedError) Unwrap() error { return e.Err }

func (t *Server) newHTTPError(method, url string, resp *http.Response) *HTTPError {
	b, _ := io.ReadAll(io.LimitReader(resp.Body, longestStart+1))
	return &HTTPError{Method: method, URL: url, Status: resp.StatusCode,
		RetryAfter: RetryAfter(resp.Header.Get("Retry-After")), Body: t.ErrorMessage(start(b))}
}

// RetryAfter reads the header of that name: seconds, or a moment as HTTP writes
// it. It is 0 where there is none to wait for.
func RetryAfter(v string) time.Duration {
	if s, err := time.ParseDuration(v + "s"); err == nil && s > 0 {
		return s
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// ErrorMessage takes the message out of an error answer: OpenAI's error object,
// vLLM's and SGLang's older flat ones, FastAPI's detail, else the text itself,
// shortened and on one line. Secrets are taken out before it is shortened, as
// they are and as JSON may have escaped them.
func ErrorMessage(body []byte, secrets ...string) string {
	said := message([]byte(Redact(string(body), secrets...)))
	return oneLine(Redact(said, secrets...))
}

func message(body []byte) string {
	var e struct {
		Error   json.RawMessage `json:"error"`
		Message string          `json:"message"`
		Detail  json.RawMessage `json:"detail"`
	}
	if json.Unmarshal(body, &e) == nil {
		var obj struct {
			Message string `json:"message"`
		}
		var s string
		switch {
		case json.Unmarshal(e.Error, &obj) == nil && obj.Message != "":
			return obj.Message
		case json.Unmarshal(e.Error, &s) == nil && s != "":
			return s
		case e.Message != "":
			return e.Message
		case json.Unmarshal(e.Detail, &s) == nil && s != "":
			return s
		case len(e.Detail) > 0 && e.Detail[0] == '{': // FastAPI's, around an error of the server's own
			return message(e.Detail)
		case len(e.Detail) > 0:
			return string(e.Detail)
		}
	}
	return string(body)
}

// longestStart is how much of an answer is looked at for what it says, in bytes.
const longestStart = 4096

// start is the start of an answer. Where that is not all, its last word is left
// out: it may be the beginning of a secret.
func start(body []byte) []byte {
	if len(body) <= longestStart {
		return body
	}
	body = body[:longestStart]
	return body[:bytes.LastIndexAny(body, " \t\r\n")+1]
}

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 300 {
		return string(r[:300]) + "…"
	}
	return s
}

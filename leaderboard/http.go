package leaderboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// maxBody bounds a request: a result file as a JSON text with its quotes
// escaped, and some room.
const maxBody = 2*maxResult + 64<<10

// Handler is the board's whole HTTP face. With loopback set it answers only
// requests that were meant for this machine by name, so that a web page
// elsewhere cannot reach it by a name that it points here.
func (b *Board) Handler(loopback bool) http.Handler {
	mux := http.NewServeMux()
	b.routeAPI(mux)
	b.routeGradio(mux, "")
	b.routeGradio(mux, "/{combination}")
	b.routePages(mux)

	// Requests that change something must not come from another site's page.
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if loopback && !isLocalName(r.Host) {
			writeError(w, http.StatusMisdirectedRequest, "host", fmt.Sprintf("this board listens on loopback and answers to localhost, not to %q", r.Host))
			return
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		guarded.ServeHTTP(w, r)
	})
}

func isLocalName(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// limits is how many submissions each address may make.
type limits struct {
	mu     sync.Mutex
	perSec rate.Limit
	burst  int
	of     *lru.Cache[string, *rate.Limiter] // the addresses seen last
}

func newLimits(perSecond float64) *limits {
	if perSecond <= 0 {
		return nil
	}
	of, _ := lru.New[string, *rate.Limiter](8192)
	return &limits{perSec: rate.Limit(perSecond), burst: max(int(10*perSecond), 20), of: of}
}

// allow reports whether the caller may submit now.
func (l *limits) allow(r *http.Request) bool {
	if l == nil {
		return true
	}
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	l.mu.Lock()
	limiter, ok := l.of.Get(host)
	if !ok {
		limiter = rate.NewLimiter(l.perSec, l.burst)
		l.of.Add(host, limiter)
	}
	l.mu.Unlock()
	return limiter.Allow()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		status, b = http.StatusInternalServerError, []byte(`{"error":{"code":"internal","message":"the answer cannot be written as JSON"}}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

type apiError struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func writeError(w http.ResponseWriter, status int, code, message string) {
	var e apiError
	e.Error.Code, e.Error.Message = code, message
	writeJSON(w, status, e)
}

// fail answers an error: the submitter's with its reason, ours without.
func (b *Board) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, code, message := b.explain(r.Context(), err)
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "2")
	}
	writeError(w, status, code, message)
}

func (b *Board) explain(ctx context.Context, err error) (status int, code, message string) {
	var rule *RuleError
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &rule):
		return http.StatusUnprocessableEntity, "rule", rule.Reason
	case errors.As(err, &tooLong):
		return http.StatusRequestEntityTooLarge, "size", fmt.Sprintf("a request holds at most %d bytes", tooLong.Limit)
	case errors.Is(err, ErrToken):
		return http.StatusForbidden, "token", err.Error()
	case errors.Is(err, ErrKeyReused):
		return http.StatusConflict, "key", err.Error()
	case errors.Is(err, errNotFound):
		return http.StatusNotFound, "not_found", "there is no such thing here"
	case errors.Is(err, errRate):
		return http.StatusTooManyRequests, "rate", "too many submissions from this address: wait a little and send it again"
	case ctx.Err() != nil:
		return 499, "gone", "the caller went away"
	}
	b.log.Error("request failed", "error", err)
	return http.StatusInternalServerError, "internal", "the board failed; its log says why"
}

var errRate = errors.New("too many submissions")

// readJSON reads a request's body, which must say that it is JSON: a form of
// another site's page cannot.
func readJSON(r *http.Request, into any) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return breaks("send the header Content-Type: application/json")
	}
	dec := json.NewDecoder(r.Body)
	err := dec.Decode(into)
	if err == nil && dec.More() {
		err = errors.New("more than one value")
	}
	var tooLong *http.MaxBytesError
	if err != nil && !errors.As(err, &tooLong) {
		return breaks("the request's body is not the JSON that is wanted here: %v", err)
	}
	return err
}

// bearer is the caller's token: it stays in the request and is never logged.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

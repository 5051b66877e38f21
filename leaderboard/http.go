package leaderboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	strict "github.com/go-json-experiment/json"
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
	catchAll := []string{"/", "/api/v1/"}
	notOffered := func(w http.ResponseWriter) {
		writeError(w, http.StatusMethodNotAllowed, "method",
			"this is not offered with that method; the header Allow names those that are")
	}
	mux.HandleFunc("/api/v1/", otherwise(mux, catchAll, notOffered, func(w http.ResponseWriter,
		r *http.Request) {
		b.fail(w, r, errNotFound)
	}))
	mux.HandleFunc("/", otherwise(mux, catchAll, notOffered, b.missing))

	// Requests that change something must not come from another site's page.
	guarded := http.NewCrossOriginProtection().Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if loopback && !isLocalName(r.Host) {
			writeError(w, http.StatusMisdirectedRequest, "host",
				fmt.Sprintf("this board listens on loopback and answers to localhost, not to %q", r.Host))
			return
		}
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' "+
			"data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		guarded.ServeHTTP(w, r)
	})
}

// methods are those that any path here is offered with.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut}

// otherwise is the handler of what no path and method above match: 405 with the
// methods that the path has, where it has any, else missing.
func otherwise(mux *http.ServeMux, catchAll []string, refuse func(http.ResponseWriter),
	missing http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allow []string
		for _, method := range methods {
			other := r.Clone(r.Context())
			other.Method = method
			if _, pattern := mux.Handler(other); !slices.Contains(catchAll, pattern) {
				allow = append(allow, method)
			}
		}
		if allow == nil {
			missing(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(allow, ", "))
		refuse(w)
	}
}

func isLocalName(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
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
	sayWhen(w, status, err)
	writeError(w, status, code, message)
}

// sayWhen tells a caller that was too quick when to come again.
func sayWhen(w http.ResponseWriter, status int, err error) {
	if status != http.StatusTooManyRequests {
		return
	}
	seconds := 2
	if over := (*quotaError)(nil); errors.As(err, &over) {
		seconds = int(over.again.Seconds()) + 1
	}
	w.Header().Set("Retry-After", strconv.Itoa(seconds))
}

func (b *Board) explain(ctx context.Context, err error) (status int, code, message string) {
	var rule *RuleError
	var tooLong *http.MaxBytesError
	var over *quotaError
	switch {
	case errors.As(err, &rule):
		return http.StatusUnprocessableEntity, "rule", rule.Reason
	case errors.As(err, &over):
		return http.StatusTooManyRequests, "rate", over.Error()
	case errors.Is(err, errFull):
		return http.StatusInsufficientStorage, "full", err.Error()
	case errors.Is(err, ErrOthersRun):
		return http.StatusConflict, "run", err.Error()
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
// another site's page cannot. A key that comes twice is refused.
func readJSON(r *http.Request, into any) error {
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return breaks("send the header Content-Type: application/json")
	}
	body, err := io.ReadAll(r.Body)
	if err != nil { // it is too long, or the caller went away
		return err
	}
	if err := strict.Unmarshal(body, into); err != nil {
		return breaks("the request's body is not the JSON that is wanted here: %v", err)
	}
	return nil
}

// bearer is the caller's token: it stays in the request and is never logged.
func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"inferbench/harness/clock"
	"inferbench/harness/hint"
)

// WaitOptions says how long a server may take to come up, and how to tell a
// person what is happening meanwhile.
type WaitOptions struct {
	Timeout time.Duration // default 45 minutes: a first start of a large model takes 30
	Every   time.Duration // between two polls, default 1 s

	// OnWait is told, after each poll that failed, how long it has waited and
	// what it last heard.
	OnWait func(waited time.Duration, last error)
}

// Wait polls the server until it is ready: /health first, then /v1/models, which
// decides. It fills in what the model list says. With an empty t.Model the
// server's one model is taken; one that is given is believed where the server
// lists none.
//
// It gives up when ctx ends, when the time-out passes, and at once on an answer
// that waiting cannot mend: a key that is refused, a model that is not listed,
// an answer that is no model list.
func (t *Server) Wait(ctx context.Context, o WaitOptions) error {
	if o.Timeout == 0 {
		o.Timeout = 45 * time.Minute
	}
	if o.Every == 0 {
		o.Every = time.Second
	}
	begin, limit := time.Now(), min(o.Timeout/4, 10*time.Second)
	var last error
	for {
		left, cancel := context.WithTimeout(ctx, max(o.Timeout-time.Since(begin), min(o.Timeout/8, time.Second)))
		err := t.ready(left, limit)
		if errors.Is(err, context.DeadlineExceeded) && left.Err() != nil && last != nil {
			err = last // it had no time of its own to answer in
		}
		last = err
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			limit = min(2*limit, o.Timeout/2) // a slow answer is one
		}
		var fatal *hopeless
		switch {
		case err == nil:
			return nil
		case errors.As(err, &fatal):
			return fatal.error
		case ctx.Err() != nil:
			return hint.New(fmt.Errorf("interrupted while waiting for %s (last heard: %w)", t.BaseURL, err), "")
		}
		waited := time.Since(begin)
		if waited >= o.Timeout {
			return t.gaveUp(waited, err)
		}
		if o.OnWait != nil {
			o.OnWait(waited, err)
		}
		// A last look when the time is over; an interrupt is told of above
		_ = clock.Sleep(ctx, min(o.Every, o.Timeout-waited))
	}
}

// gaveUp is the error of a server that was not ready within the time-out.
func (t *Server) gaveUp(waited time.Duration, last error) error {
	err := fmt.Errorf("no server at %s after %s (READY_TIMEOUT); last heard: %w", t.BaseURL,
		waited.Round(time.Second), last)
	if req, _ := http.NewRequest(http.MethodGet, t.BaseURL, nil); req != nil {
		if proxy, _ := http.ProxyFromEnvironment(req); proxy != nil {
			err = fmt.Errorf("%w (HTTP_PROXY and its like are not used for the server)", err)
		}
	}
	var dns *net.DNSError
	switch {
	case errors.Is(last, syscall.ECONNREFUSED):
		return hint.New(err, "start the server (make serve ENGINE=sglang), or correct PORT or BASE_URL")
	case errors.As(last, &dns), is(last, syscall.EHOSTUNREACH, syscall.ENETUNREACH):
		return err // the way to the server is wrong, and says so itself
	}
	return hint.New(err, "look into the server's log, and give it longer with READY_TIMEOUT if it is merely loading")
}

// sideLimit is how long a question may take whose answer one can do without.
const sideLimit = 10 * time.Second

// hopeless is an error that waiting longer cannot mend.
type hopeless struct{ error }

// ready asks the server whether it takes requests, and fills in what it says of
// itself. Only a 503 or a refused connection says at /health that it does not
// yet: whatever else is there, also an answer that does not come, is perhaps a
// gateway's, and /v1/models decides. Either may take limit.
func (t *Server) ready(ctx context.Context, limit time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := t.Get(limited, "/health", nil)
	if hasStatus(err, http.StatusServiceUnavailable) || errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	limited, cancel = context.WithTimeout(ctx, limit)
	defer cancel()
	list, err := t.models(limited)
	if err != nil {
		return err
	}
	m, err := t.pick(list, t.ModelSent())
	if err != nil {
		return &hopeless{fmt.Errorf("%s: %w", t.BaseURL, err)}
	}
	t.Model, t.listed, t.MaxLen, t.Vocab = t.name(m.ID), m.ID, m.MaxLen, m.Vocab
	t.describe(ctx, m.OwnedBy, limit)
	return nil
}

// describe fills in what a server that is ready says of itself beside its model
// list, which may be nothing.
func (t *Server) describe(ctx context.Context, owner string, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t.Dialect, t.Loopback = dialectOf(owner), false
	if t.Dialect.Describe != nil {
		t.Dialect.Describe(t, ctx)
	}
	var v struct{ Version string }
	if t.Get(ctx, "/version", &v) == nil { // vLLM's and the embedded engine's; others have none
		t.Version = t.name(v.Version)
	}
	t.About = t.about(ctx)
}

// refused makes an error that waiting cannot mend hopeless.
func refused(err error) error {
	var elsewhere *redirectError
	var status *HTTPError
	switch {
	case errors.As(err, &elsewhere), errors.Is(err, errRedirects), errors.Is(err, errTooMuch), certificate(err) != "":
		return &hopeless{err}
	case errors.As(err, &status) && wantsHTTPS(status):
		return &hopeless{hint.New(err, "use https:// in BASE_URL")}
	// Net/http has no type for these
	case strings.Contains(err.Error(), "malformed HTTP"), strings.Contains(err.Error(), "malformed MIME"):
		return &hopeless{hint.New(fmt.Errorf("%w: what listens there does not speak HTTP", err), "correct PORT or BASE_URL")}
	case hasStatus(err, http.StatusUnauthorized), hasStatus(err, http.StatusForbidden):
		return &hopeless{err}
	}
	return err
}

// wantsHTTPS recognises the answer of a server that was spoken to without TLS.
func wantsHTTPS(h *HTTPError) bool {
	return h.Status == http.StatusBadRequest && strings.Contains(h.Body, "HTTPS")
}

func hasStatus(err error, status int) bool {
	var h *HTTPError
	return errors.As(err, &h) && h.Status == status
}

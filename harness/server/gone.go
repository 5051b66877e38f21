package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"inferbench/harness/hint"
)

// Explain returns err, the failure of a cell, as one of a server that has gone
// ([HasGone]) where the server does not answer any more; one that is slow to answer
// is there. The advice to try the other endpoint stands only where that is there.
func (t *Server) Explain(ctx context.Context, err error) error {
	switch do := hint.For(err); {
	case err == nil || HasGone(err) || ctx.Err() != nil:
		return err
	case do == tryChat && !t.has(ctx, "/v1/chat/completions"), do == tryCompletions && !t.has(ctx, "/v1/completions"):
		return hint.New(err, writesNothing)
	}
	ctx, cancel := context.WithTimeout(ctx, goneLimit)
	defer cancel()
	answer := t.Get(ctx, "/v1/models", nil)
	var refusal *HTTPError
	var slow net.Error
	switch {
	case answer == nil, ctx.Err() != nil, errors.As(answer, &slow) && slow.Timeout():
		return err
	case !errors.As(answer, &refusal):
		return hint.New(fmt.Errorf("%w; then the server did not answer any more", err), Gone)
	case refusal.Status == http.StatusBadGateway || refusal.Status == http.StatusGatewayTimeout:
		return hint.New(fmt.Errorf("%w; then the gateway could not reach the server any more", err), Gone)
	}
	return err
}

// has reports whether the server has an endpoint that is posted to: an empty
// question is refused in another way than one for a page that is not there.
func (t *Server) has(ctx context.Context, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, goneLimit)
	defer cancel()
	err := t.Post(ctx, path, map[string]any{}, nil)
	return !hasStatus(err, http.StatusNotFound) && !hasStatus(err, http.StatusMethodNotAllowed) &&
		!hasStatus(err, http.StatusNotImplemented)
}

// goneLimit bounds the one question whether a server is still there.
const goneLimit = 5 * time.Second

// HasGone reports whether err is that of a server that has gone.
func HasGone(err error) bool { return hint.For(err) == Gone }

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

// ExplainGone returns err, the failure of a cell, as one of a server that has
// gone ([HasGone]) where the server does not answer any more. A server that is
// slow to answer is there.
func (t *Server) ExplainGone(ctx context.Context, err error) error {
	if err == nil || HasGone(err) || ctx.Err() != nil {
		return err
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

// goneLimit bounds the one question whether a server is still there.
const goneLimit = 5 * time.Second

// HasGone reports whether err is that of a server that has gone.
func HasGone(err error) bool { return hint.For(err) == Gone }

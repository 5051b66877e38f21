package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Retry says how long to go on asking a server that is busy or stumbling.
type Retry struct {
	Tries   int           // in all, default 6
	First   time.Duration // pause after the first failure, doubled after each next one, with jitter; default 500 ms
	Longest time.Duration // longest pause of our own; default 15 s. A server's Retry-After may be longer
	Each    time.Duration // time for one try, default 10 minutes
	Within  time.Duration // no further try starts later than this, default 30 minutes
}

func (r Retry) orDefaults() Retry {
	pick := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	if r.Tries <= 0 {
		r.Tries = 6
	}
	pick(&r.First, 500*time.Millisecond)
	pick(&r.Longest, 15*time.Second)
	pick(&r.Each, 10*time.Minute)
	pick(&r.Within, 30*time.Minute)
	return r
}

// PostRetry is [Server.Post] that asks again after an answer which trying later
// may mend: 408, 425, 429, any 5xx but 501, and a connection that broke. It
// waits as long as the server's Retry-After says, else backs off
// exponentially, and stops at once when ctx ends. What the server answers twice
// alike, in words that blame the request, it is not asked a third time. The error
// it gives up with is that of the last try.
//
// Use it only for requests that may be sent twice: scoring, tokenizing, greedy
// decoding. A request that is timed is never sent again.
func (t *Server) PostRetry(ctx context.Context, r Retry, path string, in, out any) error {
	r = r.orDefaults()
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval, pause.Multiplier = r.First, r.Longest, 2
	tries, said := 0, ""
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		tries++
		each, cancel := context.WithTimeout(ctx, r.Each)
		defer cancel()
		err := t.Post(each, path, in, out)
		switch {
		case err == nil:
			return struct{}{}, nil
		case ctx.Err() != nil || !transient(err):
			return struct{}{}, backoff.Permanent(err)
		}
		var h *HTTPError
		if errors.As(err, &h) && h.blamesRequest() {
			if h.Error() == said {
				return struct{}{}, backoff.Permanent(err)
			}
			said = h.Error()
		}
		if h != nil && h.RetryAfter > 0 {
			return struct{}{}, &later{error: err, wait: &backoff.RetryAfterError{Duration: h.RetryAfter}}
		}
		return struct{}{}, err
	}, backoff.WithBackOff(pause), backoff.WithMaxTries(uint(r.Tries)), backoff.WithMaxElapsedTime(r.Within))
	var l *later
	var p *backoff.PermanentError
	switch { // the library hands these back as they are when it was the last try
	case errors.As(err, &l):
		err = l.error
	case errors.As(err, &p):
		err = p.Err
	}
	if err != nil && tries > 1 {
		return fmt.Errorf("%w (tried %d times)", err, tries)
	}
	return err
}

// later is an error that the server named a waiting time for.
type later struct {
	error
	wait *backoff.RetryAfterError
}

func (l *later) Unwrap() []error { return []error{l.error, l.wait} }

// transient reports whether the same request may well succeed a little later.
func transient(err error) bool {
	var h *HTTPError
	if errors.As(err, &h) {
		switch h.Status {
		case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
			return true
		case http.StatusNotImplemented:
			return false
		}
		return h.Status >= 500 && !saysNotFinite(h) && !saysNever(h)
	}
	var malformed *MalformedError
	return !errors.As(err, &malformed) && !errors.Is(err, errTooMuch) // what is left is the network
}

// Passing reports whether err, or one of those that it is made of, says nothing
// of what the server can do: it was busy, or could not be reached. A 500 that
// comes again does say something.
func Passing(err error) bool {
	switch e := err.(type) {
	case *HTTPError:
		return transient(e) && e.Status != http.StatusInternalServerError
	case net.Error:
		return true
	case interface{ Unwrap() error }:
		return Passing(e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), Passing)
	}
	return err == io.ErrUnexpectedEOF
}

// saysNever recognises a 500 whose words tell that the same request will be
// refused again: llama.cpp's servers answer so to what they do not support and
// to what is not of the form that they want.
func saysNever(h *HTTPError) bool {
	for _, words := range []string{"not supported", "is supported", "validation error"} {
		if strings.Contains(h.Body, words) {
			return true
		}
	}
	return false
}

// itsOwnFault is how servers blame a request for their answer, whatever its
// status: gateways pass a 400 on as a 500 or a 429.
var itsOwnFault = regexp.MustCompile(`(?i)bad ?request|invalid|unsupported|not (a valid|allowed|supported)|validation|` +
	`unprocessable|(must|should|has to) be\b|expected|too (long|large|many tokens)|context length|deserializ|parse the`)

// blamesRequest reports whether the server's words put its answer down to what
// was asked.
func (e *HTTPError) blamesRequest() bool { return itsOwnFault.MatchString(e.Body) }

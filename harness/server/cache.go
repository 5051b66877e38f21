package server

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Reset is a path that is posted to, without a body, to reset a cache.
type Reset struct{ Path string }

// ErrNoReset: the server has no way to reset its prefix cache that is known, or
// does not offer it.
var ErrNoReset = errors.New("the server offers no reset of its prefix cache")

// ResetCache makes the server forget its prefix cache, in each way that its
// dialect knows: a server may have several tiers. Without any that works the
// error is [ErrNoReset]; another says why the server did not.
func (t *Server) ResetCache(ctx context.Context) error {
	resets := t.Dialect.Resets
	if resets == nil {
		resets = OpenAI.Resets
	}
	done := false
	var refused error
	for _, r := range resets {
		each, cancel := context.WithTimeout(ctx, time.Minute)
		err := t.Post(each, r.Path, nil, nil)
		cancel()
		switch {
		case err == nil:
			done = true
		case ctx.Err() != nil:
			return err
		case Absent(err):
		case refused == nil:
			refused = err
		}
	}
	switch {
	case done:
		return nil
	case refused != nil:
		return fmt.Errorf("reset the prefix cache: %w", refused)
	}
	return ErrNoReset
}

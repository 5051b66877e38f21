package server

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Profiler is how a make of server records where its time goes.
type Profiler struct {
	Needs string // what it must have been started with
	Trace string // where the trace lies, unless the server names the folder among its flags
}

// ErrNoProfiler: the server records no profile, or was not started so that it can.
var ErrNoProfiler = errors.New("the server records no profile")

// stopLimit is how long a server may take to write its trace.
const stopLimit = 10 * time.Minute

// StartProfile has the server record where its time goes, until StopProfile.
// Without a profiler the error is [ErrNoProfiler].
func (t *Server) StartProfile(ctx context.Context) error {
	return t.profile(ctx, "/start_profile", time.Minute)
}

// StopProfile ends that and waits until the trace is written, at most ten minutes.
func (t *Server) StopProfile(ctx context.Context) error {
	return t.profile(ctx, "/stop_profile", stopLimit)
}

func (t *Server) profile(ctx context.Context, path string, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err := t.Post(ctx, path, nil, nil)
	if Absent(err) {
		return fmt.Errorf("%w: start it with %s", ErrNoProfiler, t.profiler().Needs)
	}
	return err
}

func (t *Server) profiler() Profiler {
	if p := t.Dialect.Profiler; p != nil {
		return *p
	}
	return *OpenAI.Profiler
}

// TraceAt says where a profile's trace lies, in words.
func (t *Server) TraceAt() string {
	if dir := t.About.Flags["torch_profiler_dir"]; dir != "" {
		return dir + " on the server's machine"
	}
	return t.profiler().Trace
}

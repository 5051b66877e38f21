// Package load drives a server with streaming requests and times every token:
// so many in flight, at such a rate, one [stats.Timing] a request.
//
// It exists because the client must not be the bottleneck. It has its own
// HTTP/1.1 reader over the socket: one goroutine, one connection and one read
// buffer a stream, events scanned where they lie in that buffer, nothing
// allocated for a token. An instant is taken once a read, before anything is
// parsed. It knows nothing of files or of what the figures are used for.
package load

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"inferbench/harness/stats"
)

// Options say how the load is put on.
type Options struct {
	Conc           int           // requests in flight; at least 1
	WarmUp         int           // requests sent and finished before the clock starts; negative means 2×Conc
	RequestTimeout time.Duration // one request in all, from its first byte to its last; default 30 minutes

	Shape // when they are sent; the zero Shape is a closed loop of Conc

	Chat        bool                       // ask /v1/chat/completions instead of /v1/completions
	RequestIDs  string                     // where set, requests carry an X-Request-Id: this and their index
	Temperature float64                    // of sampling
	ExtraBody   map[string]json.RawMessage // keys of every request's body, over the client's own; null removes one
	SLO         stats.SLO                  // for goodput; may be nil

	Affinity Affinity // of the requests of sessions

	// Gate, where set, is called between the warm-up and the measured run, whose
	// clock starts when it returns: clients on several machines start together
	// with it. An error from it is an error of the run.
	Gate func(context.Context) error

	// Enough, where set, is asked after each request of the measured run how many
	// have ended, failed or not; timings gives them, good until it returns. Where it
	// says so, no further request is sent. It is called from one goroutine at a time
	// and must return quickly.
	Enough func(ended int, timings func() []stats.Timing) bool

	// OnProgress, where set, is told every ProgressEvery (default 250 ms) how
	// the run stands, and once more at its end. It is called from one goroutine.
	OnProgress    func(Progress)
	LiveITL       bool // it is told the gaps between tokens too, which are many
	ProgressEvery time.Duration
}

// Progress is how a run stands.
type Progress struct {
	WarmUp       bool // these are the warm-up requests
	Sent         int
	Done         int // answered or failed
	Failed       int
	InFlight     int
	Total        int   // 0 where only a duration ends the run
	OutputTokens int64 // chunks that carried tokens, so far
	Elapsed      time.Duration

	Sessions *SessionProgress // nil where none are replayed

	TTFT, TPOT, E2EL Spread // of the requests that succeeded so far; 0 while there are none
	ITL              Spread // likewise, where LiveITL asks for it
}

// SessionProgress is how a replay of sessions stands.
type SessionProgress struct {
	Ended   int
	HitRate *float64 // share of the input tokens so far that came from the server's cache; nil where it does not tell
}

// Spread is the middle and the end of a latency.
type Spread struct{ P50, P99 time.Duration }

// Recording is what a run left behind.
type Recording struct {
	Timings  []stats.Timing   // every request that was sent, in order of index; those that failed carry Err
	Folded   *stats.Histogram // of the gaps between chunks, where there were too many to keep
	Duration time.Duration    // from the start to the end of the last request
	Unsent   int              // requests of the workload that a stopped or cancelled run did not send
	SLO      stats.SLO
	Audit    stats.Audit
	Notes    []string // what the reader of the figures should know, a line each

	StoodStill [][2]time.Duration // spells of the run in which the client did, from when to when

	FoldedTokens *stats.Histogram // of the gaps a token, likewise
	Answers      []stats.Answer   // of canaries, in order of index: how those that succeeded or ended begin

	Sessions []stats.Session // that were replayed, by [stats.Turn.Session]; nil where none were
	Stopped  string          // why a replay was given up; "" where none was
	WarmUps  int             // requests that a replay sent before the clock started

	InputOffset    stats.Offset
	Contradictions []string // what the server said that cannot be: figures that rest on it fail
}

// Later is the recording as of a run that began earlier by so much and had other
// requests before these, whose indices index gives.
func (r *Recording) Later(by time.Duration, index func(int) int) *Recording {
	out := *r
	out.Duration += by
	out.Timings, out.Answers = slices.Clone(r.Timings), slices.Clone(r.Answers)
	for i := range out.Answers {
		out.Answers[i].Index = index(out.Answers[i].Index)
	}
	for i := range out.Timings {
		t := &out.Timings[i]
		t.Index = index(t.Index)
		t.Sent, t.Done = t.Sent+by, t.Done+by
		if t.Chunks > 0 { // a request without a token has neither instant
			t.First, t.Last = t.First+by, t.Last+by
		}
	}
	return &out
}

// Summary takes the figures; gpus divides the throughput.
func (r *Recording) Summary(gpus int) stats.Summary {
	return stats.Run{Timings: r.Timings, Duration: r.Duration, GPUs: gpus, Folded: r.Folded, FoldedTokens: r.FoldedTokens,
		SLO: r.SLO, InputOffset: r.InputOffset, Sessions: r.Sessions, WarmUps: r.WarmUps}.Summary()
}

func (o Options) withDefaults() (Options, error) {
	if o.Conc < 1 {
		return o, errors.New("load: want at least one request in flight")
	}
	if o.WarmUp < 0 {
		o.WarmUp = 2 * o.Conc
	}
	if o.RequestTimeout <= 0 {
		o.RequestTimeout = 30 * time.Minute
	}
	if o.ProgressEvery <= 0 {
		o.ProgressEvery = 250 * time.Millisecond
	}
	return o, o.Shape.check()
}

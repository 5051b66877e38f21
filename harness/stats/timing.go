// Package stats turns what the client saw of each request into the figures of
// a result: TTFT, TPOT, ITL, E2EL, throughput and their percentiles.
//
// It is pure: no clock, no network, no files. The definitions are those of
// vLLM's `bench serve`, so that figures can be laid side by side.
package stats

import (
	"slices"
	"time"
)

// Timing is what the client saw of one request. Instants are monotonic and
// count from the start of the measured run.
type Timing struct {
	Index  int           // position of the request in the workload
	Sent   time.Duration // just before the request's first byte was written
	Waited time.Duration // how long before Sent the load shape wanted it sent; 0 in a closed loop
	First  time.Duration // arrival of the first chunk that carried a token
	Last   time.Duration // arrival of the last chunk that carried a token
	Done   time.Duration // when the client was through with the request, failed or not

	// ITL holds the gaps between successive chunks that carried tokens, in
	// order: one fewer than the chunks. It is empty where a [Collector] has
	// folded the gaps of a large run into a histogram.
	ITL Gaps

	Chunks  int // chunks that carried tokens
	Bundled int // of those, chunks that came in one read with the chunk before them, and share its instant

	InputTokens  int    // of the prompt: as they were sent where that is known, else as the server counts them
	OutputTokens int    // as the server's usage counts them; where it sends none, the chunks
	NoUsage      bool   // the server sent no count of the answer's tokens
	Err          string // why the request failed; empty for a request that succeeded
	Advice       string // what to do about Err; may be empty

	Apart bool // it counts in throughput, and in no latency

	Prompt Prompt
	Known  Known
	Turn   *Turn // its place in a session; nil where it is of none
}

// Prompt is who counted a prompt's tokens.
type Prompt struct {
	Sent       int  // tokens, as the client knows them: ids, or a text that was measured; 0 where it does not
	Text       bool // it was sent as text, or in a chat, so that a template may shift the count by a token
	Counted    bool // the server's usage has a count
	Server     int  // which is this
	Cached     int  // tokens that the server took from its prefix cache
	CachedTold bool // it says so; servers that found none often say nothing
	Unknown    bool // nobody counted: InputTokens says nothing

	Tiers *Tiers // where the cached tokens were; nil where the server does not say
}

// Tiers says in which tier of the prefix cache a prompt's tokens were found.
type Tiers struct {
	Device  int `json:"device"`
	Host    int `json:"host"`
	Storage int `json:"storage,omitempty"`
}

// Sum is the tokens of all tiers.
func (t Tiers) Sum() int { return t.Device + t.Host + t.Storage }

// Known is what the server said of the tokens in each chunk; zero where its
// chunks carry no counts.
type Known struct {
	First int  // tokens in the first chunk
	ITL   Gaps // gaps a token, each chunk's spread over its tokens; empty where every chunk has one
}

// perToken is the gaps a token; empty where it is not known how many tokens each
// chunk carried.
func (t *Timing) perToken() Gaps {
	if t.Known.First > 0 && t.Known.ITL.Len() == 0 {
		return t.ITL // a chunk a token
	}
	return t.Known.ITL
}

// Timed are the timings that latencies are taken of: all but those apart.
func Timed(ts []Timing) []Timing {
	if !slices.ContainsFunc(ts, func(t Timing) bool { return t.Apart }) {
		return ts
	}
	return slices.DeleteFunc(slices.Clone(ts), func(t Timing) bool { return t.Apart })
}

// TTFT is the time to the first token. Under a load shape that schedules its
// requests it counts from the scheduled time, so that time spent waiting in the
// client is not left out.
func (t Timing) TTFT() time.Duration { return t.First - t.Sent + t.Waited }

// E2EL is the end-to-end latency, to the last token's chunk; it counts from
// where TTFT does.
func (t Timing) E2EL() time.Duration { return t.Last - t.Sent + t.Waited }

// TPOT is the mean time per output token after the first; zero for outputs of
// fewer than two tokens, and where all came at once: these have none. It is cut
// to whole nanoseconds; the figures of a [Summary] are not.
func (t Timing) TPOT() time.Duration { return time.Duration(t.tpot()) }

// HasTPOT reports whether the answer has a time per output token: it had two
// tokens or more, and they did not all come at one instant.
func (t Timing) HasTPOT() bool { return t.OutputTokens > 1 && t.Last > t.First }

// tpot is TPOT in ns, not rounded.
func (t Timing) tpot() float64 {
	if !t.HasTPOT() {
		return 0
	}
	return float64(t.Last-t.First) / float64(t.OutputTokens-1)
}

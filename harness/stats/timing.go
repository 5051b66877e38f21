// Package stats turns what the client saw of each request into the figures of
// a result: TTFT, TPOT, ITL, E2EL, throughput and their percentiles.
//
// It is pure: no clock, no network, no files. The definitions are those of
// vLLM's `bench serve`, so that figures can be laid side by side.
package stats

import "time"

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

	Chunks       int    // chunks that carried tokens
	Bundled      int    // of those, chunks that came in one read with the chunk before them, and share its instant
	PromptTokens int    // as the client sent them; 0 where the prompt was text
	InputTokens  int    // as the server's usage counts them
	OutputTokens int    // likewise; where the server sends no usage, the chunks
	NoUsage      bool   // the server sent no usage: the counts are the client's
	Err          string // why the request failed; empty for a request that succeeded
	Advice       string // what to do about Err; may be empty
}

// TTFT is the time to the first token. Under a load shape that schedules its
// requests it counts from the scheduled time, so that time spent waiting in the
// client is not left out.
func (t Timing) TTFT() time.Duration { return t.First - t.Sent + t.Waited }

// E2EL is the end-to-end latency, to the last token's chunk; it counts from
// where TTFT does.
func (t Timing) E2EL() time.Duration { return t.Last - t.Sent + t.Waited }

// TPOT is the mean time per output token after the first; zero for outputs of
// fewer than two tokens, which have none. It is cut to whole nanoseconds; the
// figures of a [Summary] are not.
func (t Timing) TPOT() time.Duration { return time.Duration(t.tpot()) }

// tpot is TPOT in ns, not rounded.
func (t Timing) tpot() float64 {
	if t.OutputTokens < 2 {
		return 0
	}
	return float64(t.Last-t.First) / float64(t.OutputTokens-1)
}

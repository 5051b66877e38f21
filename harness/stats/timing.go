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
	Index     int           // position of the request in the workload
	Scheduled time.Duration // when the load shape wanted it sent; equals Sent in a closed loop
	Sent      time.Duration // just before the request's first byte was written
	First     time.Duration // arrival of the first chunk that carried a token
	Last      time.Duration // arrival of the last chunk that carried a token

	// ITL holds the gaps between successive chunks that carried tokens, in
	// order: one fewer than the chunks.
	ITL []time.Duration

	InputTokens  int    // as the server's usage counts them
	OutputTokens int    // likewise
	Err          string // why the request failed; empty for a request that succeeded
}

// TTFT is the time to the first token.
func (t Timing) TTFT() time.Duration { return t.First - t.Sent }

// E2EL is the end-to-end latency: to the last token's chunk.
func (t Timing) E2EL() time.Duration { return t.Last - t.Sent }

// TPOT is the mean time per output token after the first; zero for outputs of
// fewer than two tokens, which have none.
func (t Timing) TPOT() time.Duration {
	if t.OutputTokens < 2 {
		return 0
	}
	return (t.E2EL() - t.TTFT()) / time.Duration(t.OutputTokens-1)
}

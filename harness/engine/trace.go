package engine

import "time"

// Trace is what the engine knows of one request, on its own clock.
type Trace struct {
	ID      string        `json:"id"`
	Arrived time.Duration `json:"arrived_ns"` // first byte of the request read
	Tokens  []int64       `json:"handed_ns"`  // each token handed to the socket
	Prompt  int           `json:"prompt_tokens"`
	End     string        `json:"finish_reason"`
}

type trace struct{ max int }

func newTrace(max int) *trace { return &trace{max: max} }

func (t *trace) end(*job) {}

func (j *job) handed(n int, at time.Time) {
	if j.record == nil {
		return
	}
	ns := int64(at.Sub(j.e.born))
	for range n {
		j.record.Tokens = append(j.record.Tokens, ns)
	}
}

package load

import (
	"context"
	"sync"

	"inferbench/harness/workload"
)

// supply makes the request bodies of a phase: in order, in one goroutine, ahead
// of the slots that send them.
type supply struct {
	src    workload.Source
	enc    encoder
	total  int
	warmUp bool

	bodies sync.Pool // of *payload: bodies that were sent

	mu     sync.Mutex // guards tokens: one body is made at a time
	tokens []int32    // of the latest prompt; the next one is written over it
}

// Request bodies are made before a slot asks for one: so many, and of long
// prompts no more than these bytes hold.
const (
	readyAhead      = 32
	readyAheadBytes = 1 << 20
)

// start makes the first body and sees to it that the others follow until ctx
// ends. At most atOnce of them lie ready; the channel is closed after the last.
func (s *supply) start(ctx context.Context, atOnce int, at *arrivals) (<-chan prepared, func()) {
	first := s.body(s.index(0))
	made := make(chan prepared, min(s.total, atOnce, readyAhead, readyAheadBytes/max(first.body.size(), 1)+1))
	return made, func() { s.run(ctx, first, at, made) }
}

func (s *supply) run(ctx context.Context, first prepared, at *arrivals, made chan<- prepared) {
	defer close(made)
	for i := range s.total {
		next := first
		if i > 0 {
			next = s.body(s.index(i))
		}
		if at != nil {
			next.due = at.next()
		}
		select {
		case made <- next:
		case <-ctx.Done():
			return
		}
	}
}

// index is the workload's index of the phase's request i.
func (s *supply) index(i int) int {
	if s.warmUp {
		return -1 - i
	}
	return i
}

// request is request i of the workload. Its token ids are good until the next
// call. The caller holds mu.
func (s *supply) request(i int) (workload.Request, error) {
	r, err := workload.RequestInto(s.src, s.tokens, i)
	if r.Tokens != nil {
		s.tokens = r.Tokens
	}
	return r, err
}

// body makes request i ready to be written.
func (s *supply) body(i int) prepared {
	s.mu.Lock()
	defer s.mu.Unlock()
	body, ok := s.bodies.Get().(*payload)
	if !ok {
		body = new(payload)
	}
	r, err := s.request(i)
	if err == nil {
		err = s.enc.encode(body, r)
	}
	asked := r.OutputLen
	if s.enc.maxTokens == "" {
		asked = 0
	}
	return prepared{index: i, inputLen: r.InputTokens(), text: r.Tokens == nil, outputLen: asked, due: r.At, body: body,
		canary: r.Canary, mayStop: r.MayStop(), err: err}
}

// sent takes a body back that was written: while the server is busy with the
// request, its prompt takes no memory here.
func (s *supply) sent(body *payload) {
	body.reset()
	s.bodies.Put(body)
}

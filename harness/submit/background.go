package submit

import (
	"context"
	"errors"
	"sync"
)

// Background sends submissions one after another while the caller goes on with
// other work. Its methods may be called from any goroutine.
type Background struct {
	client *Client
	send   func(context.Context, *Submission) (Outcome, error) // deliver

	mu      sync.Mutex // guards what follows
	more    *sync.Cond // told when queue or closed changes
	queue   []*Submission
	closed  bool
	report  Report
	err     error
	stopped chan struct{} // closed when the last submission has been dealt with
}

// Background starts sending. The client is its own from now on. When ctx ends,
// what is not confirmed stays pending on the disk.
func (c *Client) Background(ctx context.Context) *Background {
	b := &Background{client: c, send: c.deliver, stopped: make(chan struct{})}
	b.more = sync.NewCond(&b.mu)
	stop := context.AfterFunc(ctx, b.Close)
	go func() {
		defer stop()
		defer close(b.stopped)
		for s := b.next(); s != nil; s = b.next() {
			if ctx.Err() != nil {
				b.add(interrupted(s), nil)
				continue
			}
			o, err := b.send(ctx, s)
			if errors.Is(err, context.Canceled) {
				err = nil // the caller knows
			}
			b.add(o, err)
		}
	}()
	return b
}

// Submit keeps a cell's figures in its batch folder and queues them. When it
// returns they are on the disk, whatever happens to this process, and the
// outcome says so: pending, or refused and why. An error is for the disk.
func (b *Background) Submit(batchDir string, f Figures) (Outcome, error) {
	s, refused, err := b.client.keep(batchDir, f)
	switch {
	case err != nil:
		return Outcome{}, err
	case refused != nil:
		b.add(*refused, nil)
		return *refused, nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		b.report = append(b.report, interrupted(s))
	} else {
		b.queue = append(b.queue, s)
		b.more.Signal()
	}
	return Outcome{Figures: s.Figures, Status: s.Status, Board: s.Board, Kept: s.path}, nil
}

func interrupted(s *Submission) Outcome {
	return Outcome{Figures: s.Figures, Status: Pending, Board: s.Board, Reason: "interrupted before it was sent",
		Kept: s.path}
}

// Close says that nothing more comes.
func (b *Background) Close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.more.Broadcast()
}

// Wait waits until everything queued has been dealt with, after a [Background.Close],
// and gives what became of each. The error is for the disk.
func (b *Background) Wait() (Report, error) {
	<-b.stopped
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.report, b.err
}

func (b *Background) next() *Submission {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.queue) == 0 && !b.closed {
		b.more.Wait()
	}
	if len(b.queue) == 0 {
		return nil
	}
	s := b.queue[0]
	b.queue = b.queue[1:]
	return s
}

func (b *Background) add(o Outcome, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.report = append(b.report, o)
	b.err = errors.Join(b.err, err)
}

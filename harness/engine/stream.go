package engine

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// format turns what is new of a job into the bytes of its events.
type format interface {
	// event appends the event for the tokens from..to of j.out; last says that
	// the job ends with them.
	event(b []byte, j *job, from, to int, last bool) []byte
	// tail appends what follows the last event of the last job.
	tail(b []byte, jobs []*job) []byte
	// whole is the answer to a request that does not stream, once its jobs have
	// ended.
	whole() []byte
}

// stream is the sink of a request that wants its tokens as they come. It has
// taken the connection over from the HTTP server, and the loop writes to it
// directly: no goroutine is woken for a token. A write never waits: where the
// socket takes no more, the rest, and all that follows, is left to a goroutine
// of the stream's own, until that has caught up.
type stream struct {
	e       *Engine
	outlet  // to the client
	form    format
	jobs    []*job
	chunk   int  // tokens an event, where several wait
	chunked bool // chunked transfer coding; else the connection's end is the end

	mu       sync.Mutex // guards what follows, and the outlet
	left     int        // jobs that have not ended
	rest     []byte     // what the socket did not take
	buf      []byte     // of the event being made
	draining bool       // a goroutine writes the rest
	faulty   bool       // a goroutine writes it all: see misbehave
	more     *sync.Cond // on mu: something is there for that goroutine
	ending
}

// ending is how a stream comes to its end.
type ending struct {
	over   bool            // all is written, or never will be
	done   chan struct{}   // closed with over
	broken bool            // the connection was given up
	intact bool            // broken, but the response was ended as HTTP wants it
	alive  context.Context // ends with broken and with over, and with the engine
	lose   context.CancelFunc
}

// outlet writes to a connection what its socket takes at once, one write at a
// time. The write's own variables are kept here, so that it allocates nothing.
type outlet struct {
	c       *conn
	raw     syscall.RawConn
	writing []byte
	n       int
	err     error
	try     func(fd uintptr) bool
}

func (o *outlet) open(c *conn) (err error) {
	o.c = c
	o.try = func(fd uintptr) bool {
		o.n, o.err = syscall.Write(int(fd), o.writing)
		return true // whatever came of it: do not wait
	}
	o.raw, err = c.SyscallConn()
	return err
}

// take writes as much of b as the socket takes at once, and returns how much
// that was.
func (o *outlet) take(b []byte) (int, error) {
	o.writing, o.n, o.err = b, 0, nil
	err := o.raw.Write(o.try)
	o.writing = nil
	if err == nil && o.err != syscall.EAGAIN && o.err != syscall.EINTR {
		err = o.err
	}
	return max(o.n, 0), err
}

// slowReader is how long a reader may take nothing before it counts as gone.
const slowReader = 5 * time.Minute

// chunkRoom is left before an event for its size in hexadecimal and CRLF.
const chunkRoom = 10

func newStream(e *Engine, c *conn, f format, jobs []*job, chunked bool) (*stream, error) {
	s := &stream{e: e, form: f, jobs: jobs, left: len(jobs), chunked: chunked,
		chunk: max(e.profile.Limits.DecodeRounds, 1)}
	if err := s.open(c); err != nil {
		return nil, err
	}
	s.done = make(chan struct{})
	s.alive, s.lose = context.WithCancel(e.closed)
	s.more = sync.NewCond(&s.mu)
	return s, nil
}

func (s *stream) took(j *job, made step) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.take(made)
	if j.ended != "" {
		s.left--
	}
	if s.broken {
		if j.ended != "" {
			j.book()
		}
		s.fail()
		return false
	}
	if s.faulty {
		s.more.Signal()
		return true
	}
	if s.draining {
		return true // it will find them
	}
	b := s.events(s.buf[:0], j, len(j.out))
	s.buf = b[:0]
	s.push(b)
	return true
}

func (s *stream) aborted(j *job, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	j.ended = why
	s.left--
	j.book()
	s.fail()
	s.more.Signal()
}

// events appends the events for j's tokens that were not written yet, up to to,
// and stamps them as handed over now.
func (s *stream) events(b []byte, j *job, to int) []byte {
	from := j.form.sent
	last := j.ended != "" && to == len(j.out)
	b = s.frame(b, func(b []byte) []byte { return s.form.event(b, j, from, to, last) })
	j.form.sent = to
	j.handed(to-from, time.Now())
	if last {
		j.form.closed = true
		j.book()
		if s.left == 0 && s.allClosed() {
			b = s.frame(b, func(b []byte) []byte { return s.form.tail(b, s.jobs) })
			if s.chunked {
				b = append(b, "0\r\n\r\n"...)
			}
		}
	}
	return b
}

func (s *stream) allClosed() bool {
	for _, j := range s.jobs {
		if !j.form.closed {
			return false
		}
	}
	return true
}

// frame appends what fill appends, as a chunk.
func (s *stream) frame(b []byte, fill func([]byte) []byte) []byte {
	if !s.chunked {
		return fill(b)
	}
	start := len(b)
	b = append(b, "0000000000"[:chunkRoom]...)
	b = fill(b)
	size := len(b) - start - chunkRoom
	if size == 0 {
		return b[:start]
	}
	var hex [16]byte
	h := append(strconv.AppendUint(hex[:0], uint64(size), 16), '\r', '\n')
	gap := chunkRoom - len(h)
	copy(b[start:], h)
	copy(b[start+len(h):], b[start+chunkRoom:])
	b = b[:len(b)-gap]
	return append(b, '\r', '\n')
}

// push writes b as far as the socket takes it at once, and leaves the rest to a
// goroutine.
func (s *stream) push(b []byte) {
	n, err := s.take(b)
	switch {
	case err != nil:
		s.fail()
	case n < len(b):
		s.rest = append(s.rest[:0], b[n:]...)
		s.drain()
	case s.left == 0:
		s.end()
	}
}

// fail gives the connection up. The stream is over once its jobs have noticed.
func (s *stream) fail() {
	s.broken = true
	s.lose()
	if s.left == 0 {
		s.end()
	}
}

// end says that nothing more will be written.
func (s *stream) end() {
	if !s.over {
		s.over = true
		s.lose()                                 // nobody waits on it any more
		_ = s.c.SetReadDeadline(time.Unix(1, 0)) // wakes the handler
		close(s.done)
	}
}

// drain starts the goroutine that writes for a slow reader.
func (s *stream) drain() {
	s.draining = true
	s.e.work.Go(func() {
		var b []byte
		for {
			b = s.next(b[:0])
			if len(b) == 0 {
				return
			}
			_ = s.c.SetWriteDeadline(time.Now().Add(slowReader))
			_, err := s.c.TCPConn.Write(b)
			if err != nil {
				s.mu.Lock()
				s.draining = false
				s.fail()
				s.mu.Unlock()
				return
			}
		}
	})
}

// next returns what a slow reader gets next: up to about 16 KiB of events. Once
// there is nothing left the loop writes itself again.
func (s *stream) next(b []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken {
		s.draining = false
		s.fail()
		return nil
	}
	b = append(b, s.rest...)
	s.rest = s.rest[:0]
	for _, j := range s.jobs {
		for (j.form.sent < len(j.out) || j.ended != "" && !j.form.closed) && len(b) < 16<<10 {
			b = s.events(b, j, min(j.form.sent+s.chunk, len(j.out)))
		}
	}
	if len(b) == 0 {
		s.draining = false
		_ = s.c.SetWriteDeadline(time.Time{})
		if s.left == 0 {
			s.end()
		}
	}
	return b
}

// attend waits, on the handler's goroutine, until the stream is over, or the
// client has gone away: then its jobs are dropped. It returns what the client
// sent meanwhile, which begins its next request.
func (s *stream) attend() (unread []byte) {
	var b [512]byte
	n, err := s.c.Read(b[:])
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		for _, j := range s.jobs {
			j.loop.cancel(j)
		}
		s.c.kill() // a drain may be waiting for the reader that has gone
	}
	<-s.done
	return b[:n]
}

// kill ends a connection at once, with a reset.
func (c *conn) kill() {
	_ = c.SetLinger(0)
	_ = c.Close()
}

package load

import (
	"errors"
	"io"
	"net"
	"time"
)

// tidyGrace is how long a slot waits, after the last token, for the server to end
// its answer, so that the connection can carry the next request. What takes longer
// is waited for beside the slot, which goes on with another connection.
const tidyGrace = 10 * time.Millisecond

// tidying is what a slot saw of the ends of answers.
type tidying struct {
	lingered int           // answers that had not ended by then
	waited   time.Duration // for the others, and for these until then
	most     time.Duration
}

// finish leaves what there may be of an answer behind its last token. All tokens
// are there: nothing of it is the request's failure, or part of its time.
func (s *slot) finish() {
	r := &s.resp
	if !r.keepAlive || r.framing == byClose {
		s.drop()
		return
	}
	if !r.ended {
		grace := tidyGrace
		if s.lingered > 0 {
			grace = 0 // this server does: do not wait again
		}
		begin := time.Now()
		err := r.skip(begin.Add(grace))
		waited := time.Since(begin)
		s.waited, s.most = s.waited+waited, max(s.most, waited)
		if isTimeout(err) {
			s.lingered++
			s.end.tidy(s.conn, *r)
			s.conn, s.resp = nil, response{base: r.base}
			return
		}
		if err != nil {
			s.drop()
			return
		}
	}
	if r.rawR != r.rawW { // bytes behind the body: out of step
		s.drop()
	}
}

// skip reads the rest of the body, until then. A body that has more than a
// buffer's worth of it is an error.
func (s *response) skip(until time.Time) error {
	s.r = s.w
	if s.broken = s.decode(); s.ended || s.broken != nil {
		return s.broken
	}
	if err := s.conn.SetReadDeadline(until); err != nil {
		return err
	}
	for total := 0; !s.ended; {
		s.r = s.w
		if err := s.more(); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if total += s.w - s.r; total > bufferSize {
			return errors.New("the answer does not end")
		}
	}
	return nil
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// tidy reads an answer to its end beside the slot that has gone on, and keeps the
// connection where that ends well.
func (e *endpoint) tidy(c net.Conn, r response) {
	e.tidying.Go(func() {
		if r.skip(time.Now().Add(drainTimeout)) != nil || r.rawR != r.rawW {
			e.close(c)
			return
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		e.idle = append(e.idle, c)
	})
}

// idleConn is a connection that was tidied up, nil where there is none.
func (e *endpoint) idleConn() net.Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := len(e.idle)
	if n == 0 {
		return nil
	}
	c := e.idle[n-1]
	e.idle = e.idle[:n-1]
	return c
}

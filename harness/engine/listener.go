package engine

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"inferbench/harness/clock"
	"inferbench/harness/timedconn"
)

// quiet takes what net/http would log of connections that broke: here that is
// the client's doing, or a fault asked for.
var quiet = log.New(io.Discard, "", 0)

// listener gives the HTTP server new connections, and those again whose
// response the engine wrote itself: a streamed response takes its connection
// away from the server (http.Hijacker), and without a way back every stream
// would cost the client a new connection.
type listener struct {
	net.Listener
	conns chan *conn
	// closed ends with Close.
	closed context.Context
	shut   context.CancelFunc
	once   sync.Once

	mu   sync.Mutex
	open map[*conn]struct{} // nil once closed
}

func newListener(ln net.Listener) *listener {
	l := &listener{Listener: ln, conns: make(chan *conn), open: map[*conn]struct{}{}}
	l.closed, l.shut = context.WithCancel(context.Background())
	return l
}

// accept takes new connections until the listener is closed.
func (l *listener) accept() {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			if l.closed.Err() != nil {
				return
			}
			_ = clock.Sleep(l.closed, 10*time.Millisecond) // out of file descriptors, perhaps: wait for some
			continue
		}
		c := &conn{Conn: timedconn.New(nc.(*net.TCPConn)), from: l}
		if l.add(c) {
			l.give(c)
		}
	}
}

func (l *listener) add(c *conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		_ = c.TCPConn.Close()
		return false
	}
	l.open[c] = struct{}{}
	return true
}

// give hands a connection to the HTTP server, with unread being what was
// already read of its next request.
func (l *listener) give(c *conn, unread ...byte) {
	c.unread = unread
	c.answered(len(unread) > 0)
	_ = c.SetDeadline(time.Time{})
	select {
	case l.conns <- c:
	case <-l.closed.Done():
		_ = c.Close()
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed.Done():
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	var err error
	l.once.Do(func() {
		l.shut()
		err = l.Listener.Close()
	})
	return err
}

func (l *listener) closeConns() {
	l.mu.Lock()
	open := l.open
	l.open = nil
	l.mu.Unlock()
	for c := range open {
		_ = c.TCPConn.Close()
	}
}

// conn is a connection that knows when its current request began to arrive.
type conn struct {
	*timedconn.Conn
	from   *listener
	unread []byte

	mu     sync.Mutex
	within bool      // a request has begun and its answer has not ended
	read   time.Time // when what was last read had arrived
	first  time.Time // when the current request's first byte arrived
}

func (c *conn) Read(b []byte) (int, error) {
	n := copy(b, c.unread)
	if n > 0 {
		c.unread = c.unread[n:]
		return n, nil
	}
	n, err := c.Conn.Read(b)
	if n > 0 {
		now := c.Came()
		c.mu.Lock()
		c.read = now
		if !c.within {
			c.within, c.first = true, now
		}
		c.mu.Unlock()
	}
	return n, err
}

// arrived says when the current request's first byte arrived, whether or not
// the engine had the time to read it then.
func (c *conn) arrived() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.within { // it came while the request before it was answered
		c.within, c.first = true, time.Now()
	}
	return c.first
}

// answered says that the current request is over; begun, that the next one's
// first bytes were the last that was read.
func (c *conn) answered(begun bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.within, c.first = begun, c.read
}

func (c *conn) Close() error {
	c.from.mu.Lock()
	delete(c.from.open, c)
	c.from.mu.Unlock()
	return c.TCPConn.Close()
}

// ReadFrom and WriteTo would go past Read.
func (c *conn) WriteTo(io.Writer) (int64, error) { panic("engine: conn.WriteTo is not used") }

// idle notes that an answer which the HTTP server wrote has ended.
func idle(c net.Conn, state http.ConnState) {
	if state == http.StateIdle {
		c.(*conn).answered(false)
	}
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *conn { return ctx.Value(connKey{}).(*conn) }

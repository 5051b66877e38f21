package load

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"inferbench/harness/server"
	"inferbench/harness/timedconn"
)

// endpoint is where requests go: how to reach it and what every request's
// header says.
type endpoint struct {
	url    string // for error texts
	path   string // of url
	addr   string // host:port
	tls    *tls.Config
	header []byte // of every request, up to the value of Content-Length
	ids    []byte // a header line up to the index of the request, or empty

	redact func(string) string // takes out what a server may echo of the header
	says   func([]byte) string // the message of an error answer, likewise

	tidying  sync.WaitGroup      // of connections whose answers have not ended
	gatherer *timedconn.Gatherer // reads many connections together; nil over TLS
	hasty    atomic.Bool         // the ends of its answers are not known for such before they are read

	mu     sync.Mutex // guards what follows
	open   map[net.Conn]struct{}
	idle   []net.Conn // of those, connections that no slot has
	closed bool
}

const dialTimeout = 10 * time.Second

func newEndpoint(t *server.Server, o Options) (*endpoint, error) {
	path := "/v1/completions"
	if o.Chat {
		path = "/v1/chat/completions"
	}
	u, err := url.Parse(t.BaseURL + path)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("load: %q is not the address of a server", t.BaseURL)
	}
	e := &endpoint{url: u.String(), path: path, addr: u.Host, open: map[net.Conn]struct{}{}}
	switch u.Scheme {
	case "http":
		if u.Port() == "" {
			e.addr = net.JoinHostPort(u.Hostname(), "80")
		}
	case "https":
		if u.Port() == "" {
			e.addr = net.JoinHostPort(u.Hostname(), "443")
		}
		e.tls = t.TLSConfig()
		e.tls.NextProtos = []string{"http/1.1"}
		if e.tls.ServerName == "" {
			e.tls.ServerName = u.Hostname()
		}
	default:
		return nil, fmt.Errorf("load: %s: want http or https", u)
	}

	if e.tls == nil && o.Conc >= gatherFrom {
		e.gatherer = timedconn.NewGatherer()
	}
	e.redact, e.says = t.Redact, t.ErrorMessage

	h := http.Header{}
	for k, v := range t.Headers {
		h[http.CanonicalHeaderKey(k)] = v
	}
	h.Set("Content-Type", "application/json")
	if h.Get("Accept") == "" {
		h.Set("Accept", "text/event-stream")
	}
	h.Set("Accept-Encoding", "identity") // compression would bundle tokens
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", "inferbench")
	}
	t.Authorize(h)
	for _, own := range []string{"Content-Length", "Transfer-Encoding", "Connection", "Host"} {
		h.Del(own)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\n", u.RequestURI(), u.Host)
	if err := h.Write(&b); err != nil {
		return nil, fmt.Errorf("load: request header: %w", err)
	}
	b.WriteString("Content-Length: ")
	e.header = []byte(b.String())
	if o.RequestIDs != "" {
		e.ids = []byte("\r\nX-Request-Id: " + o.RequestIDs)
	}
	return e, nil
}

// head appends the header of request i, whose body has n bytes. more are its own lines,
// each after a line end.
func (e *endpoint) head(buf []byte, i, n int, more []byte) []byte {
	buf = append(buf, e.header...)
	buf = strconv.AppendInt(buf, int64(n), 10)
	if len(e.ids) > 0 {
		buf = append(buf, e.ids...)
		buf = strconv.AppendInt(buf, int64(i), 10)
	}
	buf = append(buf, more...)
	return append(buf, "\r\n\r\n"...)
}

var errStopped = errors.New("stopped")

// dial opens a connection, which [endpoint.stop] will close.
func (e *endpoint) dial(ctx context.Context) (c net.Conn, dial, handshake time.Duration, err error) {
	begin := time.Now()
	d := net.Dialer{Timeout: dialTimeout}
	if c, err = d.DialContext(ctx, "tcp", e.addr); err != nil {
		return nil, 0, 0, fmt.Errorf("connect: %w", plain(err))
	}
	dial = time.Since(begin)
	c = timedconn.New(c.(*net.TCPConn)) // of network "tcp"
	if e.tls != nil {
		t := tls.Client(c, e.tls)
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		if err := t.HandshakeContext(ctx); err != nil {
			c.Close()
			return nil, dial, 0, fmt.Errorf("TLS handshake: %w", plain(err))
		}
		handshake = time.Since(begin) - dial
		c = t
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		c.Close()
		return nil, 0, 0, errStopped
	}
	e.open[c] = struct{}{}
	return c, dial, handshake, nil
}

func (e *endpoint) close(c net.Conn) {
	e.mu.Lock()
	delete(e.open, c)
	e.mu.Unlock()
	c.Close()
}

// stop closes every connection, whatever it is waiting for, and lets no other be opened.
func (e *endpoint) stop() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	e.cut()
	e.tidying.Wait()
	if e.gatherer != nil {
		e.gatherer.Close()
	}
}

// cut closes every connection, whatever it is waiting for.
func (e *endpoint) cut() {
	e.mu.Lock()
	open := e.open
	e.open, e.idle = map[net.Conn]struct{}{}, nil
	e.mu.Unlock()
	for c := range open {
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn() // without a goodbye, which could block
		}
		c.Close()
	}
}

// Connections are read together (see [timedconn.Gatherer]) where there are so many
// that a tick costs less than their wake-ups, and chunks come so seldom that few
// of them share a read.
const (
	gatherFrom = 16
	gatherGap  = 2 * time.Millisecond
)

// gather is the connection read together with the others, or as it was where that
// is of no use for an answer whose chunks come gap apart.
func (e *endpoint) gather(c net.Conn, gap time.Duration) net.Conn {
	alone, ok := c.(*timedconn.Conn)
	if !ok || e.gatherer == nil || gap < gatherGap {
		return c
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return c
	}
	together, err := e.gatherer.Gather(alone)
	if err != nil {
		return c
	}
	delete(e.open, c)
	e.open[together] = struct{}{}
	return together
}

// tick is how long arrivals are gathered at present; 0 where none are.
func (e *endpoint) tick() time.Duration {
	if e == nil || e.gatherer == nil {
		return 0
	}
	return e.gatherer.Tick()
}

// lying is how many arrivals wait for a patient reader.
func (e *endpoint) lying() int64 {
	if e == nil || e.gatherer == nil {
		return 0
	}
	return e.gatherer.Lying()
}

// outpaced reports whether a connection is read together with others though the
// chunks of its latest answer came too close upon each other for that.
func outpaced(c net.Conn, gap time.Duration) bool {
	_, together := c.(*timedconn.Gathered)
	return together && gap < gatherGap/2
}

// bePatient lets the tokens of an answer, once the first is there, be read several
// at a time where the connection can.
func (s *slot) bePatient() {
	if g, ok := s.conn.(*timedconn.Gathered); ok && !s.end.hasty.Load() {
		g.Patient()
	}
}

// noteEnd learns from the end of an answer whether patience costs time here.
func (s *slot) noteEnd() {
	if g, ok := s.conn.(*timedconn.Gathered); ok && g.SweptUp() {
		s.end.hasty.Store(true)
	}
}

// stamper tells when the bytes of a connection came, and whether there are more.
type stamper interface {
	Stamp() time.Duration
	Came() time.Time
	Pending() bool
}

// stamped is what tells of a connection's arrivals, under TLS or not; nil for one
// that is not of this package's making.
func stamped(c net.Conn) stamper {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	a, _ := c.(stamper)
	return a
}

// write writes bufs in one call where the connection can.
func write(c net.Conn, bufs net.Buffers) error {
	if g, ok := c.(*timedconn.Gathered); ok {
		_, err := g.WriteBuffers(bufs)
		return err
	}
	_, err := bufs.WriteTo(c)
	return err
}

// plain takes the local address out of a network error, so that the same
// failure reads the same for every request.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return &plainError{op}
	}
	return err
}

// plainError is a network error whose text is its cause's alone.
type plainError struct{ op *net.OpError }

func (e *plainError) Error() string { return e.op.Err.Error() }
func (e *plainError) Unwrap() error { return e.op }

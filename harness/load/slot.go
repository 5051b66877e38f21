package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"inferbench/harness/hint"
	"inferbench/harness/server"
	"inferbench/harness/stats"
)

// slot is one of the requests in flight: its connection, its buffer, its
// goroutine.
type slot struct {
	end     *endpoint
	supply  *supply       // of the phase
	timeout time.Duration // of a request
	conn    net.Conn
	resp    response // counts its instants from the phase's start
	head    []byte
	found   string        // the value of the header that the latest request wanted
	said    []byte        // and what its answer says, where that is wanted
	gap     time.Duration // between the chunks of the latest answer, on average
	tokens  atomic.Int64  // chunks that carried tokens; read by others, for the progress

	alike alike // the latest event of a token
	tape
	kept []keptAnswer // of canaries
	slotAudit
}

// slotAudit is what a slot adds to the audit.
type slotAudit struct {
	dials           int // of the warm-up too, as the times that follow
	dialMax, tlsMax time.Duration

	retries         int
	chunks, bundled int64
	answers         int           // of two chunks or more
	e2el            time.Duration // of those, in all
	outputTokens    int64         // likewise
	firstBundled    int           // of those, answers whose first two chunks came together
	idle            time.Duration // in a closed loop, without a request in flight
	tidying                       // after the last token
	odd             oddities
}

// oddities counts what the reader of the figures is told of the answers.
type oddities struct {
	quiet                    int // chunks without text that were no tokens
	unspoken                 int // answers whose first token's chunk had no text
	short                    int // answers that reached max_tokens, the server says, in fewer chunks and without a usage
	shortChunks, shortTokens int // their chunks, and the tokens that were asked for
	split                    int // answers of fewer tokens, by the server's count, than chunks with text
	splitChunks, splitTokens int // these, and those
	refused                  int // requests that the server turned away: HTTP 429 and 503
}

func (o *oddities) add(p oddities) {
	o.quiet += p.quiet
	o.unspoken += p.unspoken
	o.short += p.short
	o.shortChunks += p.shortChunks
	o.shortTokens += p.shortTokens
	o.split += p.split
	o.splitChunks += p.splitChunks
	o.splitTokens += p.splitTokens
	o.refused += p.refused
}

// begin readies the slot for a phase. What it did before does not count, but for
// its connection, which stays.
func (s *slot) begin(end *endpoint, requests *supply, base time.Time, timeout time.Duration) {
	s.end, s.supply, s.timeout, s.resp.base = end, requests, timeout, base
	s.tokens.Store(0)
	s.kept = nil
	s.slotAudit = slotAudit{dials: s.dials, dialMax: s.dialMax, tlsMax: s.tlsMax}
}

// do sends one request and reads its answer to the end. Whatever goes wrong is
// in the timing's Err.
func (s *slot) do(ctx context.Context, p prepared, scheduled bool) stats.Timing {
	t := stats.Timing{Index: p.index, Prompt: stats.Prompt{Sent: p.inputLen, Text: p.text},
		Apart: p.canary != nil && p.canary.Apart}
	err := p.err
	if err == nil {
		err = s.attempt(ctx, p, &t)
	}
	t.Done = time.Since(s.resp.base)
	if err == nil {
		t.Done = min(t.Done, s.resp.at) // however much later it was read
	}
	if err != nil {
		s.drop()
		if ctx.Err() != nil {
			err = errors.New("cancelled")
		}
		err = server.AdviseNetwork(err)
		t.Err, t.Advice = s.end.redact(describe(s.end.url, err)), hint.For(err)
	} else {
		s.finish()
	}
	if t.Sent == 0 {
		t.Sent = t.Done // it failed before it could be sent
	}
	if scheduled {
		t.Waited = max(t.Sent-p.due, 0)
	}
	s.account(&t)
	return t
}

// freeSince is when the slot could have sent its next request: when the end of the
// answer arrived, however much later it was read.
func (s *slot) freeSince(t stats.Timing) time.Duration {
	if t.Err == "" && s.resp.ended {
		return s.resp.at
	}
	return time.Since(s.resp.base)
}

// account adds a request to the audit.
func (s *slot) account(t *stats.Timing) {
	s.chunks += int64(t.Chunks)
	s.bundled += int64(t.Bundled)
	if t.Chunks < 2 || t.Err != "" {
		return
	}
	s.answers++
	s.gap = (t.Last - t.First) / time.Duration(t.Chunks-1)
	s.e2el += t.Last - t.Sent
	s.outputTokens += int64(t.OutputTokens)
	for gap := range t.ITL.All() {
		if gap == 0 {
			s.firstBundled++
		}
		break
	}
}

// attempt sends the request, and again on another connection where a kept-alive
// one had been closed, or brought an answer that was not this request's.
func (s *slot) attempt(ctx context.Context, p prepared, t *stats.Timing) error {
	for {
		reused, err := s.connect(ctx)
		if err != nil {
			return err
		}
		err = s.ask(p, t, reused)
		if err != nil && reused && ctx.Err() == nil && (errors.Is(err, errNotItsAnswer) || !s.resp.got && isClosed(err)) {
			s.drop()
			s.retries++
			again := s.supply.body(p.index)
			if p.body, err = again.body, again.err; err != nil {
				return err
			}
			continue
		}
		return err
	}
}

// errNotItsAnswer is the error of a kept-alive connection on which the server
// said something that is no answer to the request: it was said before, or is the
// time-out of an idle connection (RFC 9110, 15.5.9), which can cross a request.
var errNotItsAnswer = errors.New("the server had spoken on the idle connection")

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// connect sees to it that the slot has a connection: its own, one that is idle,
// or a new one. A kept-alive one on which the server has spoken, or that it has
// closed, is of no use.
func (s *slot) connect(ctx context.Context) (reused bool, err error) {
	for {
		if s.conn == nil {
			s.conn = s.end.idleConn()
		}
		if outpaced(s.conn, s.gap) {
			s.drop()
		}
		if s.conn == nil {
			break
		}
		if c := stamped(s.conn); c == nil || !c.Pending() {
			s.conn = s.end.gather(s.conn, s.gap)
			return true, nil
		}
		s.drop()
		s.retries++
	}
	c, dial, handshake, err := s.end.dial(ctx)
	if err != nil {
		return false, err
	}
	s.conn = c
	s.dials++
	s.dialMax, s.tlsMax = max(s.dialMax, dial), max(s.tlsMax, handshake)
	return false, nil
}

// drop closes the slot's connection.
func (s *slot) drop() {
	if s.conn != nil {
		s.end.close(s.conn)
		s.conn = nil
	}
}

// ask writes the request and reads the answer.
func (s *slot) ask(p prepared, t *stats.Timing, reused bool) error {
	// One deadline for every read and write of the request.
	if err := s.conn.SetDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	s.resp.start(s.conn)
	s.head = s.end.head(s.head[:0], p.index, p.body.size(), p.header)
	s.resp.wanted, s.found, s.said = p.wanted, "", s.said[:0]

	// One write, so that a small request is one packet.
	t.Sent = time.Since(s.resp.base)
	s.resp.at = t.Sent
	if err := p.body.send(s.conn, s.head); err != nil {
		if why := s.refused(); why != nil && isClosed(err) {
			return why
		}
		return fmt.Errorf("send the request: %w", plain(err))
	}
	s.supply.sent(p.body)
	if err := s.resp.header(); err != nil {
		return fmt.Errorf("read the answer's header: %w", plain(err))
	}
	s.found = s.resp.found
	switch {
	case reused && (s.resp.early || s.resp.status == http.StatusRequestTimeout):
		return errNotItsAnswer
	case s.resp.status != 200:
		return s.httpError()
	}
	return s.stream(p, t)
}

// refused is the answer of a server that closed the connection before it had
// read the whole request: a proxy that takes no body of this size. It is nil
// where there is none.
func (s *slot) refused() error {
	if s.conn.SetReadDeadline(time.Now().Add(drainTimeout)) != nil || s.resp.header() != nil || s.resp.status == 200 {
		return nil
	}
	return s.httpError()
}

func (s *slot) httpError() error {
	r := &s.resp
	s.conn.SetReadDeadline(time.Now().Add(drainTimeout)) // the status is known: its reason may be short
	says := s.end.says(r.errorBody())
	if says == "" {
		says = cmp.Or(http.StatusText(r.status), "no reason given")
	}
	switch {
	case r.retry != "":
		says += " (Retry-After: " + r.retry + ")"
	case r.status/100 == 3 && r.location != "":
		says += " (to " + r.location + ", and redirects are not followed)"
		return hint.New(fmt.Errorf("HTTP %d: %s", r.status, says), "set BASE_URL to where the server is")
	}
	if r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable {
		s.odd.refused++
	}
	return server.AdviseAnswer(fmt.Errorf("HTTP %d: %s", r.status, says), r.status, s.end.path, says)
}

// drainTimeout is how long the rest of an answer is waited for whose outcome is
// known.
const drainTimeout = time.Second

// describe is a failure in one line: what was tried, on what, what happened.
func describe(url string, err error) string {
	text := err.Error()
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		text = strings.Replace(text, os.ErrDeadlineExceeded.Error(), "no answer within REQUEST_TIMEOUT", 1)
	case errors.Is(err, io.ErrUnexpectedEOF):
		text = strings.Replace(text, io.ErrUnexpectedEOF.Error(), "the server closed the connection", 1)
	}
	return "POST " + url + ": " + strings.Join(strings.Fields(text), " ")
}

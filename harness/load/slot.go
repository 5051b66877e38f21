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
	tokens  atomic.Int64 // chunks that carried tokens; read by others, for the progress

	slotAudit
}

// slotAudit is what a slot adds to the audit.
type slotAudit struct {
	dials           int // of the warm-up too, as the times that follow
	dialMax, tlsMax time.Duration

	retries         int
	chunks, bundled int64
	idle            time.Duration // in a closed loop, without a request in flight
}

// begin readies the slot for a phase. What it did before does not count, but for
// its connection, which stays.
func (s *slot) begin(end *endpoint, requests *supply, base time.Time, timeout time.Duration) {
	s.end, s.supply, s.timeout, s.resp.base = end, requests, timeout, base
	s.tokens.Store(0)
	s.slotAudit = slotAudit{dials: s.dials, dialMax: s.dialMax, tlsMax: s.tlsMax}
}

// do sends one request and reads its answer to the end. Whatever goes wrong is
// in the timing's Err.
func (s *slot) do(ctx context.Context, p prepared, scheduled bool) stats.Timing {
	t := stats.Timing{Index: p.index, PromptTokens: p.inputLen}
	err := p.err
	if err == nil {
		err = s.attempt(ctx, p, &t)
	}
	if err != nil {
		s.drop()
		if ctx.Err() != nil {
			err = errors.New("cancelled")
		}
		err = server.AdviseNetwork(err)
		t.Err, t.Advice = s.end.redact(describe(s.end.url, err)), hint.For(err)
	}
	t.Done = time.Since(s.resp.base)
	if t.Sent == 0 {
		t.Sent = t.Done // it failed before it could be sent
	}
	if scheduled {
		t.Waited = max(t.Sent-p.due, 0)
	}
	s.chunks += int64(t.Chunks)
	s.bundled += int64(t.Bundled)
	return t
}

// attempt sends the request, once more on a new connection if the server had
// closed the kept-alive one before it answered anything.
func (s *slot) attempt(ctx context.Context, p prepared, t *stats.Timing) error {
	for {
		reused := s.conn != nil
		if err := s.connect(ctx); err != nil {
			return err
		}
		err := s.exchange(p, t)
		if err != nil && reused && !s.resp.got && isClosed(err) && ctx.Err() == nil {
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

func isClosed(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// connect opens the slot's connection where it has none.
func (s *slot) connect(ctx context.Context) error {
	if s.conn != nil {
		return nil
	}
	c, dial, handshake, err := s.end.dial(ctx)
	if err != nil {
		return err
	}
	s.conn = c
	s.dials++
	s.dialMax, s.tlsMax = max(s.dialMax, dial), max(s.tlsMax, handshake)
	return nil
}

// drop closes the slot's connection.
func (s *slot) drop() {
	if s.conn != nil {
		s.end.close(s.conn)
		s.conn = nil
	}
}

// exchange writes the request and reads the answer.
func (s *slot) exchange(p prepared, t *stats.Timing) error {
	// One deadline for every read and write of the request.
	if err := s.conn.SetDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	s.resp.start(s.conn)
	s.head = s.end.head(s.head[:0], p.index, len(*p.body))

	// One write, so that a small request is one packet.
	t.Sent = time.Since(s.resp.base)
	s.resp.at = t.Sent
	bufs := net.Buffers{s.head, *p.body}
	_, err := bufs.WriteTo(s.conn)
	if err != nil {
		if why := s.refused(); why != nil && isClosed(err) {
			return why
		}
		return fmt.Errorf("send the request: %w", plain(err))
	}
	s.supply.sent(p.body)
	if err := s.resp.header(); err != nil {
		return fmt.Errorf("read the answer's header: %w", plain(err))
	}
	if s.resp.status != 200 {
		return s.httpError()
	}
	if err := s.stream(p, t); err != nil {
		return err
	}
	s.finish()
	return nil
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
	return server.AdviseAnswer(fmt.Errorf("HTTP %d: %s", r.status, says), r.status, s.end.path, says)
}

// stream reads the events and times them.
func (s *slot) stream(p prepared, t *stats.Timing) error {
	var (
		ev       = events{response: &s.resp}
		out      tally
		finished bool // a finish_reason came
		done     bool // the stream said [DONE]
	)
	t.ITL.Reserve(min(max(p.outputLen-1, 0), 1<<17))
	for !done {
		data, err := ev.next()
		if err != nil {
			if errors.Is(err, io.EOF) {
				if finished {
					break // a server without [DONE]
				}
				err = io.ErrUnexpectedEOF
			}
			if kind := s.resp.notEvents; out.events == 0 && kind != "" {
				return fmt.Errorf("the answer is no event stream but %.60s: is this an OpenAI API, and does it support streaming? (%w)", kind, plain(err))
			}
			return fmt.Errorf("stream ended after %d of %d tokens: %w", t.Chunks, p.outputLen, plain(err))
		}
		if string(data) == "[DONE]" {
			done = true
			break
		}
		out.events++
		c, err := parseChunk(data)
		switch {
		case err != nil:
			return fmt.Errorf("after %d of %d tokens: %w (it starts %.80q)", t.Chunks, p.outputLen, err, s.end.redact(string(data)))
		case c.failed:
			says := s.end.says(data)
			err := fmt.Errorf("after %d of %d tokens the server says: %s", t.Chunks, p.outputLen, says)
			return server.AdviseAnswer(err, 0, s.end.path, says)
		}
		if c.usage {
			out.usage, out.input, out.output = true, c.input, c.output
		}
		finished, out.length = finished || c.finished, out.length || c.length
		switch {
		case c.choice && (c.text || !c.chat && !c.finished):
			// A completion chunk of empty text that does not finish carries a token
			// too: one whose text the server holds back, half a character.
			s.token(t, s.resp.at)
			if p.outputLen > 0 && t.Chunks > chunksAToken*p.outputLen+spareChunks {
				return fmt.Errorf("the stream does not end: %d chunks came for the %d tokens that were asked for", t.Chunks, p.outputLen)
			}
		case c.choice && !c.chat && c.finished:
			out.closing, out.closedAt = true, s.resp.at
		}
	}
	// An empty chunk that finishes carries a token only if the server counts one
	// more than came before it.
	if out.closing && out.usage && out.output > t.Chunks {
		s.token(t, out.closedAt)
	}
	t.InputTokens, t.OutputTokens = out.input, out.output
	if !out.usage {
		t.NoUsage = true
		t.InputTokens, t.OutputTokens = p.inputLen, t.Chunks
		// The server's word that max_tokens was reached is a better count than its
		// chunks, which may be more (llama-cpp-python sends empty ones) or fewer
		// (several tokens in one). It is not believed against half of them: a server
		// that cuts max_tokens to what its context holds says the same.
		if out.length && 2*t.Chunks >= p.outputLen {
			t.OutputTokens = p.outputLen
		}
	}
	switch n := t.OutputTokens; {
	case t.Chunks == 0:
		return fmt.Errorf("the stream ended without a token (0 of %d)", p.outputLen)
	case p.outputLen > 0 && n < p.outputLen && s.supply.enc.ignoreEOS:
		return fmt.Errorf("the server stopped after %d of %d tokens though ignore_eos was asked", n, p.outputLen)
	case p.outputLen > 0 && n > p.outputLen:
		return fmt.Errorf("the server counts %d tokens where %d were asked for", n, p.outputLen)
	}
	return nil
}

// A stream is given up once it has brought more chunks than this for the tokens
// that were asked for: it may never end, and what it brings is kept.
const (
	chunksAToken = 4
	spareChunks  = 64
)

// tally is what a stream said besides its tokens.
type tally struct {
	events        int
	usage         bool
	input, output int
	length        bool // max_tokens was reached, says the server
	closing       bool // an empty chunk finished the choice
	closedAt      time.Duration
}

// token notes the arrival of a chunk that carries a token. One that arrived in
// the same instant as the one before it came with it: in one read, or over TLS
// in one read of several records.
func (s *slot) token(t *stats.Timing, at time.Duration) {
	if t.Chunks == 0 {
		t.First = at
	} else {
		t.ITL.Append(at - t.Last)
		if at == t.Last {
			t.Bundled++
		}
	}
	t.Last = at
	t.Chunks++
	s.tokens.Store(s.tokens.Load() + 1) // this goroutine is the only writer
}

// drainTimeout is how long the rest of an answer is waited for whose outcome is
// known.
const drainTimeout = time.Second

// finish reads what is left of the body, so that the connection can carry the
// next request. All tokens are there: nothing of it is the request's failure.
func (s *slot) finish() {
	r := &s.resp
	if !r.keepAlive || r.framing == byClose {
		s.drop()
		return
	}
	if !r.ended {
		r.r, r.w = 0, 0
		s.conn.SetReadDeadline(time.Now().Add(drainTimeout))
	}
	for total := 0; !r.ended; {
		r.r = r.w
		if err := r.more(); err != nil && !errors.Is(err, io.EOF) {
			s.drop()
			return
		}
		if total += r.w - r.r; total > bufferSize {
			s.drop()
			return
		}
	}
	if r.rawR != r.rawW { // bytes behind the body: out of step
		s.drop()
	}
}

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

package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"
)

// Limits on what a server can make the client hold.
const (
	bufferSize = 8 << 10  // of a stream; it grows for what is longer
	maxHeader  = 16 << 10 // the longest response header
	maxEvent   = 4 << 20  // the longest single event: log-probabilities and long tool calls are legal
	maxErrBody = 4 << 10  // of an error answer
)

// response reads one HTTP/1.1 response off a connection. Its buffer holds
// decoded body bytes not yet consumed, buf[r:w], and behind them bytes as they
// came, not yet decoded, buf[rawR:rawW]. Decoding moves bytes down in the one
// buffer; nothing is allocated.
type response struct {
	conn    net.Conn
	arrival stamper // of conn
	buf     []byte
	r, w    int
	rawR    int
	rawW    int

	base  time.Time
	at    time.Duration // arrival of the latest read's bytes, from base
	stamp time.Duration // which arrival that was
	got   bool          // any byte of the response came
	early bool          // the first came before the request was sent

	status    int
	notEvents string // the Content-Type, where that is not an event stream's
	retry     string // Retry-After
	location  string // of a redirect
	wanted    string // the header whose value is kept; "": none
	found     string // which is this
	keepAlive bool
	framing   framing
	left      int64 // body bytes still to come: of the chunk, or of a body of known length
	ended     bool  // the body is complete
	broken    error // the chunked framing makes no sense from here on
}

type framing uint8

const (
	byLength   framing = iota // Content-Length
	byClose                   // until the connection ends
	chunkSize                 // chunked, at a size line
	chunkData                 // chunked, in a chunk
	chunkCRLF                 // chunked, at the line end behind a chunk
	chunkTrail                // chunked, in the trailer
)

// start readies the response for a new request on conn.
func (s *response) start(conn net.Conn) {
	buf, base := s.buf, s.base
	if len(buf) != bufferSize { // new, or grown by a long event
		buf = make([]byte, bufferSize)
	}
	*s = response{conn: conn, buf: buf, base: base}
	s.arrival = stamped(conn)
}

// read takes what the connection has, at least a byte, into the buffer.
func (s *response) read() error {
	if s.rawR == s.rawW {
		s.rawR, s.rawW = s.w, s.w
	}
	if s.r == s.w && s.rawR == s.rawW {
		s.r, s.w, s.rawR, s.rawW = 0, 0, 0, 0
	}
	if s.rawW == len(s.buf) {
		if err := s.makeRoom(); err != nil {
			return err
		}
	}
	n, err := s.conn.Read(s.buf[s.rawW:])
	var at time.Duration
	switch stamp := s.stampOf(n); {
	case stamp == 0:
		at = time.Since(s.base)
	case stamp == s.stamp:
		at = s.at // more of what had come: another record of TLS, or more than the buffer held
	default:
		at, s.stamp = s.arrival.Came().Sub(s.base), stamp
	}
	s.early = s.early || !s.got && n > 0 && at < s.at
	s.at = max(s.at, at) // never before the read that came before, or the request
	if n > 0 {
		s.got = true
		s.rawW += n
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// stampOf is the stamp of the read that has just brought n bytes, 0 for none.
func (s *response) stampOf(n int) time.Duration {
	if s.arrival == nil || n <= 0 {
		return 0
	}
	return s.arrival.Stamp()
}

var errLongEvent = fmt.Errorf("an event is longer than %d MiB", maxEvent>>20)

// makeRoom moves what is kept to the front of the buffer, or doubles it.
func (s *response) makeRoom() error {
	buf := s.buf
	if free := s.r + s.rawR - s.w; free < len(buf)/4 {
		if len(buf) >= maxEvent {
			return errLongEvent
		}
		buf = make([]byte, 2*len(buf))
	}
	kept := copy(buf, s.buf[s.r:s.w])
	raw := copy(buf[kept:], s.buf[s.rawR:s.rawW])
	s.buf, s.r, s.w, s.rawR, s.rawW = buf, 0, kept, kept, kept+raw
	return nil
}

// more decodes body bytes until there are new ones behind buf[:w], or the body
// has ended, which is io.EOF.
func (s *response) more() error {
	for {
		had := s.w
		if s.broken == nil {
			s.broken = s.decode()
		}
		if s.w > had { // what came before the broken framing is good
			return nil
		}
		if s.broken != nil {
			return s.broken
		}
		if s.ended {
			return io.EOF
		}
		if err := s.read(); err != nil {
			if errors.Is(err, io.EOF) {
				if s.framing == byClose {
					s.ended = true
					return io.EOF
				}
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// decode moves as much of the raw bytes into the body as there is.
func (s *response) decode() error {
	for s.rawR < s.rawW && !s.ended {
		raw := s.buf[s.rawR:s.rawW]
		switch s.framing {
		case byClose:
			s.take(len(raw))
		case byLength:
			n := int(min(int64(len(raw)), s.left))
			s.take(n)
			if s.left -= int64(n); s.left == 0 {
				s.ended = true
			}
		case chunkData:
			n := int(min(int64(len(raw)), s.left))
			s.take(n)
			if s.left -= int64(n); s.left == 0 {
				s.framing = chunkCRLF
			}
		default: // a line
			i := bytes.IndexByte(raw, '\n')
			if i > 1024 || i < 0 && len(raw) > 1024 { // however much of it is there
				return errors.New("malformed chunked body: a size line of over 1 KiB")
			}
			if i < 0 {
				return nil
			}
			line := bytes.TrimSuffix(raw[:i], []byte{'\r'})
			s.rawR += i + 1
			if err := s.chunkLine(line); err != nil {
				return err
			}
		}
	}
	return nil
}

// take moves n raw bytes to the end of the body.
func (s *response) take(n int) {
	if s.w != s.rawR {
		copy(s.buf[s.w:], s.buf[s.rawR:s.rawR+n])
	}
	s.w += n
	s.rawR += n
}

// chunkLine handles a line of the chunked framing.
func (s *response) chunkLine(line []byte) error {
	switch s.framing {
	case chunkCRLF:
		if len(line) != 0 {
			return fmt.Errorf("malformed chunked body: %.20q behind a chunk", line)
		}
		s.framing = chunkSize
	case chunkTrail:
		if len(line) == 0 {
			s.ended = true
		}
	default:
		if i := bytes.IndexByte(line, ';'); i >= 0 {
			line = line[:i] // an extension, which nothing uses
		}
		n, ok := parseHex(bytes.TrimRight(line, " \t"))
		if !ok {
			return fmt.Errorf("malformed chunked body: size %.20q", line)
		}
		if s.left, s.framing = n, chunkData; n == 0 {
			s.framing = chunkTrail
		}
	}
	return nil
}

func parseHex(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 15 {
		return 0, false
	}
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			n = n<<4 | int64(c-'0')
		case 'a' <= c && c <= 'f':
			n = n<<4 | int64(c-'a'+10)
		case 'A' <= c && c <= 'F':
			n = n<<4 | int64(c-'A'+10)
		default:
			return 0, false
		}
	}
	return n, true
}

// header reads the response's header, skipping 1xx answers.
func (s *response) header() error {
	for {
		end := 0
		for {
			if end = headerEnd(s.buf[s.rawR:s.rawW]); end > 0 {
				break
			}
			if s.rawW-s.rawR >= maxHeader {
				return fmt.Errorf("the response header is longer than %d KiB", maxHeader>>10)
			}
			if err := s.read(); err != nil {
				if errors.Is(err, io.EOF) {
					err = io.ErrUnexpectedEOF
				}
				return err
			}
		}
		head := s.buf[s.rawR : s.rawR+end]
		s.rawR += end
		if err := s.parseHeader(head); err != nil {
			return err
		}
		if s.status/100 != 1 {
			s.r, s.w = s.rawR, s.rawR
			return nil
		}
	}
}

// headerEnd is the length of a header with the blank line that ends it, 0 where
// it is not complete. Lines may end in \n alone.
func headerEnd(raw []byte) int {
	for from := 0; ; {
		i := bytes.IndexByte(raw[from:], '\n')
		if i < 0 {
			return 0
		}
		from += i + 1
		rest := raw[from:]
		switch {
		case bytes.HasPrefix(rest, []byte("\n")):
			return from + 1
		case bytes.HasPrefix(rest, []byte("\r\n")):
			return from + 2
		}
	}
}

func (s *response) parseHeader(head []byte) error {
	line, rest, _ := bytes.Cut(head, []byte{'\n'})
	line = bytes.TrimRight(line, "\r")
	proto, status, _ := bytes.Cut(line, []byte{' '})
	code, err := strconv.Atoi(string(status[:min(len(status), 3)]))
	if err != nil || code < 100 || !bytes.HasPrefix(proto, []byte("HTTP/1.")) {
		return fmt.Errorf("this is not an HTTP/1.1 answer: %.40q", line)
	}
	s.status = code
	s.keepAlive = string(proto) == "HTTP/1.1"
	s.framing = byClose
	length, chunked := int64(-1), false
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte{'\n'})
		key, value, ok := bytes.Cut(bytes.TrimRight(line, "\r"), []byte{':'})
		if !ok {
			continue
		}
		value = bytes.TrimSpace(value)
		is := func(name string) bool { return bytes.EqualFold(key, []byte(name)) }
		switch {
		case is("Content-Length"):
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil || length < 0 {
				return fmt.Errorf("malformed Content-Length %.40q", value)
			}
		case is("Transfer-Encoding"):
			if !bytes.EqualFold(value, []byte("chunked")) {
				return fmt.Errorf("Transfer-Encoding %.40q is not supported", value)
			}
			chunked = true
		case is("Content-Encoding"):
			if !bytes.EqualFold(value, []byte("identity")) {
				return fmt.Errorf("the answer is compressed (%.40s) though that was not asked for", value)
			}
		case is("Connection"):
			if bytes.EqualFold(value, []byte("close")) {
				s.keepAlive = false
			}
		case is("Content-Type"):
			kind, _, _ := bytes.Cut(value, []byte{';'})
			if kind = bytes.TrimSpace(kind); !bytes.EqualFold(kind, []byte("text/event-stream")) {
				s.notEvents = string(kind)
			}
		case s.wanted != "" && is(s.wanted):
			s.found = string(value)
		case is("Retry-After"):
			s.retry = string(value)
		case is("Location"):
			s.location = string(value)
		}
	}
	switch {
	case code == 204 || code == 304: // have no body, whatever their header says
		s.framing, s.ended = byLength, true
	case chunked:
		s.framing = chunkSize
	case length >= 0:
		s.framing, s.left, s.ended = byLength, length, length == 0
	default:
		s.keepAlive = false
	}
	return nil
}

// errorBody is the first up to maxErrBody bytes of the body, read for an error text.
func (s *response) errorBody() []byte {
	for s.w-s.r < maxErrBody {
		if s.more() != nil {
			break
		}
	}
	return s.buf[s.r:min(s.w, s.r+maxErrBody)]
}

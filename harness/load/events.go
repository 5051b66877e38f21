package load

import (
	"bytes"
	"errors"
	"io"
)

// events reads the event stream of a response: the HTML standard's
// server-sent events, of which only data fields matter here, and an event's name
// where it is an error.
type events struct {
	*response
	scanned int  // bytes behind buf[r:] whose lines have been looked at: no event ends in them
	open    int  // and behind these, how much of a line that has no end yet
	line    int  // of these, the first line's, without its end
	behind  int  // and how long that is; 0 while that line is not whole
	skipLF  bool // a \n that comes next belongs to the \r that ended the last event
	begun   bool // the stream's first bytes have been looked at
	join    []byte
	isError bool   // the latest event is named so
	stray   []byte // the beginning of the latest block that is no event: some servers put an error there
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// next is the data of the next event, valid until the following call; it came
// at e.at. It ends in io.EOF where the body has ended.
func (e *events) next() ([]byte, error) {
	for {
		block, size := e.block()
		if size == 0 {
			had := e.w - e.r
			if err := e.more(); err != nil {
				if errors.Is(err, io.EOF) && had > 0 {
					// A last event without its blank line.
					block, size = e.buf[e.r:e.w], had
				} else {
					return nil, err
				}
			} else {
				continue
			}
		}
		e.r += size
		e.scanned, e.open = 0, 0
		if data := e.data(block); data != nil {
			return data, nil
		}
	}
}

// block is the next event's lines without the blank line that ends it, and the
// size of both; 0 where it is not complete yet.
func (e *events) block() ([]byte, int) {
	if !e.begin() {
		return nil, 0
	}
	for {
		rest := e.buf[e.r+e.scanned : e.w]
		n, size := lineEnd(rest[e.open:])
		if size == 0 {
			e.open = len(rest) // a long line is looked through once, not with each read
			return nil, 0
		}
		n += e.open
		e.open = 0
		last := n+size == len(rest) && rest[n] == '\r' // its \n may be still to come
		if n == 0 {
			e.skipLF = last
			return e.buf[e.r : e.r+e.scanned], e.scanned + size
		}
		if last {
			return nil, 0
		}
		if e.scanned == 0 {
			e.line, e.behind = n, size
		}
		e.scanned += n + size
	}
}

// begin skips a byte order mark at the beginning of the stream, and a \n of which
// the \r has been read. It is false where more bytes are needed to tell.
func (e *events) begin() bool {
	if e.skipLF && e.r < e.w {
		if e.skipLF = false; e.buf[e.r] == '\n' {
			e.r++
		}
	}
	if e.begun {
		return true
	}
	head := e.buf[e.r:e.w]
	switch {
	case bytes.HasPrefix(head, byteOrderMark):
		e.r += len(byteOrderMark)
	case bytes.HasPrefix(byteOrderMark, head):
		return false
	}
	e.begun = true
	return true
}

// lineEnd is where the first line of b ends, and how long its end is: \n, \r\n
// or a \r alone. A length of 0 is for no end.
func lineEnd(b []byte) (n, size int) {
	n = bytes.IndexByte(b, '\n')
	line := b
	if n >= 0 {
		line = b[:n]
	}
	switch r := bytes.IndexByte(line, '\r'); {
	case r < 0 && n < 0:
		return 0, 0
	case r < 0:
		return n, 1
	case r == n-1:
		return r, 2
	default:
		return r, 1
	}
}

// data is the data field of an event, or nil where it has none. One that is
// empty is none, says the standard: some servers keep a stream alive with it.
func (e *events) data(block []byte) []byte {
	e.isError = false
	line, rest := block[:e.line], block[e.line+e.behind:]
	if e.behind == 0 {
		line, rest = cutLine(block)
	}
	e.line, e.behind = 0, 0
	first, ok := dataField(line)
	if ok && len(rest) == 0 {
		if len(first) == 0 {
			return nil
		}
		return first // what every server sends: one data line
	}
	e.join = e.join[:0]
	any, stray := false, true
	for line, more := line, rest; ; line, more = cutLine(more) {
		if v, ok := dataField(line); ok {
			if any {
				e.join = append(e.join, '\n')
			}
			e.join, any = append(e.join, v...), true
		}
		if name, ok := bytes.CutPrefix(line, []byte("event:")); ok {
			e.isError = bytes.Contains(bytes.ToLower(name), []byte("error"))
		}
		stray = stray && !field(line)
		if len(more) == 0 {
			break
		}
	}
	if len(e.join) == 0 {
		if stray && len(block) > 0 {
			e.stray = append(e.stray[:0], block[:min(len(block), maxErrBody)]...)
		}
		return nil
	}
	return e.join
}

// cutLine is the first line of b, and what is behind its end.
func cutLine(b []byte) (line, rest []byte) {
	n, size := lineEnd(b)
	if size == 0 {
		return b, nil
	}
	return b[:n], b[n+size:]
}

func dataField(line []byte) ([]byte, bool) {
	v, ok := bytes.CutPrefix(line, []byte("data:"))
	if !ok {
		return nil, false
	}
	return bytes.TrimPrefix(v, []byte{' '}), true
}

// field reports whether a line is one that an event stream may have.
func field(line []byte) bool {
	name, _, _ := bytes.Cut(line, []byte{':'})
	switch string(name) {
	case "", "data", "event", "id", "retry":
		return true
	}
	return false
}

package load

import (
	"bytes"
	"errors"
	"io"
)

// events reads the event stream of a response: the HTML standard's
// server-sent events, of which only data fields matter here.
type events struct {
	*response
	scanned int // bytes behind buf[r:] that are known to hold no end of an event
	join    []byte
}

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
		e.scanned = 0
		if data := e.data(block); data != nil {
			return data, nil
		}
	}
}

// block is the next event's lines without the blank line that ends it, and the
// size of both; 0 where it is not complete yet.
func (e *events) block() ([]byte, int) {
	for {
		rest := e.buf[e.r+e.scanned : e.w]
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return nil, 0
		}
		blank := i == 0 || i == 1 && rest[0] == '\r'
		if blank {
			size := e.scanned + i + 1
			return e.buf[e.r : e.r+e.scanned], size
		}
		e.scanned += i + 1
	}
}

// data is the data field of an event, or nil where it has none. One that is
// empty is none, says the standard: some servers keep a stream alive with it.
func (e *events) data(block []byte) []byte {
	line, rest, _ := bytes.Cut(block, []byte{'\n'})
	first, ok := dataField(line)
	if ok && len(rest) == 0 {
		if len(first) == 0 {
			return nil
		}
		return first // what every server sends: one data line
	}
	e.join = e.join[:0]
	any := false
	for line, more := line, rest; ; line, more, _ = bytes.Cut(more, []byte{'\n'}) {
		if v, ok := dataField(line); ok {
			if any {
				e.join = append(e.join, '\n')
			}
			e.join, any = append(e.join, v...), true
		}
		if len(more) == 0 {
			break
		}
	}
	if len(e.join) == 0 {
		return nil
	}
	return e.join
}

func dataField(line []byte) ([]byte, bool) {
	v, ok := bytes.CutPrefix(line, []byte("data:"))
	if !ok {
		return nil, false
	}
	v = bytes.TrimSuffix(v, []byte{'\r'})
	return bytes.TrimPrefix(v, []byte{' '}), true
}

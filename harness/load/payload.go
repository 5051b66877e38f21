package load

import (
	"net"
	"sync"
)

// pieceSize is how much a piece of a long body holds.
const pieceSize = 64 << 10

// payload is a request's body, in pieces: a long prompt needs no single stretch of
// memory, which would be made anew each time that it turns out too short, and what
// is written goes back to be used for the next.
type payload struct {
	first []byte             // all of a short one
	more  []*[pieceSize]byte // full but for the last
	last  int                // of which this much is used
}

// spare are pieces that were written.
var spare sync.Pool // of *[pieceSize]byte

// size is the number of bytes.
func (p *payload) size() int {
	if len(p.more) == 0 {
		return len(p.first)
	}
	return len(p.first) + (len(p.more)-1)*pieceSize + p.last
}

// append appends bytes.
func (p *payload) append(b []byte) {
	if len(p.more) == 0 {
		n := min(pieceSize-len(p.first), len(b))
		p.first, b = append(p.first, b[:n]...), b[n:]
	}
	for len(b) > 0 {
		if len(p.more) == 0 || p.last == pieceSize {
			p.grow()
		}
		n := copy(p.more[len(p.more)-1][p.last:], b)
		p.last, b = p.last+n, b[n:]
	}
}

func (p *payload) grow() {
	piece, ok := spare.Get().(*[pieceSize]byte)
	if !ok {
		piece = new([pieceSize]byte)
	}
	p.more, p.last = append(p.more, piece), 0
}

// appendIDs appends token ids, with commas between.
func (p *payload) appendIDs(ids []int32) {
	const batch = 512 // of which each takes 11 bytes at most
	var text [batch * 11]byte
	for len(ids) > 0 {
		n := min(batch, len(ids))
		buf := text[:0]
		for _, id := range ids[:n] {
			buf = append(appendID(buf, id), ',')
		}
		if ids = ids[n:]; len(ids) == 0 {
			buf = buf[:len(buf)-1]
		}
		p.append(buf)
	}
}

// send writes head and the payload to c, the first piece together with head, so that
// a small request is one packet. Pieces that are written go back.
func (p *payload) send(c net.Conn, head []byte) error {
	err := write(c, net.Buffers{head, p.first})
	for err == nil && len(p.more) > 0 {
		n := pieceSize
		if len(p.more) == 1 {
			n = p.last
		}
		if err = write(c, net.Buffers{p.more[0][:n]}); err == nil {
			p.giveBack(1)
		}
	}
	return err
}

// giveBack lets the first n of the further pieces go.
func (p *payload) giveBack(n int) {
	for _, piece := range p.more[:n] {
		spare.Put(piece)
	}
	clear(p.more[:n])
	p.more = p.more[n:]
}

// reset empties the payload.
func (p *payload) reset() {
	p.giveBack(len(p.more))
	p.first, p.more, p.last = p.first[:0], nil, 0
}

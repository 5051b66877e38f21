package stats

import (
	"bytes"
	"encoding/gob"
	"fmt"
	"iter"
	"math"
	"time"
)

// Gaps is a list of durations at four bytes each, to the nanosecond: what the
// gaps between tokens are kept in. A cell of 1,280 requests of 8,192 tokens
// has ten million of them. A gap of 4.29 s or more, which is rare, is kept
// beside the list. The zero Gaps is empty and ready.
type Gaps struct {
	ns   []uint32        // longGap stands for the next one of long
	long []time.Duration // gaps that do not fit, in order
}

const longGap = math.MaxUint32

// Reserve makes room for n gaps in all, so that appending allocates nothing.
func (g *Gaps) Reserve(n int) {
	if n > cap(g.ns) {
		g.ns = append(make([]uint32, 0, n), g.ns...)
	}
}

// Append adds one gap. A negative gap, which a monotonic clock does not give,
// counts as zero.
func (g *Gaps) Append(d time.Duration) {
	switch {
	case d < 0:
		g.ns = append(g.ns, 0)
	case d < longGap:
		g.ns = append(g.ns, uint32(d))
	default:
		g.ns = append(g.ns, longGap)
		g.long = append(g.long, d)
	}
}

// Len is the number of gaps.
func (g Gaps) Len() int { return len(g.ns) }

// All ranges over the gaps in order.
func (g Gaps) All() iter.Seq[time.Duration] {
	return func(yield func(time.Duration) bool) {
		long := g.long
		for _, n := range g.ns {
			d := time.Duration(n)
			if n == longGap {
				d, long = long[0], long[1:]
			}
			if !yield(d) {
				return
			}
		}
	}
}

// Kept says what [Gaps.Keep] left.
type Kept struct {
	First, Last time.Duration // of the points that were kept, from the first point there was
	Points      int
	Zero        int // points that came at the same instant as the one before
}

// Keep takes points out. The gaps lie between points 0 to Len; those between the
// points for which keep is true are left, in place. keep is asked of each point
// in order.
func (g *Gaps) Keep(keep func(point int) bool) Kept {
	var (
		out  Kept
		at   time.Duration
		in   = *g
		ns   = g.ns[:0]
		long = g.long[:0]
	)
	for i := range in.Len() + 1 {
		if i > 0 {
			d := time.Duration(in.ns[i-1])
			if d == longGap {
				d, in.long = in.long[0], in.long[1:]
			}
			at += d
		}
		if !keep(i) {
			continue
		}
		if out.Points == 0 {
			out.First = at
		} else {
			kept := Gaps{ns, long}
			kept.Append(at - out.Last)
			ns, long = kept.ns, kept.long
			if at == out.Last {
				out.Zero++
			}
		}
		out.Last = at
		out.Points++
	}
	g.ns, g.long = ns, long
	return out
}

// wireGaps is how gaps travel: see [Gaps.GobEncode].
type wireGaps struct {
	NS   []uint32
	Long []time.Duration
}

// GobEncode keeps every gap to the nanosecond.
func (g Gaps) GobEncode() ([]byte, error) {
	var b bytes.Buffer
	err := gob.NewEncoder(&b).Encode(wireGaps{g.ns, g.long})
	return b.Bytes(), err
}

// GobDecode is the other way of [Gaps.GobEncode]. It refuses what that did not
// write.
func (g *Gaps) GobDecode(b []byte) error {
	var w wireGaps
	if err := gob.NewDecoder(bytes.NewReader(b)).Decode(&w); err != nil {
		return err
	}
	long := 0
	for _, n := range w.NS {
		if n == longGap {
			long++
		}
	}
	if long != len(w.Long) {
		return fmt.Errorf("gaps: %d long ones, want %d", len(w.Long), long)
	}
	g.ns, g.long = w.NS, w.Long
	return nil
}

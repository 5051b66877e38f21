//go:build !linux || 386 || s390x

package timedconn

import (
	"errors"
	"net"
	"time"
)

// Gatherer reads many connections together where the kernel stamps arrivals,
// which it does not here.
type Gatherer struct{}

// NewGatherer makes a gatherer that takes no connection.
func NewGatherer() *Gatherer { return &Gatherer{} }

// Gather takes none.
func (*Gatherer) Gather(*Conn) (*Gathered, error) { return nil, errors.ErrUnsupported }

// Tick is zero: nothing is gathered.
func (*Gatherer) Tick() time.Duration { return 0 }

// Lying is zero likewise.
func (*Gatherer) Lying() int64 { return 0 }

// Close does nothing.
func (*Gatherer) Close() {}

// Gathered is a connection of a [Gatherer]; there are none.
type Gathered struct{ *Conn }

// WriteBuffers writes all of bufs.
func (c *Gathered) WriteBuffers(bufs net.Buffers) (int64, error) { return bufs.WriteTo(c.TCPConn) }

// Patient does nothing.
func (*Gathered) Patient() {}

// SweptUp is never so.
func (*Gathered) SweptUp() bool { return false }

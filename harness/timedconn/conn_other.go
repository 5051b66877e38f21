//go:build !linux || 386 || s390x

package timedconn

import (
	"net"
	"time"
)

// Conn is a TCP connection that knows when its latest read returned: when the
// bytes arrived is not known here.
type Conn struct {
	*net.TCPConn
	read time.Time
}

// New wraps c.
func New(c *net.TCPConn) *Conn { return &Conn{TCPConn: c} }

// Read is a TCPConn's, but that it notes when it returned.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.read = time.Now()
	return n, err
}

// Stamp tells one read of the socket from another.
func (c *Conn) Stamp() time.Duration { return time.Duration(c.read.UnixNano()) }

// Came is when the latest read returned.
func (c *Conn) Came() time.Time { return c.read }

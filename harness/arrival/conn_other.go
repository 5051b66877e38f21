//go:build !linux || 386 || s390x

package arrival

import (
	"net"
	"time"
)

// Conn is a TCP connection; when its bytes arrived is not known here.
type Conn struct{ *net.TCPConn }

// New wraps c.
func New(c *net.TCPConn) *Conn { return &Conn{c} }

// Ago is zero: not known.
func (*Conn) Ago(time.Time) time.Duration { return 0 }

//go:build !linux || 386 || s390x

package load

import (
	"net"
	"time"
)

// stamped is a connection that knows when its bytes arrived: on Linux alone, see stamp_linux.go.
type stamped struct{ net.Conn }

func stamp(c net.Conn) net.Conn { return c }

func arrived(*stamped, time.Time) time.Duration { return 0 }

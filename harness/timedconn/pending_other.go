//go:build !unix

package timedconn

import "net"

// pending is not known here.
func pending(*net.TCPConn) bool { return false }

//go:build unix

package timedconn

import (
	"errors"
	"net"
	"syscall"
)

// pending reports whether c has something to read at once: bytes, its end or an
// error. Nothing is taken from it.
func pending(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	there := true
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, errno := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		there = !errors.Is(errno, syscall.EAGAIN)
	})
	return there || err != nil
}

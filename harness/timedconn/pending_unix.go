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
	err = raw.Control(func(fd uintptr) { there = lies(int(fd)) })
	return there || err != nil
}

// lies reports whether a socket has something to read at once.
func lies(fd int) bool {
	var b [1]byte
	_, _, err := syscall.Recvfrom(fd, b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return !errors.Is(err, syscall.EAGAIN)
}

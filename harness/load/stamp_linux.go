//go:build !386 && !s390x

// 386 and s390x have no recvmsg call of their own: see stamp_other.go.

package load

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"
)

// stamped is a TCP connection that asks the kernel when the bytes of each read
// arrived (SO_TIMESTAMPNS, socket(7)). The instant does not depend on when this
// process got a core to read them, so that a machine with other work, or a
// pause of the garbage collector, does not lengthen a latency.
type stamped struct {
	*net.TCPConn
	raw  syscall.RawConn
	recv func(fd uintptr) bool // reads into msg; made once, so that a read allocates nothing

	msg   syscall.Msghdr
	iov   syscall.Iovec
	oob   [64]byte
	n     int
	errno syscall.Errno
	stamp time.Duration // of the latest read, since the epoch; 0 where the kernel gave none
}

// stamp asks for arrival times on c; where that cannot be, c stays as it is.
func stamp(c net.Conn) net.Conn {
	t, ok := c.(*net.TCPConn)
	if !ok {
		return c
	}
	raw, err := t.SyscallConn()
	if err != nil {
		return c
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1)
	})
	if err != nil || refused != nil {
		return c
	}
	s := &stamped{TCPConn: t, raw: raw}
	s.recv = s.receive
	return s
}

// Read is a TCPConn's, but that it notes when what it read had arrived.
func (s *stamped) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	s.iov.Base = &b[0]
	s.iov.SetLen(len(b))
	err := s.raw.Read(s.recv)
	s.iov.Base = nil
	switch {
	case err != nil:
		var op *net.OpError
		if errors.As(err, &op) {
			op.Op = "read" // what a TCPConn calls it
		}
		return 0, err
	case s.errno != 0:
		return 0, &net.OpError{Op: "read", Net: "tcp", Source: s.LocalAddr(), Addr: s.RemoteAddr(), Err: s.errno}
	case s.n == 0:
		return 0, io.EOF
	}
	return s.n, nil
}

// receive tries to read; it is false where nothing is there yet.
func (s *stamped) receive(fd uintptr) bool {
	s.msg = syscall.Msghdr{Iov: &s.iov, Iovlen: 1, Control: &s.oob[0]}
	s.msg.SetControllen(len(s.oob))
	for {
		n, _, errno := syscall.Syscall(syscall.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&s.msg)), 0)
		switch errno {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return false
		}
		s.n, s.errno = int(n), errno
		s.stamp = s.arrival()
		return true
	}
}

// arrival is the time in the control message of the latest read.
func (s *stamped) arrival() time.Duration {
	const head = syscall.SizeofCmsghdr
	if s.errno != 0 || int(s.msg.Controllen) < head+int(unsafe.Sizeof(syscall.Timespec{})) {
		return 0
	}
	h := (*syscall.Cmsghdr)(unsafe.Pointer(&s.oob[0]))
	if h.Level != syscall.SOL_SOCKET || h.Type != syscall.SCM_TIMESTAMPNS {
		return 0
	}
	ts := (*syscall.Timespec)(unsafe.Pointer(&s.oob[head]))
	return time.Duration(ts.Nano())
}

// arrived is how long before now the bytes of c's latest read had arrived; zero
// where it is not known. The kernel's stamps are of the time of day: one that
// cannot be, because the clock was set in between, is not believed.
func arrived(c *stamped, now time.Time) time.Duration {
	if c.stamp == 0 {
		return 0
	}
	if ago := time.Duration(now.UnixNano()) - c.stamp; ago > 0 && ago < maxStampAge {
		return ago
	}
	return 0
}

const maxStampAge = 10 * time.Second

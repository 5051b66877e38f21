//go:build !386 && !s390x

// 386 and s390x have no recvmsg call of their own: see conn_other.go.

package timedconn

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"
)

// Conn is a TCP connection that knows when the bytes of its latest read
// arrived. Reads must not overlap, as with any connection.
type Conn struct {
	*net.TCPConn
	raw  syscall.RawConn
	recv func(fd uintptr) bool // made once, so that a read allocates nothing
	receiver
}

// receiver reads from a socket and notes when what it read had arrived.
type receiver struct {
	msg   syscall.Msghdr
	iov   syscall.Iovec // where to
	oob   [64]byte
	n     int
	errno syscall.Errno
	stamp time.Duration // of the latest read, since the epoch; 0 where the kernel gave none
}

// New makes c tell when its bytes arrive. Where the kernel refuses, it reads
// as it did, and [Conn.Came] is when that was.
func New(c *net.TCPConn) *Conn {
	s := &Conn{TCPConn: c}
	raw, err := c.SyscallConn()
	if err != nil {
		return s
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_TIMESTAMPNS, 1)
	})
	if err == nil && refused == nil {
		s.raw, s.recv = raw, s.receive
	}
	return s
}

// Read is a TCPConn's, but that it notes when what it read had arrived.
func (s *Conn) Read(b []byte) (int, error) {
	if len(b) == 0 || s.raw == nil {
		return s.TCPConn.Read(b)
	}
	s.into(b)
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

// into says where the next bytes go.
func (s *receiver) into(b []byte) {
	s.iov.Base = &b[0]
	s.iov.SetLen(len(b))
}

// receive tries to read; it is false where nothing is there yet. The socket
// never blocks, so Go's scheduler need not be told of the call (RawSyscall):
// that would wake its monitor for each token, which costs more than the call.
func (s *receiver) receive(fd uintptr) bool {
	s.msg = syscall.Msghdr{Iov: &s.iov, Iovlen: 1, Control: &s.oob[0]}
	s.msg.SetControllen(len(s.oob))
	for {
		n, _, errno := syscall.RawSyscall(syscall.SYS_RECVMSG, fd, uintptr(unsafe.Pointer(&s.msg)), 0)
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
func (s *receiver) arrival() time.Duration {
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

// Came is when the bytes of the latest read had arrived: to be asked at once after
// it, and now where it is not known.
func (s *receiver) Came() time.Time { return came(s.stamp, time.Now()) }

// came is when something with this stamp arrived that was read by now; that itself
// where it is not known. The kernel's stamps are of the time of day: one that
// cannot be, because the clock was set in between, is not believed.
func came(stamp time.Duration, now time.Time) time.Time {
	if ago := time.Duration(now.UnixNano()) - stamp; stamp != 0 && ago > 0 && ago < maxAge {
		return now.Add(-ago)
	}
	return now
}

// Stamp tells one arrival from another: reads that took bytes of the same one
// have the same stamp. It is zero where that is not known.
func (s *receiver) Stamp() time.Duration { return s.stamp }

const maxAge = 10 * time.Second

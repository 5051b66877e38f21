//go:build !386 && !s390x

package timedconn

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"
)

// bell rings when something comes on the connections of an epoll set, or when a
// time is over.
//
// What comes during a tick must not wake anybody. So Go's poller does not watch
// that set itself but the bell, an epoll set of its own: it watches the first, once
// each time it is asked to, and a timer. A timer of Go's would cost two wake-ups,
// since its poller sleeps for whole milliseconds.
type bell struct {
	*os.File // closing it ends an await
	raw      syscall.RawConn
	rings    func(fd uintptr) bool // ring; made once, so that an await allocates nothing
	set      int                   // the epoll set
	timer    int

	// Of the await in progress.
	begun  bool
	atMost time.Duration
	orCome bool // what comes ends it too
	failed error
	events [2]syscall.EpollEvent
}

// hang makes the bell of an epoll set.
func (b *bell) hang(set int) error {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	err = os.NewSyscallError("fcntl", syscall.SetNonblock(fd, true)) // so that Go's poller takes it
	b.File, b.rings, b.set, b.timer = os.NewFile(uintptr(fd), "epoll"), b.ring, set, -1
	if err == nil {
		b.raw, err = b.SyscallConn()
	}
	if err == nil {
		err = b.watch(fd, syscall.EPOLL_CTL_ADD, set, syscall.EPOLLONESHOT)
	}
	if err == nil {
		err = b.wind(fd)
	}
	if err != nil {
		b.takeDown()
	}
	return err
}

// wind gives the bell its timer.
func (b *bell) wind(fd int) error {
	const monotonic = 1
	timer, _, errno := syscall.RawSyscall(syscall.SYS_TIMERFD_CREATE, monotonic, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return os.NewSyscallError("timerfd_create", errno)
	}
	b.timer = int(timer)
	const edge = 1 << 31 // EPOLLET: once each time that it is set
	return b.watch(fd, syscall.EPOLL_CTL_ADD, b.timer, edge)
}

// takeDown gives back what the bell has; nothing may await it any more.
func (b *bell) takeDown() {
	b.Close()
	if b.timer >= 0 {
		syscall.Close(b.timer)
	}
}

// await returns after so long or, with orCome, when something has come.
func (b *bell) await(atMost time.Duration, orCome bool) error {
	b.begun, b.atMost, b.orCome, b.failed = false, atMost, orCome, nil
	err := b.raw.Read(b.rings)
	return errors.Join(b.failed, err)
}

// ring reports whether the bell rang. The first look only makes it ready.
func (b *bell) ring(fd uintptr) bool {
	if !b.begun {
		b.begun = true
		b.failed = b.ready(int(fd))
		return b.failed != nil
	}
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, fd, uintptr(unsafe.Pointer(&b.events[0])),
		uintptr(len(b.events)), 0, 0, 0)
	if errno != 0 {
		return false
	}
	for _, e := range b.events[:n] {
		if b.orCome || int(e.Fd) == b.timer {
			return true
		}
	}
	return false
}

// ready makes the bell ring when the await is over.
func (b *bell) ready(fd int) error {
	if b.orCome {
		if err := b.watch(fd, syscall.EPOLL_CTL_MOD, b.set, syscall.EPOLLONESHOT); err != nil {
			return err
		}
	}
	spec := [2]syscall.Timespec{1: syscall.NsecToTimespec(int64(b.atMost))} // once
	_, _, errno := syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, uintptr(b.timer), 0,
		uintptr(unsafe.Pointer(&spec[0])), 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("timerfd_settime", errno)
	}
	return nil
}

func (b *bell) watch(bell, how, fd int, more uint32) error {
	event := syscall.EpollEvent{Events: syscall.EPOLLIN | more, Fd: int32(fd)}
	return os.NewSyscallError("epoll_ctl", syscall.EpollCtl(bell, how, fd, &event))
}

package engine

import (
	"os"
	"syscall"
	"time"
	"unsafe"
)

// pacer waits until an instant with a precision that steps of a tenth of a
// millisecond need. Go's own timers are rounded up to a whole millisecond when
// the process is otherwise idle, since epoll's time-out is; a timerfd, which
// epoll watches like any file, fires to some tens of microseconds and holds
// neither a thread nor a core meanwhile.
type pacer struct{ timer *os.File }

func newPacer() *pacer {
	const monotonic = 1 // CLOCK_MONOTONIC
	fd, _, errno := syscall.Syscall(syscall.SYS_TIMERFD_CREATE, monotonic, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return &pacer{} // time.Sleep, then
	}
	return &pacer{timer: os.NewFile(fd, "timerfd")}
}

// until waits until the instant, at most for a tenth of a second, and reports
// whether it has come.
func (p *pacer) until(at time.Time) bool {
	d := time.Until(at)
	if d <= 0 {
		return true
	}
	whole := d <= 100*time.Millisecond
	d = min(d, 100*time.Millisecond)
	if p.timer == nil {
		time.Sleep(d)
		return whole
	}
	var spec struct{ interval, value syscall.Timespec }
	spec.value = syscall.NsecToTimespec(int64(d))
	raw, err := p.timer.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			_, _, errno := syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, fd, 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
			if errno != 0 {
				time.Sleep(d)
			}
		})
	}
	var fired [8]byte
	if err == nil {
		_, err = p.timer.Read(fired[:])
	}
	if err != nil {
		time.Sleep(d)
	}
	return whole
}

func (p *pacer) close() {
	if p.timer != nil {
		_ = p.timer.Close()
	}
}

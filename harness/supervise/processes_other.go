//go:build !linux

package supervise

import (
	"fmt"
	"syscall"
)

// adoptOrphans does nothing: only Linux hands orphans to whom one likes.
func adoptOrphans() {}

// ownSession starts a process in a session, and so a process group, of its own.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

// members is the command's process group, where anything of it still runs.
func members(pid int) map[int]bool {
	if syscall.Kill(-pid, 0) != nil {
		return nil
	}
	return map[int]bool{-pid: true}
}

// descendants are not known here.
func descendants(int) map[int]bool { return nil }

// name is a process for people.
func name(pid int) string { return fmt.Sprintf("process %d", max(pid, -pid)) }

// listeners are not known here.
func listeners(int) []int { return nil }

//go:build unix

package power

import (
	"os/exec"
	"syscall"
)

// inGroup has a program and what it starts end together with its context.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

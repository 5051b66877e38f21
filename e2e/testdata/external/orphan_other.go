//go:build !linux

package external

import "syscall"

func orphan(*syscall.SysProcAttr) {}

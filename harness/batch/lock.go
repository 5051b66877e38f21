package batch

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock keeps the batch in dir to this process until the file is closed or the
// process ends, however it ends. A file system that knows no such locks (some
// network ones) gives none, and no error either.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		f.Close()
		return nil, fmt.Errorf("%s: another process is running this batch: wait for it to end, or stop it", dir)
	}
	return f, nil
}

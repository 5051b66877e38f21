package power

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// File is a CSV file that a tool writes while the pass runs, on the server's
// machine say. Its times are taken to be by this machine's clock.
type File struct{ Path string }

// Name is the file's path.
func (f File) Name() string { return f.Path }

// tail is how much of what a file has already is read: an hour of eight GPUs, and
// more than a pass needs.
const tail = 4 << 20

// Collect reads the end of what the file has, and what is added to it, until ctx is
// done.
func (f File) Collect(ctx context.Context, add func(Reading)) error {
	in, err := os.Open(f.Path)
	if err != nil {
		return fmt.Errorf("read what it has: %w", err)
	}
	defer in.Close()
	r := &follower{in: in, add: add}
	info, err := in.Stat()
	if err != nil {
		return err
	}
	if info.Size() > 2*tail {
		if err := r.skip(info.Size() - tail); err != nil {
			return err
		}
	}
	tick := time.NewTicker(every / 4)
	defer tick.Stop()
	for {
		more, err := r.read()
		if err != nil {
			return err
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return r.why()
		case <-tick.C:
		}
	}
}

// follower reads a file that grows.
type follower struct {
	in    *os.File
	add   func(Reading)
	table table
	size  int64  // read so far
	rest  string // of a line that is not whole
	buf   [64 << 10]byte
}

// read takes what there is; false where there is no more for now.
func (r *follower) read() (more bool, err error) {
	n, err := r.in.Read(r.buf[:])
	r.size += int64(n)
	r.rest += string(r.buf[:n])
	for {
		line, after, whole := strings.Cut(r.rest, "\n")
		if !whole {
			break
		}
		r.rest = after
		if reading, ok := r.table.read(line); ok {
			r.add(reading)
		}
	}
	switch {
	case len(r.rest) > len(r.buf):
		return false, errors.New("it is no table: it has no line ends")
	case errors.Is(err, io.EOF):
		return false, nil
	}
	return err == nil, err
}

// skip goes on at a place in the file, after its beginning, where the header is.
func (r *follower) skip(to int64) error {
	if _, err := r.read(); err != nil {
		return err
	}
	if _, err := r.in.Seek(to, io.SeekStart); err != nil {
		return err
	}
	r.rest = "" // a line is cut here, and the part of it that follows is no reading
	return nil
}

func (r *follower) why() error {
	if r.size == 0 {
		return errors.New("it is empty")
	}
	return r.table.why()
}

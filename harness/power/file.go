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

// Collect reads what the file has, and what is added to it, until ctx is done.
func (f File) Collect(ctx context.Context, add func(Reading)) error {
	in, err := os.Open(f.Path)
	if err != nil {
		return fmt.Errorf("read what it has: %w", err)
	}
	defer in.Close()
	t, size, rest := new(table), int64(0), ""
	tick := time.NewTicker(every / 4)
	defer tick.Stop()
	buf := make([]byte, 64<<10)
	for {
		n, err := in.Read(buf)
		size += int64(n)
		rest += string(buf[:n])
		for {
			line, after, whole := strings.Cut(rest, "\n")
			if !whole {
				break
			}
			rest = after
			if r, ok := t.read(line); ok {
				add(r)
			}
		}
		if len(rest) > len(buf) {
			return errors.New("it is no table: it has no line ends")
		}
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		select {
		case <-ctx.Done():
			return f.why(t, size)
		case <-tick.C:
		}
	}
}

func (f File) why(t *table, size int64) error {
	if size == 0 {
		return errors.New("it is empty")
	}
	return t.why()
}

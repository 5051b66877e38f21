package power

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Tool is a program on this machine that tells what its GPUs draw.
type Tool struct {
	name     string
	watch    []string // arguments that make it write CSV, a row a GPU and second
	counters []string // those that make it write what the GPUs' own counters say; nil: it has none
}

// tools are those that are known, in the order in which they are looked for.
var tools = []Tool{
	{name: "nvidia-smi", watch: []string{"--query-gpu=timestamp,index,power.draw,temperature.gpu,clocks.current.sm," +
		"clocks.current.memory,utilization.gpu,utilization.memory", "--format=csv", "-l", "1"}},
	{name: "amd-smi", watch: []string{"metric", "-p", "-c", "-t", "-u", "-w", "1", "--csv"},
		counters: []string{"metric", "-E", "--csv"}},
}

// FindTool is the first of the tools that are on this machine; nil where there is
// none.
func FindTool() *Tool {
	for _, t := range tools {
		if _, err := exec.LookPath(t.name); err == nil {
			return &t
		}
	}
	return nil
}

// Name is the program's.
func (t *Tool) Name() string { return filepath.Base(t.name) }

// Collect runs the program until ctx is done. Nothing that it has started is left
// when it returns.
func (t *Tool) Collect(ctx context.Context, add func(Reading)) error {
	if t.counters != nil {
		var asking sync.WaitGroup
		defer asking.Wait()
		asking.Go(func() { t.count(ctx, add) })
	}
	cmd := t.command(ctx, t.watch)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	said, head := &start{}, &start{}
	cmd.Stderr = said
	if err := cmd.Start(); err != nil {
		return err
	}
	read := new(table)
	lines(out, func(line string) {
		if r, ok := read.read(line); ok {
			add(r)
		} else if read.columns == nil {
			_, _ = head.Write([]byte(line)) // it may say what is wrong
		}
	})
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		err = read.why()
	case err == nil:
		err = errors.New("it ended by itself")
	}
	if err == nil {
		return nil
	}
	if text := strings.Join(strings.Fields(head.String()+" "+said.String()), " "); text != "" {
		err = fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// count asks for the GPUs' own counters at once, and every ten seconds.
func (t *Tool) count(ctx context.Context, add func(Reading)) {
	tick := time.NewTicker(10 * every)
	defer tick.Stop()
	for {
		out, err := t.command(ctx, t.counters).Output()
		if err == nil {
			for _, r := range readCounters(string(out), time.Now()) {
				add(r)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// readCounters reads a table without a time: what each GPU has counted, in J.
func readCounters(text string, now time.Time) (out []Reading) {
	t := new(table)
	for line := range strings.Lines(text) {
		row := fields(line)
		if t.columns == nil {
			head := append([]string{"time", "power"}, row...) // which it has not, or need not
			t.header(head)
			continue
		}
		gpu := cell(row, t.columns.gpu-2)
		if v, ok := quantity(cell(row, t.columns.joules-2)); ok && v >= 0 && gpu != "" && t.columns.joules >= 0 {
			out = append(out, Reading{At: now, GPU: gpu, Watts: math.NaN(), Joules: &v})
		}
	}
	return out
}

// command is the program in a process group of its own, which ends with ctx.
func (t *Tool) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, t.name, args...)
	cmd.Env = append(cmd.Environ(), "PYTHONUNBUFFERED=1") // amd-smi is in Python
	inGroup(cmd)
	cmd.WaitDelay = every
	return cmd
}

// lines calls f with each line of at most 64 KiB; longer ones are passed over.
func lines(in io.Reader, f func(string)) {
	r := bufio.NewReaderSize(in, 64<<10)
	for long := false; ; {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			long = true
			continue
		case err != nil: // the rest is no whole line
			return
		case !long:
			f(string(line))
		}
		long = false
	}
}

// start keeps the first 300 bytes of what is written to it.
type start struct{ b []byte }

func (s *start) Write(b []byte) (int, error) {
	s.b = append(s.b, b[:min(len(b), 300-len(s.b))]...)
	return len(b), nil
}

func (s *start) String() string { return string(s.b) }

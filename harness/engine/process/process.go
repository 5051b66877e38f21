// Package process runs the embedded engine in a process of its own, so that
// the processor time, memory and goroutines of whoever measures it are its
// alone.
package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Engine is a running engine.
type Engine struct {
	URL string // where it listens
	PID int
	cmd *exec.Cmd
}

// patience is how long an engine may take to end once it was asked to.
const patience = 10 * time.Second

// Start runs `inferbench engine` on a free port, with args besides, and waits
// until it says where it listens. binary is the command's path. ctx ends it, as [Engine.Stop] does.
func Start(ctx context.Context, binary string, args ...string) (*Engine, error) {
	cmd := exec.CommandContext(ctx, binary, append([]string{"engine", "-port", "0"}, args...)...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	e := &Engine{PID: cmd.Process.Pid, cmd: cmd}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	_, rest, said := strings.Cut(line, "ready on ")
	if err != nil || !said {
		_ = e.Stop()
		return nil, errors.New("start the engine: it did not say where it listens")
	}
	e.URL = strings.Fields(rest)[0]
	go io.Copy(io.Discard, lines)
	return e, nil
}

// Stop ends the engine; the error is that it ended badly.
func (e *Engine) Stop() error {
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(patience, func() { _ = e.cmd.Process.Kill() })
	defer late.Stop()
	if err := e.cmd.Wait(); err != nil {
		return fmt.Errorf("end the engine: %w", err)
	}
	return nil
}

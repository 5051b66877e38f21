// Package external starts servers and gateways that nobody here wrote, for
// tests: each on a free port of loopback, in a process group of its own that the
// test's end takes away, with a log whose tail is shown when it dies.
package external

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Port is a port of loopback that nothing listens on.
func Port(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Process is a started command.
type Process struct {
	URL  string // http://127.0.0.1:PORT
	cmd  *exec.Cmd
	log  string // path
	done chan struct{}
}

// Start runs cmd, which is to listen on port, and waits until its path answers,
// with whatever status, for at most limit. A command that dies first fails the
// test with the tail of its log.
func Start(t testing.TB, cmd *exec.Cmd, port int, path string, limit time.Duration) *Process {
	t.Helper()
	p := &Process{URL: fmt.Sprintf("http://127.0.0.1:%d", port), cmd: cmd,
		log: filepath.Join(t.TempDir(), "log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	orphan(cmd.SysProcAttr)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { cmd.Wait(); close(p.done) }()
	t.Cleanup(p.Kill)
	for begin := time.Now(); ; {
		if resp, err := http.Get(p.URL + path); err == nil {
			resp.Body.Close()
			return p
		}
		select {
		case <-p.done:
			t.Fatalf("%s ended before it listened; its log ends:\n%s", cmd.Args[0], p.Tail())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Since(begin) > limit {
			t.Fatalf("%s does not listen on port %d after %s; its log ends:\n%s", cmd.Args[0], port, limit, p.Tail())
		}
	}
}

// Kill ends the command and all that it started, at once.
func (p *Process) Kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

// PID is the command's process, which leads the group.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Tail is the last 2 KiB of what the command printed.
func (p *Process) Tail() string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(len(b)-2048, 0):]))
}

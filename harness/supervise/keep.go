package supervise

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"inferbench/harness/server"
)

const reportFile = 3 // to whoever started the keeper

// Keep is the keeper: args are the names of secret variables with commas between,
// "--" and the command's words. It returns the exit code: 0 when nothing of the
// command is left.
func Keep(args []string) int {
	if len(args) < 3 || args[1] != "--" {
		fmt.Fprintln(os.Stderr, "inferbench keep: this is for inferbench's own use")
		return 2
	}
	// Whoever started us decides when this ends; a handler, unlike an ignored
	// signal, is not handed on to the command.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	adoptOrphans()
	released := make(chan time.Duration, 1) // how long the command may take to end
	go func() {
		if word, _ := io.ReadAll(os.Stdin); string(word) == stopWord {
			released <- grace
		} else {
			released <- hurry
		}
	}()
	syscall.CloseOnExec(reportFile)
	report := os.NewFile(reportFile, "report")
	k, err := keep(args[2:], strings.Split(args[0], ","))
	if err != nil {
		_ = json.NewEncoder(report).Encode(End{Status: err.Error()})
		return 0
	}
	limit := hurry
	select {
	case limit = <-released:
		k.signal(syscall.SIGTERM)
		select {
		case <-k.ended:
		case <-time.After(limit):
		}
	case <-k.ended:
		k.end.Left = k.left()
	}
	select {
	case <-k.ended:
		_ = json.NewEncoder(report).Encode(k.end)
	default:
	}
	return k.finish(limit)
}

// keeper is what a keeper knows of its command.
type keeper struct {
	pid   int
	end   End           // set before ended is closed
	ended chan struct{} // the command itself has ended
	alone chan struct{} // no child is left
	log   chan struct{} // all that it wrote is in the log
}

// keep starts the command.
func keep(words, secrets []string) (*keeper, error) {
	path, err := exec.LookPath(words[0])
	if err != nil {
		return nil, err
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		return nil, err
	}
	k := &keeper{ended: make(chan struct{}), alone: make(chan struct{}), log: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the command dies with the thread that started it, not only with this process
		child, err := os.StartProcess(path, words, &os.ProcAttr{Files: []*os.File{null, in, in}, Env: os.Environ(),
			Sys: ownSession()})
		in.Close()
		null.Close()
		if err == nil {
			k.pid = child.Pid
			_ = child.Release()
		}
		started <- err
		if err == nil {
			k.reap()
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	go func() {
		copyLog(os.Stdout, out, secrets)
		close(k.log)
	}()
	return k, nil
}

// reap waits for the command, and for every process that has become a child of
// this one since.
func (k *keeper) reap() {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil: // no child is left
			close(k.alone)
			return
		case pid == k.pid:
			k.end = End{Status: words(status), OK: status.Exited() && status.ExitStatus() == 0}
			close(k.ended)
		}
	}
}

func words(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "signal: " + s.Signal().String()
	}
	return fmt.Sprintf("exit status %d", s.ExitStatus())
}

// signal sends a signal to the command itself.
func (k *keeper) signal(s syscall.Signal) { _ = syscall.Kill(k.pid, s) }

// left names what the command, which has ended, has left running.
func (k *keeper) left() (out []string) {
	for range 20 { // children that end with it take a moment
		if k.over() {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	for pid := range k.members() {
		out = append(out, name(pid))
	}
	return out
}

// over reports whether nothing of the command runs any more.
func (k *keeper) over() bool {
	select {
	case <-k.alone:
		return len(k.members()) == 0
	default:
		return false
	}
}

// members are the command and all that it has started, as far as they still run.
func (k *keeper) members() map[int]bool { return members(k.pid) }

// finish ends all that is left of the command, which has so long to obey SIGTERM, and
// returns the exit code.
func (k *keeper) finish(respite time.Duration) int {
	begin, sent := time.Now(), syscall.Signal(0)
	for ; !k.over(); time.Sleep(20 * time.Millisecond) {
		waited := time.Since(begin)
		switch {
		case waited > respite+killing:
			for pid := range k.members() {
				fmt.Println("inferbench: could not end", name(pid))
			}
			return 1
		case waited > respite: // again and again: what was forking meanwhile is found in the next round
			sent = syscall.SIGKILL
		case sent == 0:
			sent = syscall.SIGTERM
		default:
			continue
		}
		for pid := range k.members() {
			_ = syscall.Kill(pid, sent)
		}
	}
	select {
	case <-k.log:
	case <-time.After(slack / 2): // somebody else holds the pipe
	}
	return 0
}

// copyLog writes what comes from r to w, line by line, with the values of secret
// variables taken out.
func copyLog(w io.Writer, r io.Reader, secrets []string) {
	var values []string
	for _, name := range secrets {
		if v := os.Getenv(name); v != "" {
			values = append(values, v)
		}
	}
	if values == nil {
		_, _ = io.Copy(w, r)
		return
	}
	lines := bufio.NewReaderSize(r, 1<<16)
	for {
		line, err := lines.ReadSlice('\n')
		if text := strings.TrimRight(string(line), "\r\n"); len(line) > 0 {
			fmt.Fprintln(w, server.Redact(text, values...))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// Package supervise runs commands of which nothing outlives this process, however
// this one ends.
//
// [Start] starts a keeper: a second process of this program, in a session of its
// own, which runs [Keep]. The keeper starts the command, and holds the reading end
// of a pipe whose writing end only this process has. When that closes, because
// [Process.Stop] asks for it or because this process was killed, the keeper ends
// the command and all that the command has started. On Linux every process whose
// parent has ended becomes the keeper's child, so what forks away or begins a
// session of its own is found as well; elsewhere it is the command's process group.
package supervise

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Word is the argument by which a program knows that it is to be a keeper: it then
// hands the arguments behind it to [Keep].
const Word = "keep"

// Spec is a command to run.
type Spec struct {
	Args    []string // its words
	Env     []string // its environment, NAME=value
	Log     *os.File // takes what it writes, with secrets taken out
	Secrets []string // names of variables of Env whose values are secret
}

// Process is a command that was started.
type Process struct {
	keeper  *exec.Cmd
	control *os.File
	before  map[int]bool // descendants of this process that are not the command's
	ended   chan struct{}
	end     End // how the command itself ended; set before ended is closed
	gone    chan error
	stop    func() error
}

// End is how a command ended.
type End struct {
	Status string   `json:"status"` // "exit status 1", "signal: killed"; empty where the keeper was killed
	OK     bool     `json:"ok"`     // it ended by itself, with exit status 0
	Left   []string `json:"left"`   // what it had started and left running, by name and process id
}

// Start starts a command. The error is that it could not be started.
func Start(s Spec) (*Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("this program's own file: %w", err)
	}
	hold, control, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer hold.Close()
	told, tells, err := os.Pipe()
	if err != nil {
		control.Close()
		return nil, err
	}
	defer tells.Close()
	adoptOrphans()
	args := append([]string{Word, strings.Join(s.Secrets, ","), "--"}, s.Args...)
	p := &Process{keeper: exec.Command(self, args...), control: control, before: descendants(os.Getpid()),
		ended: make(chan struct{}), gone: make(chan error, 1)}
	p.stop = sync.OnceValue(p.stopOnce)
	p.keeper.Env, p.keeper.Stdin, p.keeper.ExtraFiles = s.Env, hold, []*os.File{tells}
	p.keeper.Stdout, p.keeper.Stderr = s.Log, s.Log
	p.keeper.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := p.keeper.Start(); err != nil {
		control.Close()
		told.Close()
		return nil, fmt.Errorf("start the keeper of %s: %w", filepath.Base(s.Args[0]), err)
	}
	go p.watch(told)
	return p, nil
}

// watch reads what the keeper tells, and waits for it.
func (p *Process) watch(told *os.File) {
	_ = json.NewDecoder(told).Decode(&p.end) // nothing comes where the keeper was killed
	told.Close()
	close(p.ended)
	p.gone <- p.keeper.Wait()
}

// Ended is closed when the command has ended, by itself or because it was stopped.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// End says how the command ended. Call it when [Process.Ended] is closed.
func (p *Process) End() End { return p.end }

// stopWord tells the keeper that it is asked to end the command. Where the pipe
// closes without it, this process is gone and nobody waits for a clean end.
const stopWord = "stop"

// Limits of an end, from the keeper's first signal on.
const (
	grace   = 10 * time.Second // after SIGTERM, for the command itself and again for what it leaves
	hurry   = 2 * time.Second  // the same, where nobody waits for a clean end
	killing = 20 * time.Second // for what was sent SIGKILL, and may hang in a driver
	slack   = 5 * time.Second
)

// Stop ends the command and all that it has started, and returns when all of it has
// ended. The error names what did not end.
func (p *Process) Stop() error { return p.stop() }

func (p *Process) stopOnce() error {
	_, _ = p.control.WriteString(stopWord) // where the keeper has gone, nobody reads it
	p.control.Close()
	var err error
	select {
	case err = <-p.gone:
	case <-time.After(2*grace + killing + slack):
		_ = p.keeper.Process.Kill()
		err = <-p.gone
	}
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit) && exit.ExitCode() >= 0: // it says in the log what it could not end
		return fmt.Errorf("the keeper of the command could not end all of it: %s", strings.Join(p.names(), ", "))
	}
	return p.endStrays()
}

// names are those of the command's processes that still run.
func (p *Process) names() (out []string) {
	for pid := range p.strays() {
		out = append(out, name(pid))
	}
	return out
}

// strays are the descendants that became this process's own because the keeper
// was killed.
func (p *Process) strays() map[int]bool {
	out := descendants(os.Getpid())
	for pid := range p.before {
		delete(out, pid)
	}
	return out
}

// endStrays does the keeper's work where it was killed itself.
func (p *Process) endStrays() error {
	for limit := time.Now().Add(killing); ; time.Sleep(20 * time.Millisecond) {
		strays := p.strays()
		if len(strays) == 0 {
			return nil
		}
		if time.Now().After(limit) {
			return fmt.Errorf("could not end %s", strings.Join(p.names(), ", "))
		}
		for pid := range strays {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			_, _ = syscall.Wait4(pid, nil, syscall.WNOHANG, nil)
		}
	}
}

// Stranger names a process that listens on a TCP port and is not the command's;
// empty where there is none that can be seen.
func (p *Process) Stranger(port int) string {
	ours := descendants(p.keeper.Process.Pid)
	for _, pid := range listeners(port) {
		if !ours[pid] {
			return name(pid)
		}
	}
	return ""
}

// Listening names the processes that listen on a TCP port, as far as this one may
// see them.
func Listening(port int) (out []string) {
	for _, pid := range listeners(port) {
		out = append(out, name(pid))
	}
	return out
}

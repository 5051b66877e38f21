package e2e

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
)

// A hangup and SIGTERM end a sweep as Ctrl+C does, and the last line says how to
// go on.
func TestSignalsThatEndASweep(t *testing.T) {
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			cmd, dir, out := start(t, nil, "-isl", "16", "-osl", "8", "-conc", "1,2", "-num-prompts", "1000000")
			require.Eventually(t, func() bool {
				_, err := os.Stat(filepath.Join(theBatchIfAny(dir), "plan.json"))
				return err == nil
			}, time.Minute, 10*time.Millisecond)
			require.NoError(t, cmd.Process.Signal(s))
			cmd.Wait()
			assert.Equal(t, 1, cmd.ProcessState.ExitCode(), out)
			summary := batchFile(t, dir, "summary.txt")
			assert.Contains(t, summary, "CONC=1: INCOMPLETE\n")
			assert.Contains(t, summary, "CONC=2: INCOMPLETE\n")
			assert.NotEmpty(t, batchFile(t, dir, "report.html"))
			b := theBatch(t, dir)
			assert.Contains(t, out.String(), "Batch: "+b+"/", "the table")
			assert.True(t, strings.HasSuffix(out.String(),
				"inferbench: of 2 cells 0 failed and 2 did not finish: go on with make resume BATCH="+b+"\n"), out)
		})
	}
}

func theBatchIfAny(dir string) string {
	paths, _ := filepath.Glob(filepath.Join(dir, "batch_*"))
	return strings.Join(paths, "")
}

// A sweep of hours does not end because nobody reads its output.
func TestOutputThatNobodyTakes(t *testing.T) {
	whole := func(t *testing.T, cmd *exec.Cmd) {
		t.Helper()
		if cmd.SysProcAttr == nil {
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		}
		cmd.Dir = t.TempDir()
		watchdog := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
		defer watchdog.Stop()
		assert.NoError(t, cmd.Run())
		assert.Contains(t, batchFile(t, cmd.Dir, "summary.txt"), "Total tests: 2\nPassed: 2\n")
		assert.Equal(t, "PASSED", result(t, cmd.Dir, "result_isl16_osl8_conc2.json")["status"])
		assert.NotEmpty(t, batchFile(t, cmd.Dir, "report.html"))
	}
	args := append([]string{"-test.timeout=0", "-test.v", "-progress", "lines"}, small...)
	t.Run("a closed pipe", func(t *testing.T) {
		r, w, err := os.Pipe()
		require.NoError(t, err)
		require.NoError(t, r.Close())
		defer w.Close()
		cmd := exec.Command(binary, args...)
		cmd.Stdout, cmd.Stderr = w, w
		whole(t, cmd)
	})
	t.Run("a full disk", func(t *testing.T) {
		full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
		if err != nil {
			t.Skip(err)
		}
		defer full.Close()
		cmd := exec.Command(binary, args...)
		cmd.Stdout, cmd.Stderr = full, full
		whole(t, cmd)
	})
	t.Run("none", func(t *testing.T) {
		whole(t, exec.Command("sh", append([]string{"-c", `exec "$0" "$@" <&- >&- 2>&-`, binary}, args...)...))
	})
	t.Run("a terminal that has gone", func(t *testing.T) {
		master, tty, err := pty.Open()
		require.NoError(t, err)
		defer tty.Close()
		// As nohup does it, in a terminal of its own, which closes half a second later.
		cmd := exec.Command("sh", append([]string{"-c", `trap "" HUP; exec "$0" "$@"`, binary, "-progress", "live"}, append(args[:2:2], small...)...)...)
		cmd.Args = append(cmd.Args, "-num-prompts", "2000")
		cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		go io.Copy(io.Discard, master)
		time.AfterFunc(500*time.Millisecond, func() { master.Close() })
		whole(t, cmd)
	})
}

// mortal is an address with an engine behind it that can die.
type mortal struct {
	address, engine string

	mu      sync.Mutex
	streams int // requests for a stream that it lets pass before it dies; none below 0
	l       net.Listener
	open    []net.Conn
}

func (m *mortal) live(t *testing.T, streams int) {
	t.Helper()
	l, err := net.Listen("tcp", m.address)
	require.NoError(t, err)
	m.address, m.l, m.streams = l.Addr().String(), l, streams
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			up, err := net.Dial("tcp", m.engine)
			if err != nil {
				c.Close()
				continue
			}
			m.mu.Lock()
			m.open = append(m.open, c, up)
			m.mu.Unlock()
			go m.pass(up, c, true)
			go m.pass(c, up, false)
		}
	}()
}

// pass copies what comes from one side to the other.
func (m *mortal) pass(to, from net.Conn, asks bool) {
	defer to.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if asks && bytes.Contains(b[:n], []byte(`"stream":true`)) {
			m.mu.Lock()
			m.streams--
			last := m.streams == 0
			m.mu.Unlock()
			if last {
				m.die()
			}
		}
		if _, werr := to.Write(b[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (m *mortal) die() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.l.Close()
	for _, c := range m.open {
		c.Close()
	}
	m.open = nil
}

// A server that dies in the middle of a sweep fails the cells that it should
// have served; make resume runs these again, and what failed otherwise only
// where it is named.
func TestResumeAfterTheServerDied(t *testing.T) {
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	defer e.Close()
	m := &mortal{address: "127.0.0.1:0", engine: strings.TrimPrefix(e.URL(), "http://")}
	m.live(t, 15)
	defer m.die()
	env := append(os.Environ(), "BASE_URL=http://"+m.address)
	exit, dir, out := finish(t, env, "-isl", "16", "-osl", "8", "-conc", "1,2,4", "-num-prompts", "20", "-warmup", "0", "-ready-timeout", "5s", "-request-timeout", "2s")
	require.Equal(t, 1, exit, out)
	b := theBatch(t, dir)
	for _, conc := range []string{"1", "2", "4"} {
		require.Contains(t, batchFile(t, dir, "summary.txt"), "CONC="+conc+": FAILED", out)
		r := result(t, dir, "result_isl16_osl8_conc"+conc+".json")
		assert.Equal(t, true, r["run_again"], "%v", r["reason"])
		assert.Contains(t, r["reason"], "the server has gone: look into its log, start it again, then go on with make resume")
	}
	assert.True(t, strings.HasSuffix(out, "inferbench: of 3 cells 3 failed and 0 did not finish: see to the server or the disk, then go on with make resume BATCH="+b+"\n"), out)

	m.live(t, -1)
	exit, out = finishIn(t, dir, env, "-resume", b)
	require.Zero(t, exit, out)
	assert.Contains(t, out, b+": goes on with CONC 1 (FAILED), 2 (FAILED), 4 (FAILED)\n")
	assert.Contains(t, batchFile(t, dir, "summary.txt"), "Passed: 3\nFailed: 0\n")
}

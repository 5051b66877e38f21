//go:build linux

package supervise

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

// victim is the argument with which this test is a program that starts a command
// and is killed.
const victim = "victim"

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == Word {
		os.Exit(Keep(os.Args[2:]))
	}
	if len(os.Args) > 2 && os.Args[1] == victim {
		log, err := os.Create(os.Args[3])
		if err == nil {
			_, err = Start(Spec{Args: []string{"sh", "-c", os.Args[2]}, Env: os.Environ(), Log: log})
		}
		fmt.Println("started", err)
		select {}
	}
	os.Exit(m.Run())
}

// start starts a shell's command line, and ends it at the test's end.
func start(t *testing.T, line string, env ...string) (p *Process, log string) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "log")
	f, err := os.Create(log)
	require.NoError(t, err)
	defer f.Close()
	p, err = Start(Spec{Args: []string{"sh", "-c", line}, Env: append(os.Environ(), env...), Log: f, Secrets: []string{"SOME_KEY"}})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Stop()) })
	return p, log
}

// running counts the processes whose command line holds a mark.
func running(mark string) (n int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		if b, _ := os.ReadFile(f); bytes.HasPrefix(b, []byte("sleep\x00"+mark)) {
			n++
		}
	}
	return n
}

// daemons is a command line of five processes that know how to hide: in the
// background, in sessions of their own, deaf to SIGTERM, and orphans.
func daemons(mark string) string {
	return strings.ReplaceAll(`sleep MARK & setsid sleep MARK & (setsid sh -c 'sleep MARK & sleep MARK' &) ; nohup sh -c 'trap "" TERM; sleep MARK; sleep MARK' >/dev/null 2>&1 & `, "MARK", mark)
}

func ended(t *testing.T, p *Process) End {
	t.Helper()
	select {
	case <-p.Ended():
	case <-time.After(time.Minute):
		t.Fatal("the command does not end")
	}
	return p.End()
}

func TestACommandThatEnds(t *testing.T) {
	t.Parallel()
	p, log := start(t, `echo "key $SOME_KEY"; echo second >&2; exit 3`, "SOME_KEY=sk-very-secret")
	assert.Equal(t, End{Status: "exit status 3"}, ended(t, p))
	require.NoError(t, p.Stop())
	text, err := os.ReadFile(log)
	require.NoError(t, err)
	assert.Equal(t, "key [secret]\nsecond\n", string(text))

	log = filepath.Join(t.TempDir(), "log")
	f, err := os.Create(log)
	require.NoError(t, err)
	p, err = Start(Spec{Args: []string{"/there/is/no/such/program"}, Log: f})
	require.NoError(t, err)
	assert.Contains(t, ended(t, p).Status, "no such file")
	require.NoError(t, p.Stop())
}

func TestACommandThatForksAway(t *testing.T) {
	t.Parallel()
	const mark = "86011.25"
	p, _ := start(t, daemons(mark)+"exit 0")
	end := ended(t, p)
	assert.True(t, end.OK)
	assert.NotEmpty(t, end.Left)
	assert.Contains(t, strings.Join(end.Left, " "), "sleep (process ")
	require.NoError(t, p.Stop())
	assert.Zero(t, running(mark))
}

func TestStopEndsAllOfACommand(t *testing.T) {
	t.Parallel()
	const mark = "86012.25"
	p, _ := start(t, daemons(mark)+"sleep "+mark)
	require.Eventually(t, func() bool { return running(mark) == 6 }, time.Minute, 50*time.Millisecond)
	require.NoError(t, p.Stop())
	assert.Zero(t, running(mark))
}

// Nothing is left of a command whose starter was killed with SIGKILL.
func TestNothingOutlivesAStarterThatIsKilled(t *testing.T) {
	t.Parallel()
	const mark = "86013.25"
	cmd := exec.Command(os.Args[0], victim, daemons(mark)+"sleep "+mark, filepath.Join(t.TempDir(), "log"))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool { return running(mark) == 6 }, time.Minute, 50*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	require.Eventually(t, func() bool { return running(mark) == 0 }, time.Minute, 50*time.Millisecond)
}

// The starter does a killed keeper's work.
func TestNothingOutlivesAKeeperThatIsKilled(t *testing.T) {
	const mark = "86014.25" // not beside other tests: what they start would be taken for the command's
	p, _ := start(t, daemons(mark)+"sleep "+mark)
	require.Eventually(t, func() bool { return running(mark) == 6 }, time.Minute, 50*time.Millisecond)
	require.NoError(t, p.keeper.Process.Kill())
	assert.Empty(t, ended(t, p).Status)
	require.NoError(t, p.Stop())
	assert.Zero(t, running(mark))
}

func TestStranger(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	p, _ := start(t, "sleep 60")
	port := l.Addr().(*net.TCPAddr).Port
	assert.Contains(t, p.Stranger(port), fmt.Sprintf("(process %d)", os.Getpid()))
	l.Close()
	assert.Empty(t, p.Stranger(port))
}

package suite

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

// TestMain lets the test binary be the process that is sent signals.
func TestMain(m *testing.M) {
	if os.Getenv("ENDING") == "" {
		os.Exit(m.Run())
	}
	ctx, stop := stopped()
	defer stop()
	fmt.Println("ready")
	<-ctx.Done()
	fmt.Println("ending")
	time.Sleep(time.Minute) // a sweep that does not come to its end
}

// The first signal ends the sweep, a second one the process; two within an
// instant are one.
func TestASecondSignalEndsTheProcess(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "ENDING=1")
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			watchdog := time.AfterFunc(time.Minute, func() { cmd.Process.Kill() })
			defer watchdog.Stop()
			lines := bufio.NewScanner(out)
			require.True(t, lines.Scan())
			require.NoError(t, cmd.Process.Signal(s))
			require.NoError(t, cmd.Process.Signal(s))
			require.True(t, lines.Scan(), "it ended by the first signal")
			assert.Equal(t, "ending", lines.Text())
			time.Sleep(2 * oneSignal)
			require.NoError(t, cmd.Process.Signal(s))
			cmd.Wait()
			status := cmd.ProcessState.Sys().(syscall.WaitStatus)
			assert.True(t, status.Signaled() && status.Signal() == s, cmd.ProcessState)
		})
	}
}

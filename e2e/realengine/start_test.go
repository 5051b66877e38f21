package realengine

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/e2e/testdata/external"
)

// failing is a test that keeps what it fails with.
type failing struct {
	testing.TB
	said string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	panic(f)
}

// An engine that dies at start ends the wait at once, with the tail of its log.
func TestAnEngineThatDiesAtStartShowsItsLog(t *testing.T) {
	f := &failing{TB: t}
	begin := time.Now()
	func() {
		defer func() { assert.Equal(t, any(f), recover()) }()
		external.Start(f, exec.Command("sh", "-c", "echo loading; echo 'RuntimeError: no device' >&2; exit 3"), external.Port(t), "/health", time.Hour)
	}()
	assert.Contains(t, f.said, "sh ended before it listened; its log ends:\nloading\nRuntimeError: no device")
	assert.Less(t, time.Since(begin), time.Minute)
}

// A port that something listens on is one line, before an engine is started.
func TestAPortInUseIsOneLine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	for _, verb := range []string{"serve", "transformers"} {
		cmd := exec.Command("../../scripts/real_vllm.sh", verb)
		cmd.Env = append(os.Environ(), fmt.Sprintf("PORT=%d", port))
		out, _ := cmd.CombinedOutput()
		assert.Equal(t, 2, cmd.ProcessState.ExitCode())
		assert.Equal(t, fmt.Sprintf("real_vllm.sh: port %d is in use: give another in PORT, or stop what listens there\n", port), string(out))
	}
}

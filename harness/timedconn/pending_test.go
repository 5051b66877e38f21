//go:build unix

package timedconn_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/timedconn"
)

func TestPendingTellsWhatLiesThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	dialled, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	far, err := l.Accept()
	require.NoError(t, err)
	c := timedconn.New(dialled.(*net.TCPConn))
	defer c.Close()
	soon := func(want bool, why string) {
		t.Helper()
		assert.Eventually(t, func() bool { return c.Pending() == want }, 10*time.Second, time.Millisecond, why)
	}
	assert.False(t, c.Pending(), "nothing was sent")
	_, err = far.Write([]byte("early"))
	require.NoError(t, err)
	soon(true, "bytes lie there")
	got := make([]byte, 5)
	_, err = io.ReadFull(c, got)
	require.NoError(t, err)
	assert.Equal(t, "early", string(got), "nothing was taken by looking")
	assert.False(t, c.Pending())
	far.Close()
	soon(true, "it has ended")
}

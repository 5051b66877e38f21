//go:build !386 && !s390x

package timedconn

import (
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pipe is a connection and the server's end of it.
func pipe(t *testing.T) (*Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	far, err := l.Accept()
	require.NoError(t, err)
	s := New(c.(*net.TCPConn))
	require.NotNil(t, s.raw, "Linux stamps what a TCP connection receives")
	t.Cleanup(func() { s.Close(); far.Close() })
	return s, far
}

// However late a read comes, its bytes arrived when they were written. Over the
// loopback they are in the socket before the write returns, but where the kernel
// has much to do and leaves that for later: so it is tried until it is seen.
func TestArrivalIsNotWhenItWasRead(t *testing.T) {
	c, far := pipe(t)
	buf := make([]byte, 100)
	for range 100 {
		before := time.Now()
		_, err := far.Write([]byte("token"))
		require.NoError(t, err)
		after := time.Now()
		time.Sleep(20 * time.Millisecond)
		n, err := c.Read(buf)
		require.NoError(t, err)
		assert.Equal(t, "token", string(buf[:n]))
		at := c.Came()
		assert.False(t, at.Before(before.Add(-time.Millisecond)), "not before it was sent")
		if at.Before(after.Add(time.Millisecond)) {
			return
		}
	}
	t.Error("a hundred times, arrival was said to be when it was read")
}

func TestStampThatCannotBe(t *testing.T) {
	now := time.Now()
	for _, s := range []time.Duration{0, time.Duration(now.UnixNano()) + time.Hour, time.Duration(now.UnixNano()) - time.Hour} {
		assert.Equal(t, now, came(s, now))
	}
	assert.Equal(t, now.Add(-time.Second), came(time.Duration(now.UnixNano())-time.Second, now))
}

// Its errors are those of any connection.
func TestConnectionEndsAsOthersDo(t *testing.T) {
	c, far := pipe(t)
	buf := make([]byte, 10)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(time.Millisecond)))
	_, err := c.Read(buf)
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.NoError(t, c.SetReadDeadline(time.Time{}))
	far.Close()
	_, err = c.Read(buf)
	assert.ErrorIs(t, err, io.EOF)
	n, err := c.Read(nil)
	assert.Zero(t, n)
	assert.NoError(t, err)
	c.Close()
	_, err = c.Read(buf)
	assert.ErrorIs(t, err, net.ErrClosed)
}

func TestReadAllocatesNothing(t *testing.T) {
	c, far := pipe(t)
	buf := make([]byte, 10)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		far.Write(buf)
		if _, err := io.ReadFull(c, buf); err != nil {
			t.Fatal(err)
		}
	}))
}

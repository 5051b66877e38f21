//go:build !386 && !s390x

package timedconn

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A bell rings for what comes where it is asked to, and else when the time is over.
func TestBell(t *testing.T) {
	set, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	require.NoError(t, err)
	defer syscall.Close(set)
	var pipe [2]int
	require.NoError(t, syscall.Pipe2(pipe[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK))
	defer syscall.Close(pipe[0])
	defer syscall.Close(pipe[1])
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(pipe[0])}
	require.NoError(t, syscall.EpollCtl(set, syscall.EPOLL_CTL_ADD, pipe[0], &event))
	var b bell
	require.NoError(t, b.hang(set))
	defer b.takeDown()
	come := func() {
		_, err := syscall.Write(pipe[1], []byte("x"))
		require.NoError(t, err)
	}
	took := func(atMost time.Duration, orCome bool) time.Duration {
		begin := time.Now()
		require.NoError(t, b.await(atMost, orCome))
		return time.Since(begin)
	}
	const short, long = 20 * time.Millisecond, time.Hour

	assert.GreaterOrEqual(t, took(short, true), short, "nothing has come")
	assert.GreaterOrEqual(t, took(short, false), short)
	time.AfterFunc(short/4, come)
	assert.GreaterOrEqual(t, took(short, false), short, "what comes during a tick ends nothing")
	took(long, true) // it is there
	took(long, true) // and still
	assert.GreaterOrEqual(t, took(short, false), short, "a long time that was not over does not shorten the next")
	_, err = syscall.Read(pipe[0], make([]byte, 8))
	require.NoError(t, err)
	time.AfterFunc(short, come)
	assert.GreaterOrEqual(t, took(long, true), short)

	_, err = syscall.Read(pipe[0], make([]byte, 8))
	require.NoError(t, err)
	time.AfterFunc(short, func() { b.Close() })
	assert.Error(t, b.await(long, true))
}

func TestBellOfNoSet(t *testing.T) {
	var b bell
	assert.ErrorContains(t, b.hang(-1), "epoll_ctl")
}

package engine

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/timedconn"
)

// A streamed token allocates nothing: drawn, formatted, stamped, written.
func TestATokenAllocatesNothing(t *testing.T) {
	e := start(t, Config{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	far, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	near, err := ln.Accept()
	require.NoError(t, err)
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 1<<16)
		for {
			if _, err := far.Read(buf); err != nil {
				return
			}
		}
	}()
	defer func() { near.Close(); <-read; far.Close() }()

	x := &call{e: e, id: "cmpl-x"}
	how := &sampling{topP: 1, logprobs: -1, ignoreEOS: true}
	require.Nil(t, x.plan([][]int32{tokenize("The scheduler", true)}, 1, new(2000), how))
	in := &completionRequest{}
	in.MaxTokens = new(2000)
	f := &completionFormat{x: x, in: in}
	f.ready()
	c := &conn{Conn: timedconn.New(near.(*net.TCPConn)), from: e.listener}
	s, err := newStream(e, c, f, x.jobs, true)
	require.NoError(t, err)
	x.jobs[0].sink = s
	x.jobs[0].produce(1) // the first grows the buffers
	assert.Zero(t, testing.AllocsPerRun(500, func() { x.jobs[0].produce(1) }))
	assert.False(t, s.draining, "the loop wrote them all itself")
}

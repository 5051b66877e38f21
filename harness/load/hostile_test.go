package load

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/metrics"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/server"
	"inferbench/harness/workload"
)

// rawServer writes to every connection whatever a server could.
func rawServer(t *testing.T, write func(w io.Writer)) *server.Server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				c.Read(make([]byte, 64<<10)) // the request
				write(c)
			}()
		}
	}()
	return server.New("http://"+l.Addr().String(), "m", "", nil)
}

// flood writes b over and over, n bytes in all or until nobody reads.
func flood(w io.Writer, b string, n int) {
	block := bytes.Repeat([]byte(b), max(1<<20/len(b), 1))
	for ; n > 0; n -= len(block) {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// peakHeap is the most that f added to the heap while it ran, in bytes. What was
// alive before, from other tests, is not f's, nor is the as much again that the
// collector lets garbage grow to.
func peakHeap(f func()) uint64 {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	runtime.GC()
	metrics.Read(heap)
	before := 2 * heap[0].Value.Uint64()
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			metrics.Read(heap)
			most = max(most, max(heap[0].Value.Uint64(), before)-before)
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(2 * time.Millisecond):
			}
		}
	}()
	f()
	close(stop)
	return <-peak
}

// A gigabyte in answer to a request for one token, in every place where a
// server could put it, ends in a reason or in a right count, with memory that
// does not follow what was sent.
func TestGigabyteAnswers(t *testing.T) {
	if testing.Short() {
		t.Skip("sends gigabytes over the loopback")
	}
	const (
		gigabyte = 1 << 30
		head     = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
		limit    = 32 << 20
	)
	answer := event(" a", `"length"`) + usage(8, 1)
	for name, c := range map[string]struct {
		write func(w io.Writer)
		want  string // in the error; empty where the request succeeds
	}{
		"one event": {func(w io.Writer) { io.WriteString(w, head+"\r\ndata: "); flood(w, "a", gigabyte) }, "an event is longer than 4 MiB"},
		"one event of many lines": {func(w io.Writer) { io.WriteString(w, head+"\r\n"); flood(w, "data: a\n", gigabyte) },
			"an event is longer than 4 MiB"},
		"tokens": {func(w io.Writer) { io.WriteString(w, head+"\r\n"); flood(w, event(" a", "null"), gigabyte) }, "the stream does not end"},
		"comments": {func(w io.Writer) {
			io.WriteString(w, head+"\r\n")
			flood(w, ": keep-alive\n\n", gigabyte/4)
			io.WriteString(w, answer)
		}, ""},
		"behind [DONE]": {func(w io.Writer) {
			io.WriteString(w, head+"Content-Length: 2147483648\r\n\r\n"+answer+"data: [DONE]\n\n")
			flood(w, "a", gigabyte)
		}, ""},
		"header": {func(w io.Writer) { io.WriteString(w, head); flood(w, "X-A: bbbbbbbbbb\r\n", gigabyte) }, "header is longer than 16 KiB"},
		"interim answers": {func(w io.Writer) {
			flood(w, "HTTP/1.1 100 Continue\r\n\r\n", gigabyte/16)
			io.WriteString(w, head+"\r\n"+answer)
		}, ""},
		"error body": {func(w io.Writer) { io.WriteString(w, "HTTP/1.1 500 Oops\r\n\r\n"); flood(w, "oops ", gigabyte) }, "HTTP 500: oops oops"},
		"JSON": {func(w io.Writer) {
			io.WriteString(w, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", gigabyte))
			flood(w, "[", gigabyte)
		}, "an event is longer than 4 MiB"},
		"chunk sizes": {func(w io.Writer) {
			io.WriteString(w, head+"Transfer-Encoding: chunked\r\n\r\n")
			flood(w, "0", gigabyte)
		}, "malformed chunked body"},
		"trailers": {func(w io.Writer) {
			io.WriteString(w, head+"Transfer-Encoding: chunked\r\n\r\n")
			fmt.Fprintf(w, "%x\r\n%s\r\n0\r\n", len(answer), answer)
			flood(w, "X-A: b\r\n", gigabyte/16)
		}, ""}, // of the answer itself nothing is missing
	} {
		t.Run(name, func(t *testing.T) {
			tg := rawServer(t, c.write)
			var rec *Recording
			peak := peakHeap(func() {
				var err error
				rec, err = Run(t.Context(), tg, workload.Random{N: 1, ISL: 8, OSL: 1, RangeRatio: 1, Vocab: 256, Seed: 1}, Options{Conc: 1, RequestTimeout: 5 * time.Minute})
				require.NoError(t, err)
			})
			require.Len(t, rec.Timings, 1)
			if c.want == "" {
				assert.Empty(t, rec.Timings[0].Err)
				assert.Equal(t, 1, rec.Timings[0].OutputTokens)
			} else {
				assert.Contains(t, rec.Timings[0].Err, c.want)
				assert.Less(t, len(rec.Timings[0].Err), 600, "an error is a line")
			}
			assert.Less(t, peak, uint64(limit), "added to the heap, in bytes")
		})
	}
}

// An event as long as log-probabilities or a tool call make it is read like any
// other, in whatever pieces it comes.
func TestLongEvent(t *testing.T) {
	long := strings.Replace(event(" a", "null"), "null", `{"top":"`+strings.Repeat("x", 3<<20)+`"}`, 1)
	tg := rawServer(t, func(w io.Writer) {
		io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"+event(" a", "null"))
		for rest := long; rest != ""; rest = rest[min(1<<16, len(rest)):] {
			io.WriteString(w, rest[:min(1<<16, len(rest))])
		}
		io.WriteString(w, event(" a", `"length"`)+usage(8, 3)+"data: [DONE]\n\n")
	})
	rec, err := Run(t.Context(), tg, workload.Random{N: 1, ISL: 8, OSL: 3, RangeRatio: 1, Vocab: 256, Seed: 1}, Options{Conc: 1})
	require.NoError(t, err)
	require.Len(t, rec.Timings, 1)
	assert.Empty(t, rec.Timings[0].Err)
	assert.Equal(t, 3, rec.Timings[0].OutputTokens)
}

// A stream that drips comments and never a token ends at REQUEST_TIMEOUT.
func TestEndlessKeepAliveEnds(t *testing.T) {
	tg := rawServer(t, func(w io.Writer) {
		io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
		for {
			if _, err := io.WriteString(w, ": ping\n\n"); err != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	rec, err := Run(t.Context(), tg, workload.Random{N: 1, ISL: 8, OSL: 1, RangeRatio: 1, Vocab: 256, Seed: 1}, Options{Conc: 1, RequestTimeout: 300 * time.Millisecond})
	require.NoError(t, err)
	require.Len(t, rec.Timings, 1)
	assert.Contains(t, rec.Timings[0].Err, "no answer within REQUEST_TIMEOUT")
}

package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/server"
	"inferbench/harness/workload"
)

// keptAlive answers every request of every connection by hand: say writes what a
// server would, given the number of the request on its connection, and returns
// whether the connection goes on.
func keptAlive(t *testing.T, say func(c net.Conn, n int) bool) *server.Server {
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
				in := bufio.NewReader(c)
				for n := 1; ; n++ {
					req, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					io.Copy(io.Discard, req.Body)
					if !say(c, n) {
						return
					}
				}
			}()
		}
	}()
	return server.New("http://"+l.Addr().String(), "m", "", nil)
}

// whole is a whole answer with everything that HTTP wants behind it, or not yet.
func whole(ended bool) string {
	body := repeat(3) + event(" a", `"length"`) + usage(8, 4) + done
	out := "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n", len(body), body)
	if ended {
		out += "0\r\n\r\n"
	}
	return out
}

// What a server says on an idle connection is no answer to the next request.
func TestBytesOnAnIdleConnectionAreNoAnswer(t *testing.T) {
	for name, says := range map[string]string{
		"a time-out":       "HTTP/1.1 408 Request Time-out\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
		"an answer":        whole(true),
		"another error":    "HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\nConnection: close\r\n\r\nidle",
		"no HTTP":          "bye\r\n",
		"nothing, and end": "",
	} {
		t.Run(name, func(t *testing.T) {
			tg := keptAlive(t, func(c net.Conn, n int) bool {
				io.WriteString(c, whole(true))
				time.Sleep(20 * time.Millisecond) // the client has begun to wait for its next time
				io.WriteString(c, says)
				return false
			})
			rec := run(t, tg, 4, Options{Conc: 1, Shape: Shape{Rate: 10, Burstiness: 1e9}})
			assert.Equal(t, 4, rec.Summary(1).Successful, rec.Summary(1).Errors)
			assert.Equal(t, 3, rec.Audit.Retries)
		})
	}
}

// A time-out that crosses the request on the wire is not its answer either; one
// on a new connection is.
func TestTimeOutThatCrossesARequest(t *testing.T) {
	const timeout = "HTTP/1.1 408 Request Time-out\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
	tg := keptAlive(t, func(c net.Conn, n int) bool {
		if n == 2 {
			io.WriteString(c, timeout)
			return false
		}
		io.WriteString(c, whole(true))
		return true
	})
	rec := run(t, tg, 4, Options{Conc: 1})
	assert.Equal(t, 4, rec.Summary(1).Successful, rec.Summary(1).Errors)
	assert.Equal(t, 3, rec.Audit.Retries)

	tg = keptAlive(t, func(c net.Conn, n int) bool { io.WriteString(c, timeout); return false })
	assert.Contains(t, run(t, tg, 1, Options{Conc: 1}).Timings[0].Err, "HTTP 408")
}

// A server that lingers after the last token is not waited for: the slot goes on
// with another connection, and comes back to the first one when that is in order.
func TestSlotGoesOnWhileTheServerLingers(t *testing.T) {
	const lingers = 300 * time.Millisecond
	var at atomic.Int64 // how many answers are lingering now
	var most atomic.Int64
	tg := keptAlive(t, func(c net.Conn, n int) bool {
		io.WriteString(c, whole(false))
		if now := at.Add(1); now > most.Load() {
			most.Store(now)
		}
		time.Sleep(lingers)
		at.Add(-1)
		io.WriteString(c, "0\r\n\r\n")
		return true
	})
	rec := run(t, tg, 10, Options{Conc: 1})
	s := rec.Summary(1)
	assert.Equal(t, 10, s.Successful, s.Errors)
	assert.Less(t, rec.Duration, 10*lingers/2, "or else the slot has waited")
	assert.Greater(t, most.Load(), int64(1), "while one answer lingered, the next was asked for")
	assert.Equal(t, 10, rec.Audit.LateEnds)
	assert.Zero(t, rec.Audit.Retries)
	assert.Contains(t, strings.Join(rec.Notes, "\n"), "10 of 10 answers had not ended 10ms after their last token: the slots went on, on other connections")
}

// The connection of an answer that ended late carries later requests.
func TestTidiedConnectionIsUsedAgain(t *testing.T) {
	tg := keptAlive(t, func(c net.Conn, n int) bool {
		io.WriteString(c, whole(false))
		time.Sleep(30 * time.Millisecond)
		io.WriteString(c, "0\r\n\r\n")
		return true
	})
	rec := run(t, tg, 8, Options{Conc: 1, Shape: Shape{Rate: 10, Burstiness: 1e9}})
	assert.Equal(t, 8, rec.Summary(1).Successful)
	assert.Equal(t, 1, rec.Audit.Dials, "a tenth of a second later it was in order again")
}

// An answer that never ends costs its connection, and no request.
func TestAnswerThatNeverEnds(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	tg := keptAlive(t, func(c net.Conn, n int) bool {
		io.WriteString(c, whole(false))
		<-stop
		return false
	})
	begin := time.Now()
	rec := run(t, tg, 5, Options{Conc: 1})
	assert.Equal(t, 5, rec.Summary(1).Successful)
	assert.Equal(t, 5, rec.Audit.Dials)
	assert.Less(t, time.Since(begin), 30*time.Second)
}

// What lies between may hold back the first token alone, until the second comes:
// that is seen, though few of all chunks are bundled.
func TestFirstTokensThatAreHeldBackAreSeen(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		say(w, 5*time.Millisecond, repeat(2), repeat(1), repeat(1), event(" a", `"length"`)+usage(8, 5)+done)
	})
	rec, err := Run(t.Context(), tg, workload.Random{N: 4, ISL: 8, OSL: 5, RangeRatio: 1, Vocab: 256, Seed: 1}, Options{Conc: 1})
	require.NoError(t, err)
	assert.Equal(t, 4, rec.Summary(1).Successful, rec.Summary(1).Errors)
	assert.Equal(t, 4, rec.Audit.FirstBundled)
	assert.Equal(t, 1.0, rec.Audit.FirstBundledShare)
	assert.Greater(t, rec.Audit.TokenEveryMs, 2.0)
	if rec.Audit.HeldBack { // not where the machine keeps the client waiting all the time
		assert.Equal(t, "in 100 % of the answers the first token came together with the second (limit 50 %)", rec.Audit.HeldBackReason)
	}
}

// An answer of which nothing is missing is whole, though its stream neither says
// [DONE] nor ends.
func TestAnswerWithoutAnEnd(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	for name, body := range map[string]string{
		"all but [DONE]": repeat(3) + event(" a", `"length"`) + usage(8, 4),
		"nor a usage":    repeat(3) + event(" a", `"length"`),
	} {
		tg := keptAlive(t, func(c net.Conn, n int) bool {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", len(body), body)
			<-stop
			return false
		})
		rec := run(t, tg, 2, Options{Conc: 1, RequestTimeout: time.Minute})
		assert.Equal(t, 2, rec.Summary(1).Successful, "%s: %v", name, rec.Summary(1).Errors)
		assert.Less(t, rec.Duration, 50*time.Second, "it is not waited for until REQUEST_TIMEOUT")
		assert.Equal(t, 2, rec.Audit.LateEnds)
	}
}

package load

import (
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/timedconn"
)

// Where tokens come seldom enough, many connections are read together: the figures
// are those of reading each at once, and the audit says how long a tick was.
func TestReadsAreGathered(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the kernel says when bytes arrived on Linux alone")
	}
	const gap = 20 * time.Millisecond
	for _, c := range []struct {
		name   string
		conc   int
		answer func(w http.ResponseWriter)
		ticks  bool
	}{
		{"many", gatherFrom, func(w http.ResponseWriter) { stream(w, 4, 4, gap) }, true},
		{"few", gatherFrom - 1, func(w http.ResponseWriter) { stream(w, 4, 4, gap) }, false},
		{"without an end of the known kinds", gatherFrom, func(w http.ResponseWriter) {
			w.Header().Set("Connection", "close") // and so without chunks
			stream(w, 4, 4, gap)
		}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) { c.answer(w) })
			rec := run(t, tg, 3*c.conc, Options{Conc: c.conc, WarmUp: c.conc})
			assert.Equal(t, c.ticks, rec.Audit.ReadTickMs > 0, "a tick of %g ms", rec.Audit.ReadTickMs)
			require.Len(t, rec.Timings, 3*c.conc)
			for _, x := range rec.Timings {
				require.Empty(t, x.Err)
				assert.GreaterOrEqual(t, x.Done, x.Last)
				if c.ticks {
					assert.Equal(t, 4, x.Chunks)
					assert.GreaterOrEqual(t, x.E2EL(), 3*gap-time.Millisecond, "no token was there before it was sent")
				}
			}
		})
	}
}

// Where chunks come quickly a tick would put several of them in a read.
func TestQuickAnswersAreReadAlone(t *testing.T) {
	e := &endpoint{gatherer: timedconn.NewGatherer()}
	defer e.gatherer.Close()
	alone := timedconn.New(&net.TCPConn{})
	assert.Equal(t, net.Conn(alone), e.gather(alone, gatherGap-1))
	assert.False(t, outpaced(alone, 0))
	assert.False(t, outpaced(&timedconn.Gathered{}, gatherGap/2))
	assert.True(t, outpaced(&timedconn.Gathered{}, gatherGap/2-1))
}

// Errors and ends of other kinds are those of connections that are read alone.
func TestGatheredAnswersThatGoWrong(t *testing.T) {
	const gap = 5 * time.Millisecond
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		switch {
		case a.number <= gatherFrom || a.number%4 != 0:
			stream(w, 4, 4, gap)
		case a.number%8 == 0:
			http.Error(w, `{"error":{"message":"too busy"}}`, http.StatusServiceUnavailable)
		default:
			io.WriteString(w, repeat(2))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	})
	rec := run(t, tg, 6*gatherFrom, Options{Conc: gatherFrom, WarmUp: gatherFrom})
	var failed int
	for _, x := range rec.Timings {
		if x.Err != "" {
			failed++
			assert.Regexp(t, "too busy|stream ended after 2 of 4 tokens", x.Err)
		}
	}
	assert.Equal(t, 6*gatherFrom/4, failed)
}

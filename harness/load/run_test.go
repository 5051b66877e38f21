package load

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/hint"
	"inferbench/harness/server"
	"inferbench/harness/workload"
)

func random(n int) workload.Random {
	return workload.Random{N: n, ISL: 8, OSL: 4, RangeRatio: 1, Vocab: 256, Seed: 1}
}

func run(t *testing.T, tg *server.Server, n int, o Options) *Recording {
	t.Helper()
	rec, err := Run(t.Context(), tg, random(n), o)
	require.NoError(t, err)
	return rec
}

func TestRunSendsWhatWasAskedAndTimesIt(t *testing.T) {
	var mu sync.Mutex
	prompts := map[string]int{}
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		mu.Lock()
		prompts[string(a.Prompt)]++
		mu.Unlock()
		assert.Equal(t, "/v1/completions", r.URL.Path)
		assert.Equal(t, "Bearer k3y", r.Header.Get("Authorization"))
		assert.Equal(t, "m", a.Model)
		assert.Equal(t, 4, a.MaxTokens)
		assert.True(t, a.Stream && a.IgnoreEOS && a.Options.IncludeUsage)
		assert.Len(t, a.ids(), 8)
		stream(w, 4, 8, time.Millisecond)
	})
	rec := run(t, tg, 10, Options{Conc: 3, WarmUp: -1})
	require.Len(t, rec.Timings, 10)
	assert.Len(t, prompts, 16, "ten measured prompts and six to warm up, all different")
	for i, x := range rec.Timings {
		assert.Empty(t, x.Err)
		assert.Equal(t, i, x.Index)
		assert.Equal(t, 4, x.Chunks)
		assert.Equal(t, 3, x.ITL.Len())
		assert.Equal(t, 8, x.InputTokens)
		assert.Equal(t, 4, x.OutputTokens)
		assert.Greater(t, x.First, x.Sent)
		assert.Greater(t, x.Last, x.First)
		assert.LessOrEqual(t, x.Done, rec.Duration)
	}
	s := rec.Summary(2)
	assert.Equal(t, 10, s.Successful)
	assert.Equal(t, int64(80), *s.InputTokens)
	assert.Equal(t, int64(40), s.OutputTokens)
	assert.InEpsilon(t, 120/rec.Duration.Seconds()/2, *s.TputPerGPU, 1e-9)
	assert.Equal(t, 3, rec.Audit.Dials, "a connection a slot, reused from warm-up to end")
	assert.Empty(t, rec.Notes)
}

func TestExactlyConcInFlight(t *testing.T) {
	var in, most, below atomic.Int64
	const conc, n = 5, 40
	gate := make(chan struct{})
	var once sync.Once
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		now := in.Add(1)
		defer in.Add(-1)
		for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
		}
		if now == conc {
			once.Do(func() { close(gate) })
		}
		select { // nobody is answered before conc requests are here
		case <-gate:
		case <-time.After(10 * time.Second):
			below.Add(1)
		}
		stream(w, 4, 8, 0)
	})
	run(t, tg, n, Options{Conc: conc})
	assert.EqualValues(t, conc, most.Load())
	assert.Zero(t, below.Load(), "fewer than CONC requests were in flight")
}

// Every way for a request to fail is counted and described, and the requests
// around it succeed.
func TestFailuresAreCountedAndDescribed(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   string
	}{
		"status": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", "7")
			http.Error(w, `{"error":{"message":"queue is full"}}`, 503)
		}, "HTTP 503: queue is full (Retry-After: 7)"},
		"status alone": {func(w http.ResponseWriter) { w.WriteHeader(502) }, "HTTP 502: Bad Gateway"},
		"redirect": {func(w http.ResponseWriter) {
			w.Header().Set("Location", "https://h/v1/completions")
			w.WriteHeader(308)
		}, "HTTP 308: Permanent Redirect (to https://h/v1/completions, and redirects are not followed): set BASE_URL to where the server is"},
		"broken stream": {func(w http.ResponseWriter) {
			io.WriteString(w, repeat(2))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, "stream ended after 2 of 4 tokens: the server closed the connection"},
		"ends early": {func(w http.ResponseWriter) { io.WriteString(w, repeat(2)) }, "stream ended after 2 of 4 tokens"},
		"too few":    {func(w http.ResponseWriter) { stream(w, 3, 8, 0) }, "the server stopped after 3 of 4 tokens"},
		"too many":   {func(w http.ResponseWriter) { stream(w, 5, 8, 0) }, "the server counts 5 tokens where 4 were asked for"},
		"endless": {func(w http.ResponseWriter) {
			for range 100_000 {
				if _, err := io.WriteString(w, repeat(100)); err != nil {
					return
				}
			}
		}, "the stream does not end: 81 chunks came for the 4 tokens"},
		"no usage, half a stream": {func(w http.ResponseWriter) { io.WriteString(w, repeat(0)+event(" a", `"length"`)) }, "the server stopped after 1 of 4 tokens"},
		"no token":                {func(w http.ResponseWriter) { io.WriteString(w, usage(8, 4)+"data: [DONE]\n\n") }, "without a token"},
		"error event": {func(w http.ResponseWriter) {
			io.WriteString(w, repeat(1)+"data: {\"error\":{\"message\":\"out of memory\"}}\n\n")
		}, "after 1 of 4 tokens the server says: out of memory"},
		"garbage": {func(w http.ResponseWriter) { io.WriteString(w, "data: {\"choices\":[\n\n") }, "not the JSON of a completion"},
		"bad usage": {func(w http.ResponseWriter) { io.WriteString(w, repeat(4)+usage(8, -4)) },
			"a token count in usage is not a whole number from 0 to 2147483647: completion_tokens is -4"},
		"usage that is none": {func(w http.ResponseWriter) { io.WriteString(w, repeat(4)+"data: {\"usage\":\"9\"}\n\n") },
			`a token count in usage is not a whole number from 0 to 2147483647: usage is "9"`},
		"no stream": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"choices":[{"text":"all at once"}]}`)
		}, "no event stream but application/json: is this an OpenAI API, and does it support streaming?"},
		"a page": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			io.WriteString(w, "<html></html>")
		}, "no event stream but text/html: is this an OpenAI API"},
		"compressed": {func(w http.ResponseWriter) { w.Header().Set("Content-Encoding", "gzip"); w.WriteHeader(200) }, "compressed"},
		"time-out": {func(w http.ResponseWriter) {
			io.WriteString(w, repeat(1))
			w.(http.Flusher).Flush()
			time.Sleep(700 * time.Millisecond)
		}, "stream ended after 1 of 4 tokens: no answer within REQUEST_TIMEOUT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
				if a.number == 2 {
					c.answer(w)
				} else {
					stream(w, 4, 8, 0)
				}
			})
			rec := run(t, tg, 5, Options{Conc: 1, RequestTimeout: 500 * time.Millisecond})
			require.Len(t, rec.Timings, 5)
			assert.Contains(t, hint.Text(rec.Timings[1].Err, rec.Timings[1].Advice), c.want)
			assert.Contains(t, rec.Timings[1].Err, "POST "+tg.BaseURL+"/v1/completions: ")
			assert.NotContains(t, rec.Timings[1].Err, "\n")
			s := rec.Summary(1)
			assert.Equal(t, 4, s.Successful)
			assert.Equal(t, 1, s.Failed)
			require.Len(t, s.Errors, 1)
			assert.Equal(t, 1, s.Errors[0].Requests)
		})
	}
}

// An answer that is no success is over when its status is known: a body that
// it cannot have, or that does not come, is not waited for.
func TestErrorIsNotWaitedFor(t *testing.T) {
	for name, c := range map[string]struct{ answer, want string }{
		"no content":    {"HTTP/1.1 204 No Content\r\n\r\n", "HTTP 204: No Content"},
		"not modified":  {"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", "HTTP 304: Not Modified"},
		"half a reason": {"HTTP/1.1 503 Oops\r\nContent-Length: 100\r\n\r\nbusy", "HTTP 503: busy"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tg := rawServer(t, func(w io.Writer) {
				io.WriteString(w, c.answer)
				w.(net.Conn).Read(make([]byte, 1)) // until the client goes
			})
			x := run(t, tg, 1, Options{Conc: 1, RequestTimeout: time.Minute}).Timings[0]
			assert.Contains(t, x.Err, c.want)
			assert.Less(t, x.Done, 50*time.Second, "it is not waited for until REQUEST_TIMEOUT")
		})
	}
}

func TestServerThatClosesKeptConnectionsIsAskedAgain(t *testing.T) {
	var mu sync.Mutex
	var prompts []string
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		mu.Lock()
		prompts = append(prompts, string(a.Prompt))
		mu.Unlock()
		if a.number%2 == 0 { // take the request and hang up without a byte
			c, _, err := w.(http.Hijacker).Hijack()
			assert.NoError(t, err)
			c.Close()
			return
		}
		stream(w, 4, 8, 0)
	})
	rec := run(t, tg, 4, Options{Conc: 1})
	assert.Equal(t, 4, rec.Summary(1).Successful)
	assert.Equal(t, 3, rec.Audit.Retries)
	assert.Equal(t, 4, rec.Audit.Dials)
	mu.Lock()
	defer mu.Unlock()
	require.Len(t, prompts, 7)
	for i := 1; i < 7; i += 2 {
		assert.Equal(t, prompts[i], prompts[i+1], "the same request again")
		assert.NotEqual(t, prompts[i], prompts[i-1])
	}
}

// A proxy that takes no body of this size answers and hangs up while the
// request is still being sent: its answer is the reason, not a broken pipe.
func TestServerThatRefusesAWholeBody(t *testing.T) {
	tg := rawServer(t, func(w io.Writer) {
		io.WriteString(w, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge")
		w.(*net.TCPConn).CloseWrite()
		time.Sleep(300 * time.Millisecond) // its answer must not be lost to a reset
	})
	rec, err := Run(t.Context(), tg, workload.Random{N: 1, ISL: 4 << 20, OSL: 4, RangeRatio: 1, Seed: 1}, Options{Conc: 1, RequestTimeout: 10 * time.Second})
	require.NoError(t, err)
	assert.Regexp(t, "HTTP 413: large|connection reset by peer", rec.Timings[0].Err)
}

func TestDeadServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l.Close()
	tg := server.New("http://"+l.Addr().String(), "m", "", nil)
	_, err = Run(t.Context(), tg, random(8), Options{Conc: 2, WarmUp: 4})
	require.ErrorContains(t, err, "all 4 warm-up requests failed")
	assert.ErrorContains(t, err, "connection refused")

	rec, err := Run(t.Context(), tg, random(8), Options{Conc: 2})
	require.NoError(t, err)
	s := rec.Summary(1)
	assert.Equal(t, 8, s.Failed)
	assert.Nil(t, s.TTFT.Mean)
	require.Len(t, s.Errors, 1)
	assert.Equal(t, 8, s.Errors[0].Requests)
	for _, x := range rec.Timings {
		assert.Equal(t, x.Done, x.Sent, "it was never in flight")
	}
}

func TestCancelEndsAtOnce(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		if a.number <= 2 {
			stream(w, 4, 8, 0)
			return
		}
		io.WriteString(w, repeat(1))
		w.(http.Flusher).Flush()
		if a.number == 4 {
			cancel()
		}
		select { // both hang until the client goes
		case <-r.Context().Done():
		case <-release:
		}
	})
	defer close(release)
	rec, err := Run(ctx, tg, random(50), Options{Conc: 2, RequestTimeout: time.Hour})
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, rec.Timings, 4, "two answered, two cut short, none sent after")
	var cut int
	for _, x := range rec.Timings {
		if strings.Contains(x.Err, "cancelled") {
			cut++
		}
	}
	assert.Equal(t, 2, cut)
}

func TestProgress(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) { stream(w, 4, 8, 5*time.Millisecond) })
	var got []Progress
	run(t, tg, 6, Options{Conc: 2, WarmUp: 2, ProgressEvery: time.Millisecond, OnProgress: func(p Progress) { got = append(got, p) }})
	require.NotEmpty(t, got)
	assert.True(t, got[0].WarmUp)
	last := got[len(got)-1]
	assert.Positive(t, last.TTFT.P50)
	last.Elapsed, last.TTFT, last.TPOT, last.E2EL = 0, Spread{}, Spread{}, Spread{}
	assert.Equal(t, Progress{Sent: 6, Done: 6, Total: 6, OutputTokens: 24}, last)
	for _, p := range got {
		assert.LessOrEqual(t, p.InFlight, 2)
	}
}

// What slots did in the warm-up does not count, not even of those that have
// nothing to do afterwards.
func TestWarmUpIsNotCounted(t *testing.T) {
	var in atomic.Int64
	both := make(chan struct{})
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		if in.Add(1) == 2 {
			close(both)
		}
		<-both // each slot sends one
		io.WriteString(w, repeat(4)+usage(8, 4)+"data: [DONE]\n\n")
	})
	var last Progress
	rec := run(t, tg, 1, Options{Conc: 2, WarmUp: 2, OnProgress: func(p Progress) { last = p }})
	assert.EqualValues(t, 4, last.OutputTokens)
	assert.EqualValues(t, 3, rec.Audit.BundledChunks)
	assert.Equal(t, 0.75, rec.Audit.BundledShare)
	assert.LessOrEqual(t, rec.Audit.IdleShare, 1.0)
}

func TestBadOptions(t *testing.T) {
	_, err := Run(t.Context(), server.New("http://h", "m", "", nil), random(1), Options{})
	assert.ErrorContains(t, err, "in flight")
	_, err = Run(t.Context(), server.New("ftp://h", "m", "", nil), random(1), Options{Conc: 1})
	assert.ErrorContains(t, err, "want http or https")
	_, err = Run(t.Context(), server.New("http://h", "m", "", nil), workload.Random{}, Options{Conc: 1})
	assert.ErrorContains(t, err, "at least one request")
}

// Without usage the server's word that max_tokens was reached counts, whatever
// the number of its chunks: llama-cpp-python sends empty ones besides.
func TestServerWithoutUsage(t *testing.T) {
	for name, answer := range map[string]string{
		"a chunk a token":  repeat(4) + event("", `"length"`),
		"empty chunks too": repeat(2) + event("", "null") + event("", "null") + repeat(2) + event("", `"length"`),
		"usage of nothing": repeat(4) + event("", `"length"`) + `data: {"choices":[],"usage":{"prompt_tokens":8}}` + "\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) { io.WriteString(w, answer+"data: [DONE]\n\n") })
			rec := run(t, tg, 2, Options{Conc: 1})
			for _, x := range rec.Timings {
				assert.Empty(t, x.Err)
				assert.True(t, x.NoUsage)
				assert.Equal(t, 4, x.OutputTokens)
				assert.Equal(t, 8, x.InputTokens)
			}
		})
	}
}

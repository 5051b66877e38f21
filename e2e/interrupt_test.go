package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
)

// hanging is an engine that, from the first request that at picks, answers that
// kind of request no more. reached is closed then.
func hanging(t *testing.T, at func(path, body string) bool) (address string, reached chan struct{}) {
	t.Helper()
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	t.Cleanup(func() { e.Close() })
	u, err := url.Parse(e.URL())
	require.NoError(t, err)
	next := httputil.NewSingleHostReverseProxy(u)
	next.FlushInterval = -1
	reached, end := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		if at(r.URL.Path, string(body)) {
			once.Do(func() { close(reached) })
			<-end // longer than anybody waits
			return
		}
		r.Body = readCloser{bytes.NewReader(body)}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { close(end); s.Close() })
	return s.URL, reached
}

// Ctrl+C ends a run at once in whatever phase it is, while the server answers
// nothing: it says so, the exit code tells, and what is in the batch is true.
func TestInterruptInEveryPhase(t *testing.T) {
	streams := func(_, body string) bool { return strings.Contains(body, `"stream":true`) }
	for phase, c := range map[string]struct {
		at    func(path, body string) bool
		env   []string
		batch bool
	}{
		"waiting":      {at: func(string, string) bool { return true }},
		"estimate":     {at: streams, env: []string{"ESTIMATE=true"}},
		"accuracy":     {at: func(path, body string) bool { return strings.Contains(body, `"echo":true`) || path == "/generate" }, batch: true},
		"warm-up":      {at: streams, batch: true},
		"benchmark":    {at: streams, env: []string{"WARMUP=0"}, batch: true},
		"decode audit": {at: func(_, body string) bool { return strings.Contains(body, "return_token_ids") }, batch: true},
		"first shard":  {at: streams, env: []string{"SHARD=0/2", "SHARD_DIR=meet", "CONC=2"}, batch: true},
		"second shard": {at: func(path, _ string) bool { return false }, env: []string{"SHARD=1/2", "SHARD_DIR=meet", "CONC=2"}},
	} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			address, reached := hanging(t, c.at)
			env := append(os.Environ(), "BASE_URL="+address, "TP=1", "ISL=16", "OSL=8", "CONC=1,2", "NUM_PROMPTS=4")
			cmd, dir, out := start(t, append(env, c.env...), "-test.run=TestServing", "-test.v")
			if phase == "second shard" { // it waits for the first, which never comes
				require.Eventually(t, func() bool {
					b, _ := os.ReadFile(dir + "/meet/alive-1")
					return len(b) > 0
				}, time.Minute, 10*time.Millisecond)
			} else {
				select {
				case <-reached:
				case <-time.After(time.Minute):
					require.Fail(t, "it never came to this phase", out.String())
				}
			}
			require.NoError(t, cmd.Process.Signal(os.Interrupt))
			cmd.Wait() // the watchdog's signal would be seen below
			assert.Positive(t, cmd.ProcessState.ExitCode(), "%v %s", cmd.ProcessState, out)
			assert.Regexp(t, "(?i)interrupted|INCOMPLETE", out.String())
			assert.NotContains(t, out.String(), "goroutine ")
			if c.batch {
				assert.Contains(t, readSummary(dir), "\nInterrupted\n")
				assert.Contains(t, readSummary(dir), "CONC=2: INCOMPLETE\n")
				assert.NotContains(t, readSummary(dir), "PASSED")
			} else {
				assert.Empty(t, readSummary(dir))
			}
		})
	}
}

package sweep

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/accuracy"
	"inferbench/harness/engine"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
	"inferbench/harness/settings"
)

// A cell is scored with the CONC that it is timed with: the first requests are
// let through only when that many are there.
func TestACellIsScoredAtItsConc(t *testing.T) {
	e, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	defer e.Close()
	at, err := url.Parse(e.URL())
	require.NoError(t, err)
	proxy := httputil.NewSingleHostReverseProxy(at)
	const conc = 5
	var came, inFlight, most atomic.Int32
	met := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if r.URL.Path == "/v1/completions" {
			n, now := came.Add(1)-1, inFlight.Add(1) // the first of all is the probe, alone
			defer inFlight.Add(-1)
			for m := most.Load(); now > m && !most.CompareAndSwap(m, now); {
				m = most.Load()
			}
			switch {
			case n == conc:
				time.Sleep(20 * time.Millisecond) // in which one too many would come
				close(met)
			case n > 0:
				select {
				case <-met:
				case <-time.After(10 * time.Second): // they never will
				}
			}
		}
		proxy.ServeHTTP(w, r)
	}))
	defer s.Close()
	tg := server.New(s.URL, "", "", nil)
	require.NoError(t, tg.Wait(context.Background(), server.WaitOptions{}))
	sw := &Sweep{Config: Config{Target: tg, Watch: nobody{}}}
	sw.Settings.Accuracy.MaxLength = 512
	sw.Settings.Server.RequestTimeout = time.Minute
	a := sw.score(context.Background(), matrix.Cell{Conc: conc}, conc)
	require.NoError(t, a.Err)
	assert.EqualValues(t, conc, most.Load())
	assert.Equal(t, accuracy.NotRun, a.Verdict.Status, "no baseline has this window")
}

// The settings know the tasks by name alone.
func TestEveryTaskCanBeAskedFor(t *testing.T) {
	var names []string
	for _, task := range settings.AccuracyTasks {
		names = append(names, task.Name)
	}
	assert.Equal(t, accuracy.Names(), names, "harness/accuracy/task.go and harness/settings/values.go have the tasks in one order")
}

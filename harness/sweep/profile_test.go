package sweep

import (
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/workload"
)

// profiledServer is a server that has a profiler, as far as answers say, and remembers
// what it was asked.
type profiledServer struct {
	answers map[string]int // status of a path; 200 where there is none
	mu      sync.Mutex
	asked   []string
}

func (s *profiledServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	if status := s.answers[r.URL.Path]; status != 0 {
		w.WriteHeader(status)
		return
	}
	if r.URL.Path == "/v1/completions" {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 2 {
			fmt.Fprint(w, `data: {"choices":[{"index":0,"text":" a","finish_reason":null}]}`+"\n\n")
		}
		fmt.Fprint(w, `data: {"choices":[{"index":0,"text":"","finish_reason":"length"}]}`+"\n\n"+
			`data: {"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":2}}`+"\n\ndata: [DONE]\n\n")
	}
}

// A profile is of requests of its own: none of them is in a result, and what goes
// wrong fails no cell.
func TestAProfileIsTakenAfterThePass(t *testing.T) {
	const start, ask, stop = "POST /start_profile", "POST /v1/completions", "POST /stop_profile"
	for name, c := range map[string]struct {
		n       int
		status  batch.Status
		answers map[string]int
		asked   []string
		note    string
	}{
		"not asked for":    {0, batch.Passed, nil, nil, ""},
		"a cell that fell": {3, batch.Failed, nil, nil, ""},
		"three requests": {3, batch.Passed, nil, []string{start, ask, ask, ask, stop},
			"a profile was taken of 3 requests after the measured pass: its trace is in the folder in the server's SGLANG_TORCH_PROFILER_DIR"},
		"no profiler":      {3, batch.Passed, map[string]int{"/start_profile": 404}, []string{start}, "no profile was taken: the server records no profile"},
		"it does not stop": {1, batch.Passed, map[string]int{"/stop_profile": 500}, []string{start, ask, stop}, "no profile was taken: POST "},
		"requests fail": {2, batch.Passed, map[string]int{"/v1/completions": 400}, []string{start, ask, ask, stop},
			"of which 2 failed"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &profiledServer{answers: c.answers}
			s := httptest.NewServer(fake)
			defer s.Close()
			sw := &Sweep{}
			sw.Target = server.New(s.URL, "m", "", nil)
			sw.Target.Dialect, sw.Target.Vocab = server.SGLang, 1000
			sw.Settings.Workload = settings.Workload{Dataset: workload.RandomIDs, RangeRatio: 1, Seed: 1}
			sw.Settings.Server.RequestTimeout = time.Minute
			sw.Settings.Results.Profile = c.n
			r := &batch.Result{Status: c.status}
			cell := matrix.Cell{Combination: matrix.Combination{ISL: 8, OSL: 2}, Conc: 1, NumPrompts: 100}
			sw.profile(t.Context(), pass{Cell: cell}, r)
			assert.Equal(t, c.asked, fake.asked)
			assert.Equal(t, c.status, r.Status)
			assert.Nil(t, r.Performance)
			if c.note == "" {
				assert.Empty(t, r.Notes)
				return
			}
			assert.Contains(t, strings.Join(r.Notes, "; "), c.note)
		})
	}
}

// A profile of sessions is of a replay of its own, which ends once as many turns have.
func TestAProfileOfSessions(t *testing.T) {
	fake := &profiledServer{}
	s := httptest.NewServer(fake)
	defer s.Close()
	set, err := settings.Load(flag.NewFlagSet("", flag.ContinueOnError), []string{"DATASET=sessions", "SESSION_TURNS=4",
		"SESSION_TOOL_DELAY=0", "SESSION_OUTPUT_TOKENS=2", "PROFILE=5"}, "")
	require.NoError(t, err)
	sw := &Sweep{Config: Config{Settings: set}}
	sw.Target = server.New(s.URL, "m", "", nil)
	sw.Target.Dialect, sw.Target.Vocab = server.SGLang, 1000
	r := &batch.Result{Status: batch.Passed}
	sw.profile(t.Context(), pass{Cell: matrix.Cell{Conc: 1}}, r)
	const ask = "POST /v1/completions"
	assert.Equal(t, []string{"POST /start_profile", ask, ask, ask, ask, ask, "POST /stop_profile"}, fake.asked)
	assert.Contains(t, strings.Join(r.Notes, "; "), "a profile was taken of 5 requests after the measured pass")
}

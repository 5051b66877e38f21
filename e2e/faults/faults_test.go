package faults

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write docs/faults.md")

const page = "../../docs/faults.md"

func TestMain(m *testing.M) {
	flag.Parse()
	flag.Set("test.parallel", "8") // most of a case is waiting
	zerolog.SetGlobalLevel(zerolog.Disabled)
	log.SetOutput(io.Discard) // net/http's word on connections that were cut
	os.Exit(m.Run())
}

func httpFunc(f func(http.ResponseWriter, *http.Request)) http.Handler { return http.HandlerFunc(f) }

// reverse passes requests on. It is not httputil.ReverseProxy, which under
// load now and then cuts a stream short (its transport closes the connection
// beneath the body it copies).
func reverse(t *testing.T, to string) http.Handler {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	return httpFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		out, err := http.NewRequestWithContext(r.Context(), r.Method, to+r.URL.Path, bytes.NewReader(body))
		if err != nil {
			return
		}
		out.Header = r.Header
		resp, err := client.Do(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		w.WriteHeader(resp.StatusCode)
		part := make([]byte, 32<<10)
		for {
			n, err := resp.Body.Read(part)
			if _, werr := w.Write(part[:n]); err != nil || werr != nil {
				return
			}
			w.(http.Flusher).Flush()
		}
	})
}

// A fault that lasts: every fault × every phase.
func TestFaultsThatLast(t *testing.T) {
	all := engineFaults
	for _, l := range lines {
		all = append(all, fault{name: l.name, does: l.does})
	}
	table := newTable()
	t.Run("matrix", func(t *testing.T) {
		for _, f := range all {
			for _, phase := range phases {
				t.Run(f.name+"/"+phase, func(t *testing.T) {
					t.Parallel()
					got, applies := run(t, f, phase, true)
					if !applies {
						table.set(f.name, phase, "–")
						return
					}
					table.set(f.name, phase, plain(got.String()))
					switch why := harmless[f.name][phase]; {
					case got.status != "PASSED" || phase == "decode audit":
					case why == "":
						assert.Fail(t, "PASSED, and nothing says that this fault is harmless here")
					default:
						table.set(f.name, phase, "PASSED: "+why)
					}
				})
			}
		}
	})
	if *update && !t.Failed() {
		table.write(t, all)
	}
}

// A fault that strikes twice and is over. Waiting, scoring and submitting are
// asked again; a request that is timed never is, so that its cell is FAILED.
func TestFaultsThatPass(t *testing.T) {
	for _, f := range engineFaults {
		for _, phase := range []string{"waiting", "accuracy", "benchmark", "submit"} {
			t.Run(f.name+"/"+phase, func(t *testing.T) {
				t.Parallel()
				got, applies := run(t, f, phase, false)
				switch {
				case !applies:
				case phase == "waiting" && f.name == "garbage":
					assert.Equal(t, "no start", got.status, "what is no JSON never becomes a model list")
				case phase == "benchmark" && f.name == "refuse" && got.status == "PASSED":
					// It hit kept-alive connections, which a server may close between requests.
				case phase == "benchmark" && harmless[f.name][phase] == "":
					assert.Equal(t, "FAILED", got.status)
					assert.Regexp(t, `^[12] of 12 requests failed`, got.reason)
				case phase == "accuracy":
					// Within REQUEST_TIMEOUT a stalled request cannot be asked again, and a
					// model that gives NaN is not asked again.
					assert.Contains(t, []string{"PASSED", "FAILED"}, got.status)
					if strings.ContainsAny(f.name, "45") || f.name == "refuse" {
						assert.Equal(t, "PASSED", got.status, got.reason)
					}
				default:
					assert.Equal(t, "PASSED", got.status, got.reason)
				}
			})
		}
	}
}

// table is what came of each fault in each phase.
type table struct {
	mu    sync.Mutex
	cells map[string]string
}

func newTable() *table { return &table{cells: map[string]string{}} }

func (t *table) set(fault, phase, what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cells[fault+"/"+phase] = what
}

func (t *table) write(tb *testing.T, all []fault) {
	var b strings.Builder
	fmt.Fprintf(&b, `# What the suite does when things go wrong

This page is written by `+"`make faults`"+`, from a run on %s (%d cores, %s). Each fault is switched on in one phase of a small cell (12 requests at CONC 2, REQUEST_TIMEOUT 600 ms), strikes every request of that phase, and is switched off after it. Whatever happens the cell ends, with a reason on one line; the batch folder stays readable; the exit code is 0 only where the cell PASSED.

* **no start**: the suite gave up waiting (READY_TIMEOUT) and ran nothing.
* **FAILED**: the cell is FAILED in summary.txt and in its result file, which holds the reason.
* **PENDING**: the submission is kept in the batch folder; `+"`make resubmit`"+` sends it again. It was not reported as submitted.
* **PASSED**: the fault does no harm in that phase.
* –: the phase has nothing that the fault could strike.

A fault that strikes twice and is over is waited out or asked again while waiting, scoring and submitting (the cell passes). A request that is timed is never sent again: its cell is FAILED, with the number of requests that failed; save where the server closes a kept-alive connection before it answers anything, which servers do between requests: the request goes out again on a new one, and the result counts it under `+"`"+`retries`+"`"+`.

`, time.Now().Format(time.DateOnly), runtime.NumCPU(), runtime.Version())
	b.WriteString("| fault | what it does | " + strings.Join(phases, " | ") + " |\n" + strings.Repeat("| --- ", len(phases)+2) + "|\n")
	for _, f := range all {
		fmt.Fprintf(&b, "| %s | %s |", f.name, f.does)
		for _, phase := range phases {
			status, _, _ := strings.Cut(t.cells[f.name+"/"+phase], ":")
			fmt.Fprintf(&b, " %s |", status)
		}
		b.WriteByte('\n')
	}
	b.WriteString("\n## What the user reads\n\nOf each fault in the benchmark; elsewhere the line begins otherwise and has the same reason.\n\n")
	for _, f := range all {
		_, reason, _ := strings.Cut(t.cells[f.name+"/benchmark"], ": ")
		fmt.Fprintf(&b, "* **%s**: %s\n", f.name, reason)
	}
	require.NoError(tb, os.WriteFile(page, []byte(strings.TrimRight(b.String(), "\n")+"\n"), 0o644))
}

// The page has every fault, in its table and in its words.
func TestThePageIsWhole(t *testing.T) {
	b, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, name := range faultNames() {
		assert.Equal(t, 1, strings.Count(string(b), "\n| "+name+" | "), name)
		assert.Equal(t, 1, strings.Count(string(b), "\n* **"+name+"**: "), name)
	}
}

func faultNames() []string {
	var names []string
	for _, f := range engineFaults {
		names = append(names, f.name)
	}
	for _, l := range lines {
		names = append(names, l.name)
	}
	return names
}

// Package faults holds the suite against everything that can go wrong with a
// server, a leaderboard and the network between, in every phase of a cell.
//
// Whatever happens, a cell ends: FAILED with a reason, or PASSED where the fault
// was waited out, retried or harmless. Nothing hangs, panics, writes a file that
// is not JSON, or passes undeservedly. What came of each fault is a table in
// docs/faults.md, which `make faults` writes from this very run.
package faults

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/engine"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/submit"
	"inferbench/harness/sweep"
)

// phases of a run, in order. The decode audit follows the benchmark.
var phases = []string{"waiting", "accuracy", "warm-up", "benchmark", "decode audit", "submit"}

// fault is one thing that goes wrong, always or only twice.
type fault struct {
	name, does string
	engine     string // rule for the engine's faults; empty for the network's
}

// engineFaults are the embedded engine's, with times that fit REQUEST_TIMEOUT.
var engineFaults = []fault{
	{"refuse", "reset the connection instead of answering", "refuse"},
	{"500", "answer 500", "500"},
	{"503", "answer 503", "503"},
	{"429", "answer 429", "429:for=0s"},
	{"stall-first", "send nothing, for ever", "stall-first:for=1h"},
	{"stall-mid-stream", "stop in the middle, for ever", "stall-mid-stream:for=1h"},
	{"drop-mid-stream", "reset the connection in the middle", "drop-mid-stream"},
	{"truncated-chunk", "send half a chunk and close", "truncated-chunk"},
	{"error-event", "send an error event in the middle", "error-event"},
	{"garbage", "send an event that is no JSON", "garbage"},
	{"slow-loris", "send a byte at a time, 10 ms apart", "slow-loris:for=10ms"},
	{"short-output", "end before all tokens are there", "short-output"},
	{"wrong-usage", "count one token too many", "wrong-usage"},
	{"no-usage", "leave the usage out", "no-usage"},
	{"nan-logprob", "give NaN as a logprob", "nan-logprob:after=1"},
}

// harmless says where a fault may leave a cell PASSED, and why. Everything else
// that lasts must end FAILED.
var harmless = map[string]map[string]string{
	"error-event":  {"accuracy": "no event stream is asked for"},
	"wrong-usage":  {"accuracy": "the values themselves are counted"},
	"short-output": {"accuracy": "one token is asked for"},
	"no-usage":     {"accuracy": "usage is not needed", "warm-up": "tokens are counted otherwise, which the result says", "benchmark": "tokens are counted otherwise, which the result says"},
	"nan-logprob":  {"warm-up": "no logprobs are asked for", "benchmark": "no logprobs are asked for"},
	"thin line":    {"waiting": "slow", "accuracy": "slow", "warm-up": "slow", "benchmark": "slow, and measured so", "submit": "slow"},
	"far away":     {"waiting": "slow", "accuracy": "slow", "warm-up": "slow", "benchmark": "slow, and measured so", "submit": "slow"},
	"small pieces": {"waiting": "slow", "accuracy": "slow", "warm-up": "slow", "benchmark": "slow, and measured so", "submit": "slow"},
	"slow-loris":   {"waiting": "slow", "submit": "slow"},
	"cut off":      {"waiting": "the answers are shorter", "submit": "the answers are shorter"},
}

// conductor watches a sweep, and switches the fault on as its phase begins and
// off as it ends.
type conductor struct {
	phase   string
	on, off func()
	once    [2]sync.Once
}

func (c *conductor) begin() { c.once[0].Do(c.on) }
func (c *conductor) end()   { c.once[1].Do(c.off) }

func (c *conductor) Accuracy(_ matrix.Cell, done, total int) {
	if done < total {
		return
	}
	switch c.phase {
	case "accuracy":
		c.end()
	case "warm-up":
		c.begin()
	}
}

func (c *conductor) Serving(_ matrix.Cell, p load.Progress) {
	over := p.Done == p.Total
	switch {
	case p.WarmUp && over && c.phase == "warm-up":
		c.end()
	case p.WarmUp && over && c.phase == "benchmark":
		c.begin()
	case !p.WarmUp && over && c.phase == "benchmark":
		c.end()
	case !p.WarmUp && over && c.phase == "decode audit":
		c.begin()
	}
}

func (c *conductor) Ended(matrix.Cell, *batch.Result)           {}
func (c *conductor) Fetching(matrix.Cell, string, int64, int64) {}

// outcome is how a run with a fault ended.
type outcome struct {
	status string // PASSED, FAILED, "no start"
	reason string
}

func (o outcome) String() string {
	if o.reason == "" {
		return o.status
	}
	return o.status + ": " + o.reason
}

// runCell runs one small cell against url, the fault on in one phase.
func runCell(t *testing.T, url, phase, timeout string, on, off func()) outcome {
	t.Helper()
	dir := t.TempDir()
	env := []string{"BASE_URL=" + url, "ISL=16", "OSL=8", "CONC=2", "NUM_PROMPTS=12", "CANARY_SHARE=0", "WARMUP=6", "TP=1",
		"REQUEST_TIMEOUT=" + timeout, "READY_TIMEOUT=2s", "RESULTS_DIR=" + dir}
	flags := flag.NewFlagSet("faults", flag.ContinueOnError)
	settings.Register(flags)
	set, err := settings.Load(flags, env, filepath.Join(dir, ".env"))
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a hang is a failure of the test
	defer cancel()
	client, err := server.Client("")
	require.NoError(t, err)
	defer client.CloseIdleConnections()
	tg := server.New(set.Server.BaseURL, "", "", client)
	watch := &conductor{phase: phase, on: on, off: off}
	if phase == "waiting" {
		watch.begin()
	}
	err = tg.Wait(ctx, server.WaitOptions{Timeout: set.Server.ReadyTimeout, Every: 50 * time.Millisecond})
	require.NoError(t, ctx.Err(), "it hung while it waited")
	if err != nil {
		return outcome{"no start", err.Error()}
	}
	if phase == "waiting" {
		watch.end()
	}
	cell := set.Selection.Cells(set.Selection.Combinations()[0])[0]
	sw, err := sweep.Open(ctx, sweep.Config{Settings: set, Target: tg, Watch: watch, Begin: time.Now(), Mode: set.Mode, Cells: []matrix.Cell{cell}})
	require.NoError(t, err)
	if phase == "accuracy" {
		watch.begin()
	}
	r, err := sw.Serve(ctx, cell)
	require.NoError(t, ctx.Err(), "it hung")
	closed := sw.Close()

	got := outcome{"PASSED", ""}
	if refused, ok := err.(*sweep.AccuracyFailed); ok {
		got = outcome{"FAILED", refused.Reason}
	} else {
		require.NoError(t, err)
		if got.status = string(r.Status); r.Status != batch.Passed {
			got.reason = r.Reason
		}
	}
	checkFiles(t, dir, cell, got.status)
	if got.status == "PASSED" {
		if phase == "decode audit" {
			got.reason = decodeAudit(t, r)
		}
		assert.NoError(t, closed)
		assert.Equal(t, 12, r.Performance.Successful, "no PASSED with fewer requests")
	} else {
		assert.Error(t, closed, "the exit code tells")
		assert.NotEmpty(t, got.reason)
		assert.NotContains(t, got.reason, "\n")
	}
	return got
}

// decodeAudit is what a result says of its decode audit: it passed, or it did
// not run, for a reason.
func decodeAudit(t *testing.T, r *batch.Result) string {
	t.Helper()
	b, err := json.Marshal(r)
	require.NoError(t, err)
	var v struct {
		Audit struct{ Status, Reason string } `json:"decode_audit"`
	}
	require.NoError(t, json.Unmarshal(b, &v))
	assert.NotEmpty(t, v.Audit.Reason)
	if v.Audit.Status == "NOT_RUN" {
		return "decode_audit is NOT_RUN: " + v.Audit.Reason
	}
	return ""
}

// checkFiles reads the batch folder as a user's scripts would.
func checkFiles(t *testing.T, dir string, cell matrix.Cell, status string) {
	t.Helper()
	for pattern, want := range map[string]string{
		"summary.txt": fmt.Sprintf("CONC=2: %s", status),
		"*" + strings.TrimPrefix(cell.FileName(), "result"): `"status": "` + status + `"`, // result_… or, without figures, verdict_…
	} {
		files, err := filepath.Glob(filepath.Join(dir, "batch_*", pattern))
		require.NoError(t, err)
		files = slices.DeleteFunc(files, func(f string) bool { return strings.HasPrefix(filepath.Base(f), "server_") })
		require.Len(t, files, 1, pattern)
		b, err := os.ReadFile(files[0])
		require.NoError(t, err)
		assert.Contains(t, string(b), want)
		if strings.HasSuffix(pattern, ".json") {
			var v map[string]any
			require.NoError(t, json.Unmarshal(b, &v), "whole, and no NaN")
		}
	}
}

// submit sends a cell's figures to a board at url.
func send(t *testing.T, url string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client := submit.New(submit.Options{URL: url, MaxTries: 3, MaxWait: 3 * time.Second, Silence: 400 * time.Millisecond,
		Queue: time.Second, Backoff: 10 * time.Millisecond})
	report, err := client.Submit(ctx, t.TempDir(), []submit.Figures{{Team: "x", ISL: 1024, OSL: 1024, Conc: 4, E2EMs: 15979.59, TputPerGPU: 251.5,
		BaselineE2EMs: 10407, BaselineTputPerGPU: 344.564, BitsPerByte: 0.4485, BytePerplexity: 1.3646, WordPerplexity: 3.2522, Passed: true}})
	require.NoError(t, ctx.Err(), "it hung")
	require.NoError(t, err)
	require.Len(t, report, 1)
	if report[0].Status == submit.Confirmed {
		assert.NoError(t, report.Err())
		return outcome{"PASSED", ""}
	}
	assert.Error(t, report.Err())
	return outcome{strings.ToUpper(string(report[0].Status)), report[0].Reason}
}

// plain takes out of a reason what differs from run to run.
func plain(s string) string {
	for _, r := range []struct{ pattern, with string }{
		{`http://127\.0\.0\.1:\d+`, "http://server"}, {`127\.0\.0\.1:\d+(->127\.0\.0\.1:\d+)?`, "server"},
		{`/tmp/\S+?/(submission\S*|pending\S*)`, "…/$1"}, {`/tmp/[^ ;)]+`, "…"}, {`after \d+(\.\d+)?m?s `, "after a time "},
	} {
		s = regexp.MustCompile(r.pattern).ReplaceAllString(s, r.with)
	}
	return s
}

// engineRun runs the cell against an engine of its own, with a rule in a phase.
func engineRun(t *testing.T, rule, phase, timeout string) outcome {
	e, err := engine.Start(engine.Config{TraceTokens: -1, Dialect: engine.VLLM})
	require.NoError(t, err)
	defer e.Close()
	return runCell(t, e.URL(), phase, timeout, func() { assert.NoError(t, e.SetFaults(rule)) }, func() { assert.NoError(t, e.SetFaults("")) })
}

func run(t *testing.T, f fault, phase string, always bool) (outcome, bool) {
	times, timeout := int64(1<<40), "600ms"
	if !always {
		times, timeout = 2, "3s" // time to ask again
	}
	frontable := map[string]bool{"refuse": true, "500": true, "503": true, "429": true, "stall-first": true, "stall-mid-stream": true,
		"drop-mid-stream": true, "truncated-chunk": true, "garbage": true, "slow-loris": true}
	switch {
	case f.engine == "": // the network's
		if phase == "submit" {
			_, url := newFront(t, httpFunc(gradio))
			n, url := newNetwork(t, url)
			n.set(f.name)
			return send(t, url), true
		}
		e, err := engine.Start(engine.Config{TraceTokens: -1, Dialect: engine.VLLM})
		require.NoError(t, err)
		defer e.Close()
		n, url := newNetwork(t, e.URL())
		return runCell(t, url, phase, timeout, func() { n.set(f.name) }, n.clear), true
	case phase == "submit":
		if !frontable[f.name] && f.name != "error-event" {
			return outcome{}, false
		}
		front, url := newFront(t, httpFunc(gradio))
		front.set(f.name, times)
		return send(t, url), true
	case phase == "waiting":
		if !frontable[f.name] {
			return outcome{}, false
		}
		e, err := engine.Start(engine.Config{TraceTokens: -1, Dialect: engine.VLLM})
		require.NoError(t, err)
		defer e.Close()
		front, url := newFront(t, reverse(t, e.URL()))
		return runCell(t, url, phase, timeout, func() { front.set(f.name, times) }, func() { front.set("", 0) }), true
	}
	rule := f.engine
	if !always {
		rule += ":count=2"
	}
	return engineRun(t, rule, phase, timeout), true
}

package engine

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What a client sees of each fault, streaming and not.
func TestFaults(t *testing.T) {
	const stream = `{"prompt":"The","max_tokens":8,"temperature":0,"ignore_eos":true,"stream":true,"logprobs":1,"stream_options":{"include_usage":true}}`
	const whole = `{"prompt":"The","max_tokens":8,"temperature":0,"ignore_eos":true,"logprobs":1}`
	type seen struct {
		status int
		header http.Header
		body   string
		err    error
		took   time.Duration
	}
	tokens := func(s seen) int { return strings.Count(s.body, `"text":"`) }
	for name, c := range map[string]struct {
		ask, faults string
		check       func(*testing.T, seen)
	}{
		"refuse": {stream, "refuse", func(t *testing.T, s seen) { assert.Error(t, s.err); assert.Zero(t, s.status) }},
		"500":    {stream, "500", func(t *testing.T, s seen) { assert.Equal(t, 500, s.status); assert.Contains(t, s.body, `"error":{`) }},
		"503":    {whole, "503", func(t *testing.T, s seen) { assert.Equal(t, 503, s.status) }},
		"429": {whole, "429:for=7s", func(t *testing.T, s seen) {
			assert.Equal(t, 429, s.status)
			assert.Equal(t, "7", s.header.Get("Retry-After"))
		}},
		"stall-first": {stream, "stall-first:for=60ms", func(t *testing.T, s seen) {
			assert.GreaterOrEqual(t, s.took, 60*time.Millisecond)
			assert.Equal(t, 8, tokens(s))
		}},
		"stall-mid-stream": {stream, "stall-mid-stream:after=5:for=60ms", func(t *testing.T, s seen) {
			assert.GreaterOrEqual(t, s.took, 60*time.Millisecond)
			assert.Equal(t, 8, tokens(s))
		}},
		"stall, whole": {whole, "stall-first:for=60ms", func(t *testing.T, s seen) {
			assert.GreaterOrEqual(t, s.took, 60*time.Millisecond)
			assert.NoError(t, s.err)
		}},
		"throttle": {stream, "throttle:times=1000:for=1m", func(t *testing.T, s seen) {
			assert.GreaterOrEqual(t, s.took, 60*time.Millisecond, "some ten steps of 0.1 ms")
			assert.Equal(t, 8, tokens(s))
		}},
		"kv-transfer": {stream, "kv-transfer:for=60ms", func(t *testing.T, s seen) {
			assert.GreaterOrEqual(t, s.took, 60*time.Millisecond)
			assert.Equal(t, 8, tokens(s))
		}},
		"drop": {stream, "drop-mid-stream:after=5", func(t *testing.T, s seen) {
			assert.True(t, errors.Is(s.err, syscall.ECONNRESET) || errors.Is(s.err, io.ErrUnexpectedEOF), "%v", s.err)
			assert.LessOrEqual(t, tokens(s), 5, "a reset may destroy what was sent before it")
		}},
		"drop, whole": {whole, "drop-mid-stream", func(t *testing.T, s seen) { assert.Error(t, s.err) }},
		"truncated": {stream, "truncated-chunk:after=5", func(t *testing.T, s seen) {
			assert.ErrorIs(t, s.err, io.ErrUnexpectedEOF)
			assert.Contains(t, s.body, "\n\ndata: {")
			assert.False(t, strings.HasSuffix(s.body, "\n\n"))
		}},
		"truncated, whole": {whole, "truncated-chunk", func(t *testing.T, s seen) { assert.ErrorIs(t, s.err, io.ErrUnexpectedEOF) }},
		"error event": {stream, "error-event:after=2", func(t *testing.T, s seen) {
			assert.NoError(t, s.err)
			assert.Equal(t, 2, tokens(s))
			assert.Contains(t, s.body, `data: {"error":{`)
			assert.True(t, strings.HasSuffix(s.body, "data: [DONE]\n\n"))
		}},
		"garbage": {stream, "garbage", func(t *testing.T, s seen) {
			assert.Contains(t, s.body, "data: {this is no JSON\n\n")
			assert.Equal(t, 8, tokens(s))
		}},
		"loris": {`{"prompt":"T","max_tokens":1,"stream":true}`, "slow-loris:for=100us", func(t *testing.T, s seen) { assert.Equal(t, 1, tokens(s)); assert.NoError(t, s.err) }},
		"short": {stream, "short-output:after=4", func(t *testing.T, s seen) {
			assert.Equal(t, 4, tokens(s))
			assert.Contains(t, s.body, `"finish_reason":"stop"`)
		}},
		"usage": {stream, "wrong-usage", func(t *testing.T, s seen) { assert.Contains(t, s.body, `"completion_tokens":9`) }},
		"no usage": {stream, "no-usage", func(t *testing.T, s seen) {
			assert.NotContains(t, s.body, `"completion_tokens"`)
			assert.Equal(t, 8, tokens(s))
		}},
		"nan":        {stream, "nan-logprob:after=3", func(t *testing.T, s seen) { assert.Equal(t, 1, strings.Count(s.body, `"token_logprobs":[NaN]`)) }},
		"nan, whole": {whole, "nan-logprob:after=3", func(t *testing.T, s seen) { assert.Equal(t, 1, strings.Count(s.body, `,NaN,`)) }},
	} {
		t.Run(name, func(t *testing.T) {
			e := start(t, Config{Faults: c.faults})
			begin := time.Now()
			var s seen
			resp, err := http.Post(e.URL()+"/v1/completions", "application/json", strings.NewReader(c.ask))
			s.err = err
			if err == nil {
				var b []byte
				b, s.err = io.ReadAll(resp.Body)
				resp.Body.Close()
				s.status, s.header, s.body = resp.StatusCode, resp.Header, string(b)
			}
			s.took = time.Since(begin)
			c.check(t, s)

			require.NoError(t, e.SetFaults(""))
			status, _ := post(t, e.URL()+"/v1/completions", whole)
			assert.Equal(t, 200, status, "the engine goes on as if nothing had been")
		})
	}
}

func TestFaultsStrikeByRateAndCount(t *testing.T) {
	f, err := ParseFaults(" 500:count=2, drop-mid-stream:rate=0.25 ")
	require.NoError(t, err)
	got := map[string]int{}
	for range 1000 {
		if r := f.draw(); r != nil {
			got[r.name]++
		}
	}
	assert.Equal(t, 2, got["500"])
	assert.InDelta(t, 250, got["drop-mid-stream"], 50)
	for bad, want := range map[string]string{
		"explode":            "there are: refuse, 500",
		"500:rate=2":         "rate=2: want above 0 and at most 1",
		"500:rate=NaN":       "want above 0",
		"500:count=0":        "count=0: want a whole number from 1",
		"stall-first:for=-1": "want a time as",
		"500:often":          `"often": want rate=`,
	} {
		_, err := ParseFaults(bad)
		assert.ErrorContains(t, err, want, bad)
	}
}

func TestFaultsAndNoiseCanBeSetWhileItRuns(t *testing.T) {
	e := start(t, Config{})
	put := func(path, body string) (int, string) {
		req, _ := http.NewRequest(http.MethodPut, e.URL()+path, strings.NewReader(body))
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return resp.StatusCode, string(b)
	}
	status, body := put("/inferbench/faults", `{"faults":"500:count=1"}`)
	require.Equal(t, 200, status, body)
	for _, want := range []int{500, 200} {
		status, _ = post(t, e.URL()+"/v1/completions", `{"prompt":"A","max_tokens":1}`)
		assert.Equal(t, want, status)
	}
	_, body = put("/inferbench/faults", `{"faults":""}`)
	assert.Contains(t, body, `"faults":""`)
	status, body = put("/inferbench/faults", `{"faults":"bang"}`)
	assert.Equal(t, 400, status)
	assert.Contains(t, body, "there is none of that name")
	status, body = put("/inferbench/noise", `{"noise":0.5,"decode_noise":0.25}`)
	assert.Equal(t, 200, status)
	assert.JSONEq(t, `{"noise":0.5,"decode_noise":0.25}`, body)
	status, _ = put("/inferbench/noise", `{"noise":-1}`)
	assert.Equal(t, 400, status)
}

// While KV cache is on its way its requests stand where each make shows them, and a
// client that goes away is not waited for.
func TestTransfersStandInTheMetrics(t *testing.T) {
	e := start(t, Config{Faults: "kv-transfer:for=200ms:count=1,kv-transfer:for=1h"})
	_, page := get(t, e.URL()+"/metrics")
	assert.NotContains(t, page, "transfer", "there was none yet")
	status, _ := post(t, e.URL()+"/v1/completions", `{"prompt":"The","max_tokens":2}`)
	require.Equal(t, 200, status)
	_, page = get(t, e.URL()+"/metrics")
	for _, want := range []string{"vllm:nixl_xfer_time_seconds_count{engine=\"0\",model_name=\"inferbench-ngram\"} 1",
		"sglang:kv_transfer_latency_ms_sum{model_name=\"inferbench-ngram\"} 200"} {
		assert.Contains(t, page, want)
	}
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "POST", e.URL()+"/v1/completions", strings.NewReader(`{"prompt":"The"}`))
	require.NoError(t, err)
	gone := make(chan error, 1)
	go func() { _, err := http.DefaultClient.Do(r); gone <- err }()
	waits := func(n string) func() bool {
		return func() bool {
			_, page := get(t, e.URL()+"/metrics")
			return strings.Contains(page, "reason=\"deferred\"} "+n) &&
				strings.Contains(page, "sglang:num_decode_transfer_queue_reqs{model_name=\"inferbench-ngram\"} "+n)
		}
	}
	require.Eventually(t, waits("1"), 10*time.Second, time.Millisecond)
	leave()
	require.Error(t, <-gone)
	require.Eventually(t, waits("0"), 10*time.Second, time.Millisecond)
}

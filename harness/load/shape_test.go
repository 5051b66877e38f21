package load

import (
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/server"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

func TestOpenLoopSendsAtScheduledTimes(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) { stream(w, 4, 8, time.Millisecond) })
	rec := run(t, tg, 20, Options{Conc: 8, WarmUp: 2, Shape: Shape{Rate: 200, Burstiness: math.Inf(1)}})
	require.Len(t, rec.Timings, 20)
	for i, x := range rec.Timings {
		require.Empty(t, x.Err)
		due := time.Duration(i) * 5 * time.Millisecond
		assert.Equal(t, due, (x.Sent - x.Waited).Round(time.Microsecond), "scheduled, as Sent and Waited say")
		assert.GreaterOrEqual(t, x.Sent, due, "never early")
		assert.Equal(t, x.First-(x.Sent-x.Waited), x.TTFT(), "latency counts from the scheduled time")
	}
	s := rec.Summary(1)
	assert.NotNil(t, s.Wait)
	assert.GreaterOrEqual(t, rec.Duration, 95*time.Millisecond)
}

// One slot, a server that takes long: requests wait in the client, and their
// latency says so.
func TestRateAndCapTogether(t *testing.T) {
	var in, most atomic.Int64
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		if n := in.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer in.Add(-1)
		stream(w, 4, 8, 5*time.Millisecond)
	})
	rec := run(t, tg, 6, Options{Conc: 1, Shape: Shape{Rate: 1000, Burstiness: math.Inf(1)}})
	assert.EqualValues(t, 1, most.Load())
	last := rec.Timings[5]
	assert.Greater(t, last.Waited, 50*time.Millisecond, "five requests of 15 ms or more were before it")
	assert.Greater(t, last.TTFT(), last.Waited)
}

// All requests of an uncapped open loop are in flight at once, though Conc is 1.
func TestUncappedOpenLoop(t *testing.T) {
	const n = 12
	var in atomic.Int64
	all := make(chan struct{})
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		if in.Add(1) == n {
			close(all)
		}
		select {
		case <-all:
			stream(w, 4, 8, 0)
		case <-time.After(10 * time.Second):
			http.Error(w, "not all came at once", http.StatusTeapot)
		}
	})
	rec := run(t, tg, n, Options{Conc: 1, Shape: Shape{Rate: 500, Uncapped: true}})
	assert.Equal(t, n, rec.Summary(1).Successful)
	assert.Equal(t, n, rec.Audit.Dials)
}

func TestDurationEndsARun(t *testing.T) {
	for name, shape := range map[string]Shape{
		"closed loop": {Duration: 100 * time.Millisecond},
		"open loop":   {Duration: 100 * time.Millisecond, Rate: 100},
	} {
		t.Run(name, func(t *testing.T) {
			tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) { stream(w, 4, 8, 2*time.Millisecond) })
			src := random(workload.Endless)
			rec, err := Run(t.Context(), tg, src, Options{Conc: 2, Shape: shape})
			require.NoError(t, err)
			require.NotEmpty(t, rec.Timings)
			for _, x := range rec.Timings {
				assert.Empty(t, x.Err, "what is in flight is read to its end")
				assert.Less(t, x.Sent-x.Waited, 100*time.Millisecond+time.Duration(x.Waited))
			}
			assert.Zero(t, rec.Unsent)
		})
	}
}

// What an open loop cannot send in its time, because all slots are busy, it does
// not send after it, and says so.
func TestDurationEndsAnOpenLoopThatIsBehind(t *testing.T) {
	const duration = 500 * time.Millisecond
	for name, c := range map[string]struct {
		shape Shape
		src   workload.Source
		note  string
	}{
		"rate":  {Shape{Rate: 100, Burstiness: math.Inf(1)}, random(workload.Endless), "49 of the 50 requests that were due within 500ms were not sent"},
		"trace": {Shape{Trace: true}, timed{0, 1e6, 2e6, 499e6, 500e6, 501e6}, "3 of the 4 requests that were due within 500ms were not sent"},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
				<-release
				stream(w, 4, 8, 0)
			})
			var once sync.Once
			c.shape.Duration = duration
			rec, err := Run(t.Context(), tg, c.src, Options{Conc: 1, Shape: c.shape, ProgressEvery: time.Millisecond, OnProgress: func(p Progress) {
				if p.Elapsed > 2*duration {
					once.Do(func() { close(release) })
				}
			}})
			require.NoError(t, err)
			require.Len(t, rec.Timings, 1)
			assert.Empty(t, rec.Timings[0].Err, "what is in flight is read to its end")
			require.NotEmpty(t, rec.Notes)
			assert.Contains(t, rec.Notes[0], c.note)
		})
	}
}

func TestARunIsOverWhenNothingIsLeftToSend(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) { stream(w, 4, 8, 0) })
	for name, o := range map[string]Options{
		"all sent":       {Conc: 4, Shape: Shape{RampUp: time.Hour}},
		"the time is up": {Conc: 4, Shape: Shape{RampUp: time.Hour, Duration: 50 * time.Millisecond}},
	} {
		rec := run(t, tg, 200, o)
		assert.Less(t, rec.Duration, 10*time.Minute, "%s: the second slot would start after a quarter of an hour", name)
	}
}

func TestRampUpOfAClosedLoop(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) { stream(w, 4, 8, 20*time.Millisecond) })
	rec := run(t, tg, 1, Options{Conc: 1, Shape: Shape{RampUp: 80 * time.Millisecond, Share: 1, Shares: 2}})
	assert.GreaterOrEqual(t, rec.Timings[0].Sent, 40*time.Millisecond, "the second of two clients of one slot each")

	rec = run(t, tg, 8, Options{Conc: 4, Shape: Shape{RampUp: 80 * time.Millisecond}})
	var sent []time.Duration
	for _, x := range rec.Timings {
		sent = append(sent, x.Sent)
	}
	slices.Sort(sent)
	for i := range 4 {
		assert.GreaterOrEqual(t, sent[i], time.Duration(i)*20*time.Millisecond, "slot %d starts after its part of the ramp", i)
	}
}

// timed is a trace: requests at the given times.
type timed []time.Duration

func (x timed) Len() int { return len(x) }
func (x timed) Request(i int) (workload.Request, error) {
	if i == 2 {
		return workload.Request{}, errors.New("line 3 of the trace is gone")
	}
	return workload.Request{Index: i, Tokens: []int32{1, 2}, OutputLen: 4, At: x[max(i, 0)]}, nil
}

func TestTraceSendsAtItsTimes(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) { stream(w, 4, 2, 0) })
	times := timed{0, 30 * time.Millisecond, 31 * time.Millisecond, 60 * time.Millisecond}
	rec, err := Run(t.Context(), tg, times, Options{Conc: 2, Shape: Shape{Trace: true}})
	require.NoError(t, err)
	require.Len(t, rec.Timings, 4)
	for i, x := range rec.Timings {
		if x.Err == "" {
			assert.Equal(t, times[i], (x.Sent - x.Waited).Round(time.Microsecond))
		}
	}
	assert.Contains(t, rec.Timings[2].Err, "line 3 of the trace is gone", "a request that cannot be made is a failed one")
	assert.Equal(t, 1, rec.Summary(1).Failed)
}

func TestARunInWhichNothingSucceedsStops(t *testing.T) {
	var asked_ atomic.Int64
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		asked_.Add(1)
		if a.number > 5 {
			http.Error(w, "worn out", http.StatusInternalServerError)
			return
		}
		stream(w, 4, 8, 0)
	})
	rec := run(t, tg, 1000, Options{Conc: 2})
	assert.Less(t, asked_.Load(), int64(50))
	assert.Equal(t, 1000, rec.Unsent+len(rec.Timings))
	require.NotEmpty(t, rec.Notes)
	assert.Regexp(t, `^stopped after \d+ requests in a row failed: \d+ of 1000 requests were not sent$`, rec.Notes[0])

	rec = run(t, tg, workload.Endless, Options{Conc: 2, Shape: Shape{Duration: time.Hour}})
	assert.Regexp(t, `^stopped after \d+ requests in a row failed$`, rec.Notes[0], "a run that its duration bounds owes none")
}

func TestChatAndItsChunks(t *testing.T) {
	chunk := func(delta, reason string) string {
		return `data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + reason + "}]}\n\n"
	}
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		assert.Equal(t, "/v1/chat/completions", r.URL.Path)
		assert.Equal(t, "yes", r.Header.Get("X-Mine"))
		io.WriteString(w, chunk(`{"role":"assistant","content":""}`, "null")) // no token
		w.(http.Flusher).Flush()
		time.Sleep(20 * time.Millisecond)
		io.WriteString(w, chunk(`{"reasoning_content":"hm"}`, "null")+chunk(`{"content":"a"}`, "null")+chunk(`{"content":"b"}`, "null")+
			chunk(`{"content":"c"}`, "null")+chunk(`{}`, `"length"`)+usage(9, 4)+"data: [DONE]\n\n")
	})
	src := &texts{"hello"}
	tg.Headers = http.Header{"X-Mine": {"yes"}, "Content-Length": {"7"}}
	rec, err := Run(t.Context(), tg, src, Options{Conc: 1, Chat: true})
	require.NoError(t, err)
	x := rec.Timings[0]
	require.Empty(t, x.Err)
	assert.Equal(t, 4, x.Chunks)
	assert.Equal(t, 3, x.Bundled)
	assert.Greater(t, x.TTFT(), 15*time.Millisecond, "a chunk of a role alone is not the first token")
	assert.Equal(t, 4, x.OutputTokens)

	rec, err = Run(t.Context(), tg, random(1), Options{Conc: 1, Chat: true})
	require.NoError(t, err)
	assert.Contains(t, rec.Timings[0].Err, "takes text")
}

// texts is prompts of text.
type texts []string

func (x texts) Len() int { return len(x) }
func (x texts) Request(i int) (workload.Request, error) {
	return workload.Request{Index: i, Text: x[i], OutputLen: 4}, nil
}

// The key must not show in an error even where the server's text about it is
// cut short in the middle of it.
func TestNoErrorHoldsASecret(t *testing.T) {
	const header = "sesame-sesame-sesame"
	for name, answer := range map[string]func(w http.ResponseWriter, text string){
		"status": func(w http.ResponseWriter, text string) { http.Error(w, text, http.StatusUnauthorized) },
		"event":  func(w http.ResponseWriter, text string) { io.WriteString(w, `data: {"error":"`+text+"\"}\n\n") },
	} {
		tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
			answer(w, strings.Repeat("x", 290)+r.Header.Get("X-Open"))
		})
		tg.Headers = http.Header{"X-Open": {header}}
		x := run(t, tg, 1, Options{Conc: 1}).Timings[0]
		assert.Contains(t, x.Err, "xxx[secret", name)
		assert.NotContains(t, x.Err, "sesame", name)
	}
}

// Servers keep a stream alive with comments, and some with events of no data.
func TestKeepAliveIsNoEvent(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		io.WriteString(w, ": ping\n\ndata:\n\nevent: ping\ndata: \n\n")
		stream(w, 4, 8, 0)
	})
	x := run(t, tg, 1, Options{Conc: 1}).Timings[0]
	assert.Empty(t, x.Err)
	assert.Equal(t, 4, x.Chunks)
}

// An empty chunk that finishes carries a token only if the server counts one
// more than came before: vLLM's last token may have no text yet, llama.cpp's
// end mark is no token.
func TestClosingChunk(t *testing.T) {
	for name, c := range map[string]struct {
		before, counted, chunks int
	}{
		"the last token": {3, 4, 4},
		"a mere mark":    {4, 4, 4},
	} {
		t.Run(name, func(t *testing.T) {
			tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
				io.WriteString(w, repeat(c.before)+event("", `"length"`)+usage(8, c.counted)+"data: [DONE]\n\n")
			})
			x := run(t, tg, 1, Options{Conc: 1}).Timings[0]
			assert.Empty(t, x.Err)
			assert.Equal(t, c.chunks, x.Chunks)
			assert.Equal(t, c.chunks-1, x.ITL.Len())
		})
	}
}

func TestExtraBody(t *testing.T) {
	var mu sync.Mutex
	var got map[string]any
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		mu.Lock()
		defer mu.Unlock()
		stream(w, 2, 8, 0)
	})
	body, err := newEncoder(server.New("http://h", "m", "", nil), Options{ExtraBody: map[string]json.RawMessage{"top_p": []byte("0.5"), "temperature": []byte("0.7"), "ignore_eos": []byte("null")}})
	require.NoError(t, err)
	var b payload
	require.NoError(t, body.encode(&b, workload.Request{Tokens: []int32{1}, OutputLen: 4}))
	require.NoError(t, json.Unmarshal(b.first, &got))
	assert.Equal(t, map[string]any{"model": "m", "prompt": []any{1.0}, "max_tokens": 4.0, "top_p": 0.5, "temperature": 0.7, "stream": true,
		"stream_options": map[string]any{"include_usage": true}}, got)

	rec := run(t, tg, 1, Options{Conc: 1, ExtraBody: map[string]json.RawMessage{"ignore_eos": []byte("false")}})
	assert.Equal(t, 1, rec.Summary(1).Successful, "fewer tokens than the most are no failure where the end is not ignored")

	for k, v := range map[string]string{"stream": "false", "prompt": `"x"`, "x": "{", "model": "null", "max_tokens": "5", "stream_options": "{}"} {
		_, err := Run(t.Context(), tg, random(1), Options{Conc: 1, ExtraBody: map[string]json.RawMessage{k: []byte(v)}})
		assert.ErrorContains(t, err, `"`+k+`"`)
	}
}

// Each of the client's own keys that some servers refuse can be left out or has
// another name, on both endpoints.
func TestKeysThatServersRefuse(t *testing.T) {
	all := map[string]any{"max_tokens": 4.0, "temperature": 0.0, "ignore_eos": true, "stream_options": map[string]any{"include_usage": true}}
	for _, chat := range []bool{false, true} {
		for key := range all {
			for name, c := range map[string]struct {
				keys server.Keys
				o    Options
			}{
				"by the run":    {server.Keys{}, Options{ExtraBody: map[string]json.RawMessage{key: []byte("null")}}},
				"by the server": {server.Keys{LeftOut: []string{key}}, Options{}},
			} {
				got := bodyOf(t, c.keys, c.o, chat)
				assert.NotContains(t, got, key, name)
				for other, v := range all {
					if other != key {
						assert.Equal(t, v, got[other], name)
					}
				}
			}
		}
		got := bodyOf(t, server.Keys{MaxTokens: "max_completion_tokens"}, Options{Temperature: 0.7}, chat)
		assert.NotContains(t, got, "max_tokens")
		assert.Equal(t, 4.0, got["max_completion_tokens"])
		assert.Equal(t, 0.7, got["temperature"])
	}
}

func bodyOf(t *testing.T, keys server.Keys, o Options, chat bool) (got map[string]any) {
	t.Helper()
	tg := server.New("http://h", "m", "", nil)
	tg.Keys, o.Chat = keys, chat
	enc, err := newEncoder(tg, o)
	require.NoError(t, err)
	var b payload
	require.NoError(t, enc.encode(&b, workload.Request{Text: "x", OutputLen: 4}))
	require.NoError(t, json.Unmarshal(b.first, &got))
	return got
}

// A request's own keys stand in place of those that all requests have, and one that may
// stop is not held to its length.
func TestKeysOfARequest(t *testing.T) {
	enc, err := newEncoder(server.New("http://h", "m", "", nil), Options{Temperature: 0.7})
	require.NoError(t, err)
	r := workload.Request{Text: "x", OutputLen: 4, Extra: map[string]json.RawMessage{"temperature": []byte("0.1"), "top_p": []byte("1")}}
	var b payload
	require.NoError(t, enc.encode(&b, r))
	assert.JSONEq(t, `{"model":"m","prompt":"x","max_tokens":4,"temperature":0.1,"top_p":1,"ignore_eos":true,"stream":true,
		"stream_options":{"include_usage":true}}`, string(b.first))
	assert.False(t, r.MayStop())
	for _, key := range []string{"ignore_eos", "stop", "stop_token_ids"} {
		assert.True(t, workload.Request{Extra: map[string]json.RawMessage{key: []byte("[1]")}}.MayStop(), key)
	}
	assert.False(t, workload.Request{Extra: map[string]json.RawMessage{"ignore_eos": []byte("true")}}.MayStop())
}

func TestGoodputOfARun(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) { stream(w, 4, 8, 0) })
	s := run(t, tg, 4, Options{Conc: 1, SLO: stats.SLO{"e2el": 60000}}).Summary(1)
	assert.Equal(t, 1.0, s.Goodput.Attainment)
}

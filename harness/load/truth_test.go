package load

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
	"inferbench/harness/engine/schedule"
	"inferbench/harness/hint"
	"inferbench/harness/workload"
)

const done = "data: [DONE]\n\n"

// delta is a chat's event.
func delta(fields, reason string) string {
	return `data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":` + fields + `,"finish_reason":` + reason + "}]}\n\n"
}

// say writes events, each after a pause, so that each has an instant of its own.
func say(w http.ResponseWriter, pause time.Duration, events ...string) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i, e := range events {
		if i > 0 {
			time.Sleep(pause)
		}
		io.WriteString(w, e)
		w.(http.Flusher).Flush()
	}
}

// measured are texts whose tokens were counted.
type measured struct{ n, words int }

func (x measured) Len() int { return x.n }
func (x measured) Request(i int) (workload.Request, error) {
	return workload.Request{Index: i, Text: strings.Repeat("a ", x.words-1) + "a", TextLen: x.words, OutputLen: 4}, nil
}

// What was sent is believed over what the server counts. An offset that is the
// same for every prompt is told, and anything else contradicts the figures.
func TestInputTokensAreThoseThatWereSent(t *testing.T) {
	count := func(f func(sent int) string) func(int) string { return f }
	plain := func(n int) string { return fmt.Sprintf(`"prompt_tokens":%d,`, n) }
	for name, c := range map[string]struct {
		counts func(sent int) string
		offset any
		server any
		note   string
		wrong  string // a contradiction
	}{
		"as sent":       {count(plain), 0, 80, "", ""},
		"a BOS more":    {count(func(n int) string { return plain(n + 1) }), 1, 90, "counts +1 input tokens besides those that were sent, in every prompt", ""},
		"one fewer":     {count(func(n int) string { return plain(n - 1) }), -1, 70, "", "the server counts 7 input tokens where 8 were sent: it left some out"},
		"a template":    {count(func(n int) string { return plain(n + 40) }), 40, 480, "counts +40 input tokens besides", ""},
		"ten times":     {count(func(n int) string { return plain(n * 10) }), 72, 800, "", "the server counts 80 input tokens where 8 were sent, and 40 where 4 were"},
		"half":          {count(func(n int) string { return plain(n / 2) }), -4, 40, "", "the server counts 4 input tokens where 8 were sent, and 2 where 4 were"},
		"cut at five":   {count(func(n int) string { return plain(min(n, 5)) }), -3, 50, "", "the server counts 5 input tokens where 8 were sent, and 4 where 4 were"},
		"a tenth":       {count(func(n int) string { return plain(n / 10) }), -8, 0, "", "the server counts 0 input tokens where 8 were sent, and 0 where 4 were"},
		"zero":          {count(func(n int) string { return plain(0) }), -8, 0, "", "the server counts 0 input tokens where 8 were sent"},
		"null":          {count(func(n int) string { return `"prompt_tokens":null,` }), nil, nil, "", "the server's usage has no count of input tokens for 10 of 10 requests"},
		"absent":        {count(func(n int) string { return "" }), nil, nil, "", "the server's usage has no count of input tokens for 10 of 10 requests"},
		"now and again": {nil, 0, nil, "", "for 1 of 10 requests the server counts other input tokens than were sent, as 80 where 8 were sent"},
	} {
		for _, warm := range []int{0, 2} {
			t.Run(fmt.Sprintf("%s, %d to warm up", name, warm), func(t *testing.T) {
				tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
					counts := c.counts
					if counts == nil {
						if counts = plain; a.number == 5 {
							counts = func(n int) string { return plain(10 * n) }
						}
					}
					n := min(a.MaxTokens, 4)
					say(w, 0, repeat(n-1)+event(" a", `"length"`)+
						fmt.Sprintf(`data: {"choices":[],"usage":{%s"completion_tokens":%d}}`, counts(len(a.ids())), n)+"\n\n"+done)
				})
				rec := run(t, tg, 10, Options{Conc: 1, WarmUp: warm})
				s := rec.Summary(1)
				require.Equal(t, 10, s.Successful, s.Errors)
				assert.EqualValues(t, 80, *s.InputTokens)
				assert.EqualValues(t, 120/rec.Duration.Seconds(), *s.TputPerGPU)
				assert.Equal(t, "sent", s.InputFrom)
				if c.offset != nil {
					assert.Equal(t, c.offset, *s.InputOffset)
				} else {
					assert.Nil(t, s.InputOffset)
				}
				switch {
				case c.server != nil:
					assert.EqualValues(t, c.server, *s.ServerInputTokens)
				case c.counts != nil:
					assert.Nil(t, s.ServerInputTokens)
				}
				if c.wrong == "" {
					assert.Empty(t, rec.Contradictions)
				} else {
					require.Len(t, rec.Contradictions, 1)
					assert.Contains(t, rec.Contradictions[0], c.wrong)
				}
				if c.note != "" {
					assert.Contains(t, strings.Join(rec.Notes, "\n"), c.note)
				}
			})
		}
	}
}

// A measured text is held against the server's count as ids are, but for a token
// or two that a template may join.
func TestMeasuredTextsAreHeldAgainstTheServersCount(t *testing.T) {
	for name, c := range map[string]struct {
		counts func(words, request int) int
		wrong  string
	}{
		"as measured":              {func(n, i int) int { return n }, ""},
		"a template":               {func(n, i int) int { return n + 17 }, ""},
		"one that joins a token":   {func(n, i int) int { return n + 17 - i%2 }, ""},
		"ten times":                {func(n, i int) int { return 10 * n }, "counts 320 input tokens where 32 were sent"},
		"ten times, and a chat's":  {func(n, i int) int { return 10 * (n + 7) }, "counts 390 input tokens where 32 were sent"},
		"cut to half, as num_ctx":  {func(n, i int) int { return min(n, 16) }, "counts 16 input tokens where 32 were sent"},
		"now this many, now other": {func(n, i int) int { return n + 9*(i%2) }, "input tokens where 32 were sent"},
	} {
		t.Run(name, func(t *testing.T) {
			tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
				var text string
				for _, m := range a.Messages {
					text += m.Content
				}
				n := c.counts(len(strings.Fields(text)), int(a.number))
				say(w, 0, delta(`{"role":"assistant","content":""}`, "null")+strings.Repeat(delta(`{"content":"a"}`, "null"), a.MaxTokens)+
					delta("{}", `"length"`)+usage(n, a.MaxTokens)+done)
			})
			rec, err := Run(t.Context(), tg, measured{10, 32}, Options{Conc: 1, WarmUp: 3, Chat: true})
			require.NoError(t, err)
			s := rec.Summary(1)
			require.Equal(t, 10, s.Successful, s.Errors)
			assert.EqualValues(t, 320, *s.InputTokens)
			if c.wrong == "" {
				assert.Empty(t, rec.Contradictions)
			} else {
				assert.Contains(t, strings.Join(rec.Contradictions, "\n"), c.wrong)
			}
		})
	}
}

// Nobody counted a text's tokens, and the server does not either: there is no
// figure that holds them, least of all one that counts them as none.
func TestInputTokensThatNobodyCounted(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		say(w, 0, repeat(3)+event(" a", `"length"`)+`data: {"choices":[],"usage":{"completion_tokens":4}}`+"\n\n"+done)
	})
	rec, err := Run(t.Context(), tg, &texts{"hello", "world"}, Options{Conc: 1})
	require.NoError(t, err)
	s := rec.Summary(1)
	assert.Equal(t, 2, s.Successful)
	assert.EqualValues(t, 8, s.OutputTokens)
	assert.Nil(t, s.InputTokens)
	assert.Nil(t, s.TotalThroughput)
	assert.Nil(t, s.TputPerGPU)
	assert.Empty(t, s.InputFrom)
	assert.Contains(t, strings.Join(rec.Notes, "\n"), "for 2 of 2 requests nobody counted the input tokens")
}

// Which chunks carried tokens is settled by the server's count: the right values,
// by instants that the server keeps. A step is 20 ms.
func TestChunksUsageAndFinishAreTrueTogether(t *testing.T) {
	const step = 20 * time.Millisecond
	chat := func(n int, fields string) (out []string) {
		for range n {
			out = append(out, delta(fields, "null"))
		}
		return out
	}
	text := func(n int, s string) (out []string) {
		for range n {
			out = append(out, event(s, "null"))
		}
		return out
	}
	all := func(parts ...any) (out []string) {
		for _, p := range parts {
			switch p := p.(type) {
			case string:
				out = append(out, p)
			case []string:
				out = append(out, p...)
			}
		}
		return out
	}
	role := delta(`{"role":"assistant","content":""}`, "null")
	for name, c := range map[string]struct {
		chat    bool
		events  []string
		end     string // comes with the last of events
		chunks  int
		tokens  int
		ttft    int // in steps
		e2el    int
		untimed int64
		from    string
		notes   []string
		wrong   string
	}{
		"chat, special tokens": {chat: true, events: all(role, chat(2, `{"content":"a"}`), chat(2, `{"content":""}`)), end: delta("{}", `"length"`) + usage(8, 4),
			chunks: 4, tokens: 4, ttft: 1, e2el: 4, from: "usage"},
		"chat, only special tokens": {chat: true, events: all(role, chat(4, `{"content":""}`)), end: delta("{}", `"length"`) + usage(8, 4),
			chunks: 4, tokens: 4, ttft: 1, e2el: 4, from: "usage", notes: []string{"in 1 of 1 answers the first token, by the server's count, came in a chunk without text"}},
		"chat, special tokens are not sent": {chat: true, events: all(role, chat(2, `{"content":"a"}`), ": wait\n\n", ": wait\n\n", delta("{}", `"length"`)), end: usage(8, 4),
			chunks: 3, tokens: 4, ttft: 1, e2el: 5, untimed: 1, from: "usage", notes: []string{"1 of 4 output tokens came in no chunk of their own (1.33 tokens a chunk)"}},
		"completions, half characters": {events: all(text(1, "a"), text(2, ""), text(1, "a")), end: event("", `"length"`) + usage(8, 4),
			chunks: 4, tokens: 4, ttft: 0, e2el: 3, from: "usage"},
		"completions, an empty chunk at once": {events: all(text(1, ""), text(4, "a")), end: usage(8, 4),
			chunks: 4, tokens: 4, ttft: 1, e2el: 4, from: "usage", notes: []string{"1 chunks without text were no tokens"}},
		"completions, an empty chunk in the middle": {events: all(text(2, "a"), text(1, ""), text(2, "a")), end: usage(8, 4),
			chunks: 4, tokens: 4, ttft: 0, e2el: 4, from: "usage", notes: []string{"1 chunks without text were no tokens"}},
		"all in one chunk": {events: all(text(1, "aaaa")), end: usage(8, 4),
			chunks: 1, tokens: 4, ttft: 0, e2el: 0, untimed: 3, from: "usage", notes: []string{"in 1 of 1 answers all tokens came at once: they have no TPOT"}},
		"two a chunk": {events: all(text(2, "aa")), end: usage(8, 4),
			chunks: 2, tokens: 4, ttft: 0, e2el: 1, untimed: 2, from: "usage", notes: []string{"2 of 4 output tokens came in no chunk of their own (2 tokens a chunk)"}},
		"two a chunk, a chat, with its mark behind": {chat: true, events: all(role, chat(2, `{"content":"aa"}`)), end: delta("{}", `"length"`) + usage(8, 4),
			chunks: 2, tokens: 4, ttft: 1, e2el: 2, untimed: 2, from: "usage"},
		"no usage": {events: all(text(3, "a")), end: event("a", `"length"`),
			chunks: 4, tokens: 4, ttft: 0, e2el: 2, from: "chunks"},
		"no usage, empty chunks too": {events: all(text(2, "a"), text(1, ""), text(2, "a")), end: event("", `"length"`),
			chunks: 4, tokens: 4, ttft: 0, e2el: 4, from: "chunks", notes: []string{"1 chunks without text were no tokens"}},
		"no usage, half of the chunks": {events: all(text(1, "a"), event("a", `"length"`)),
			chunks: 2, tokens: 2, ttft: 0, e2el: 1, from: "chunks", notes: []string{"for 1 of 1 answers the server says that max_tokens was reached, but fewer chunks came"},
			wrong: "2 chunks came for 4 tokens, and it sends no usage"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
				events := append([]string(nil), c.events...)
				events[len(events)-1] += c.end + done
				say(w, step, events...)
			})
			rec, err := Run(t.Context(), tg, measured{1, 8}, Options{Conc: 1, Chat: c.chat})
			require.NoError(t, err)
			x, s := rec.Timings[0], rec.Summary(1)
			require.Empty(t, x.Err)
			assert.Equal(t, c.chunks, x.Chunks)
			assert.Equal(t, c.chunks-1, x.ITL.Len())
			assert.Equal(t, c.tokens, x.OutputTokens)
			assert.Equal(t, c.untimed, s.Untimed)
			assert.Equal(t, c.from, s.TokensFrom)
			assert.InDelta(t, float64(c.tokens)/float64(c.chunks), *s.PerChunk, 1e-9)
			// Sleeping takes at least as long as it says: instants are bounded below by
			// the server's steps, and told from the next one by half a step.
			steps := func(d time.Duration) float64 { return float64(d) / float64(step) }
			assert.GreaterOrEqual(t, steps(x.TTFT()), float64(c.ttft))
			assert.GreaterOrEqual(t, steps(x.E2EL()-x.TTFT()), float64(c.e2el-c.ttft)-0.5)
			if c.e2el == c.ttft {
				assert.Equal(t, x.First, x.Last)
				assert.Nil(t, s.TPOT.Median, "none, and not zero")
				assert.Nil(t, s.Interactivity)
			} else {
				assert.InEpsilon(t, float64(x.Last-x.First)/1e6/float64(c.tokens-1), *s.TPOT.Median, 1e-9)
			}
			for _, n := range c.notes {
				assert.Contains(t, strings.Join(rec.Notes, "\n"), n)
			}
			if len(c.notes) == 0 && c.untimed == 0 {
				assert.Empty(t, rec.Notes)
			}
			if c.wrong == "" {
				assert.Empty(t, rec.Contradictions)
			} else {
				assert.Contains(t, strings.Join(rec.Contradictions, "\n"), c.wrong)
			}
		})
	}
}

// Every key under which servers send what tokens spell is a token's chunk, with
// or without a usage.
func TestKeysThatHoldText(t *testing.T) {
	for _, fields := range []string{`{"content":"a"}`, `{"reasoning":"a"}`, `{"reasoning_content":"a"}`, `{"thinking":"a"}`, `{"refusal":"a"}`,
		`{"reasoning_details":[{"type":"reasoning.text","text":"a"}]}`, `{"tool_calls":[{"index":0,"function":{"arguments":"{"}}]}`, `{"function_call":{"arguments":"{"}}`} {
		c, err := parseChunk([]byte(strings.TrimPrefix(strings.TrimSpace(delta(fields, "null")), "data: ")))
		require.NoError(t, err)
		assert.True(t, c.text, fields)
	}
	// A key that nobody knows: the server's count says that it came with a token.
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		say(w, 0, strings.Repeat(delta(`{"audio":{"data":"AAAA"}}`, "null"), 4)+delta("{}", `"length"`)+usage(8, 4)+done)
	})
	rec, err := Run(t.Context(), tg, measured{1, 8}, Options{Conc: 1, Chat: true})
	require.NoError(t, err)
	assert.Empty(t, rec.Timings[0].Err)
	assert.Equal(t, 4, rec.Timings[0].Chunks)
}

// A server that sends several tokens a chunk is asked for its count at each: then
// each gap is spread over the tokens that it brought.
func TestITLPerToken(t *testing.T) {
	var asked_ []bool
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		asked_ = append(asked_, a.Options.Continuous)
		with := func(n int) string {
			if !a.Options.Continuous {
				return `,"usage":null`
			}
			return fmt.Sprintf(`,"usage":{"prompt_tokens":8,"completion_tokens":%d}`, n)
		}
		chunk := func(n int) string {
			return `data: {"choices":[{"index":0,"text":"aa","finish_reason":null}]` + with(n) + "}\n\n"
		}
		say(w, 20*time.Millisecond, chunk(2), chunk(3), chunk(4)+usage(8, 4)+done)
	})
	rec, err := Run(t.Context(), tg, measured{2, 8}, Options{Conc: 1, WarmUp: 1})
	require.NoError(t, err)
	assert.Equal(t, []bool{false, true, true, true}, asked_, "the warm-up, a try, and two that are measured")
	x, s := rec.Timings[0], rec.Summary(1)
	require.Empty(t, x.Err)
	assert.Equal(t, 3, x.Chunks)
	assert.Equal(t, 2, x.Known.First)
	assert.Equal(t, 2, x.Known.ITL.Len())
	assert.InDelta(t, 4.0/3, *s.PerChunk, 1e-9)
	require.NotNil(t, s.ITLPerToken)
	assert.Contains(t, strings.Join(rec.Notes, "\n"), "in 2 of 2 answers the first chunk carried several tokens: TTFT is to the last of them")

	// Without the counts there is no such figure.
	tg = fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		say(w, 0, event("aa", "null")+event("aa", `"length"`)+usage(8, 4)+done)
	})
	assert.Nil(t, run(t, tg, 2, Options{Conc: 1, WarmUp: 1}).Summary(1).ITLPerToken)
}

// Counts of each chunk that cannot be are not used.
func TestCountsOfChunksThatCannotBe(t *testing.T) {
	for name, counts := range map[string][]int{"zero until the end": {0, 0, 0, 4}, "falling": {3, 2, 3, 4}, "all at once": {4, 4, 4, 4}, "beyond the whole": {1, 2, 3, 9}} {
		tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
			var out string
			for _, n := range counts {
				out += fmt.Sprintf(`data: {"choices":[{"index":0,"text":"a"}],"usage":{"prompt_tokens":8,"completion_tokens":%d}}`, n) + "\n\n"
			}
			say(w, 0, out+usage(8, 4)+done)
		})
		x := run(t, tg, 1, Options{Conc: 1}).Timings[0]
		assert.Empty(t, x.Err, name)
		assert.Equal(t, 4, x.Chunks, name)
		assert.Zero(t, x.Known.First, name)
	}
}

// Words that end an answer well, and words that say it was given up.
func TestFinishReasons(t *testing.T) {
	for reason, bad := range map[string]bool{`"stop"`: false, `"length"`: false, `"tool_calls"`: false, `"function_call"`: false, `"eos_token"`: false, `"eos"`: false,
		`"STOP"`: false, `"MAX_TOKENS"`: false, `"end_turn"`: false, `{"type":"length","length":4}`: false,
		`"abort"`: true, `"error"`: true, `"cancelled"`: true, `"content_filter"`: true, `"SAFETY"`: true, `"timeout"`: true, `{"type":"abort"}`: true} {
		tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
			io.WriteString(w, repeat(4)+event("", reason)+usage(8, 4)+done)
		})
		x := run(t, tg, 1, Options{Conc: 1}).Timings[0]
		if !bad {
			assert.Empty(t, x.Err, reason)
			continue
		}
		word := strings.Trim(strings.TrimPrefix(reason, `{"type":`), `"}`)
		assert.Contains(t, x.Err, fmt.Sprintf("after 4 of 4 tokens the server gave the answer up: finish_reason %q", word))
	}
	// One that is empty, false, or the word for nothing ends nothing: the stream that breaks off is one that broke off.
	for _, reason := range []string{`""`, "null", "false", `"null"`, `"None"`, `"NONE"`} {
		tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
			io.WriteString(w, strings.Repeat(event(" a", reason), 3))
		})
		rec := run(t, tg, 1, Options{Conc: 1, ExtraBody: raw{"ignore_eos": []byte("null")}})
		assert.Contains(t, rec.Timings[0].Err, "stream ended after 3 of 4 tokens: the server closed the connection", reason)
	}
}

// A server that says of every chunk that it is the last, with or without a count,
// is read to its end, however long that takes.
func TestEndThatIsSaidOfEveryChunk(t *testing.T) {
	for name, chunk := range map[string]string{
		"no count":         event(" a", `"stop"`),
		"a count with all": strings.Replace(event(" a", `"stop"`), `}]}`, `}],"usage":{"prompt_tokens":8,"completion_tokens":0}}`, 1),
	} {
		tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
			say(w, drainTimeout/2, chunk, chunk, chunk, chunk, usage(8, 4)+done)
		})
		x := run(t, tg, 1, Options{Conc: 1}).Timings[0]
		assert.Empty(t, x.Err, name)
		assert.Equal(t, 4, x.Chunks, name)
	}
	// One that then falls silent has not answered in time.
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		say(w, 10*time.Millisecond, event(" a", `"stop"`), event(" a", `"stop"`))
		<-r.Context().Done()
	})
	x := run(t, tg, 1, Options{Conc: 1, RequestTimeout: 300 * time.Millisecond}).Timings[0]
	assert.Contains(t, x.Err, "stream ended after 2 of 4 tokens: no answer within REQUEST_TIMEOUT")
}

// A count of 0 beside an answer that ends is none yet: the count at the end may
// come late.
func TestCountThatComesAfterTheEnd(t *testing.T) {
	early := `}],"usage":{"prompt_tokens":8,"completion_tokens":0}}`
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		say(w, 10*tidyGrace, repeat(3)+strings.Replace(event(" a", `"length"`), `}]}`, early, 1), usage(8, 4)+done)
	})
	x := run(t, tg, 1, Options{Conc: 1}).Timings[0]
	assert.Empty(t, x.Err)
	assert.Equal(t, 4, x.OutputTokens)
}

// An error's key that says nothing is no error, and a usage that is nothing no count.
func TestKeysThatSayNothing(t *testing.T) {
	for _, extra := range []string{`"error":""`, `"error":false`, `"error":{}`, `"error":[]`, `"error":0`, `"error":null`, `"usage":""`, `"usage":[]`, `"usage":{}`} {
		tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
			e := strings.Replace(event(" a", "null"), `{"id"`, "{"+extra+`,"id"`, 1)
			io.WriteString(w, strings.Repeat(e, 4)+usage(8, 4)+done)
		})
		assert.Empty(t, run(t, tg, 1, Options{Conc: 1}).Timings[0].Err, extra)
	}
	for _, extra := range []string{`"error":"x"`, `"error":{"message":"x"}`, `"error":true`, `"error":500`} {
		c, err := parseChunk([]byte(`{"choices":[{"text":"a"}],` + extra + `}`))
		require.NoError(t, err)
		assert.True(t, c.failed, extra)
	}
}

// Streams as the HTML standard has them, in reads of every size.
func TestEventStreamsOfTheStandard(t *testing.T) {
	want := []string{"one", "two\nlines", "three", "[DONE]"}
	stream := "data: one\n\nid: 1\ndata:two\ndata: lines\nretry: 5\n\n: comment\n\ndata\n\nevent: token\ndata: three\n\ndata: [DONE]\n\n"
	for name, body := range map[string]string{
		"\\n": stream, "\\r\\n": strings.ReplaceAll(stream, "\n", "\r\n"), "\\r": strings.ReplaceAll(stream, "\n", "\r"),
		"mixed":             strings.Replace(strings.ReplaceAll(stream, "\n\n", "\r\n\n"), "one\r\n\n", "one\r\r\n", 1),
		"a byte order mark": "\xef\xbb\xbf" + stream,
		"no blank line":     strings.TrimSuffix(stream, "\n"),
	} {
		head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body))
		for piece := 1; piece <= len(head)+len(body); piece++ {
			got, err := drain([]byte(head+body), piece)
			require.ErrorIs(t, err, io.EOF)
			require.Equal(t, want, got, "%s, %d bytes a read", name, piece)
		}
	}
	for _, end := range []string{"[DONE]", " [DONE] ", "[DONE]\t", "  [DONE]"} {
		assert.True(t, isDone([]byte(end)), "%q", end)
	}
	assert.False(t, isDone([]byte("DONE")))
}

// An event of a stream whose lines end in \r alone is seen when its blank line
// came, not with what follows.
func TestLineEndThatMayHaveASecondHalf(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		var events []string
		for range 4 {
			events = append(events, strings.ReplaceAll(event(" a", "null"), "\n", "\r"))
		}
		say(w, 10*time.Millisecond, append(events, usage(8, 4)+done)...)
	})
	x := run(t, tg, 1, Options{Conc: 1}).Timings[0]
	require.Empty(t, x.Err)
	assert.Equal(t, 4, x.Chunks)
	assert.Zero(t, x.Bundled)
}

// The server's own words reach the user, in whatever form it puts them.
func TestErrorsOfTheServersOwnWords(t *testing.T) {
	const full = "the KV cache is full"
	for name, body := range map[string]string{
		"detail":                 `data: {"detail":"` + full + `"}` + "\n\n",
		"error event":            "event: error\n" + `data: {"code":503,"message":"` + full + `"}` + "\n\n",
		"error event, no JSON":   "event: error\ndata: " + full + "\n\n",
		"code and message":       `data: {"code":503,"message":"` + full + `"}` + "\n\n",
		"error text":             `data: {"error":"` + full + `"}` + "\n\n",
		"error object":           `data: {"error":{"message":"` + full + `","type":"x","code":500}}` + "\n\n",
		"object error":           `data: {"object":"error","message":"` + full + `","code":500}` + "\n\n",
		"type error":             `data: {"type":"error","error":{"type":"overloaded_error","message":"` + full + `"}}` + "\n\n",
		"gRPC":                   `data: {"code":14,"message":"` + full + `","details":[]}` + "\n\n",
		"gRPC gateway":           `data: {"error":{"code":14,"message":"` + full + `","status":"UNAVAILABLE"}}` + "\n\n",
		"no event":               `{"error":{"message":"` + full + `"}}`,
		"no event, with a break": `{"detail":"` + full + `"}` + "\n\n",
	} {
		for _, before := range []int{0, 3} {
			t.Run(fmt.Sprintf("%s after %d tokens", name, before), func(t *testing.T) {
				tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
					if before == 0 && !strings.HasPrefix(body, "data:") && !strings.HasPrefix(body, "event:") {
						w.Header().Set("Content-Type", "application/json")
					}
					say(w, 0, repeat(before)+body)
				})
				x := run(t, tg, 1, Options{Conc: 1}).Timings[0]
				assert.Contains(t, x.Err, full)
				assert.Contains(t, hint.Text(x.Err, x.Advice), "ran out of KV cache")
			})
		}
	}
}

// What a server says in the middle of a stream is told, though the stream then ends
// as it should.
func TestWordsBeforeAnEarlyEnd(t *testing.T) {
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		io.WriteString(w, repeat(2)+"upstream timed out\n\n"+done)
	})
	x := run(t, tg, 1, Options{Conc: 1}).Timings[0]
	assert.Contains(t, x.Err, "the server stopped after 2 of 4 tokens though ignore_eos was asked; the server had said: "+
		"upstream timed out")
}

// A count and chunks that cannot both be.
func TestCountBelowItsChunks(t *testing.T) {
	for name, c := range map[string]struct {
		counted int
		err     string
		wrong   string
	}{
		"none":        {0, "the server counts 0 tokens, but 4 chunks with text came", ""},
		"too few":     {1, "the server counts 1 tokens, but 4 chunks with text came", ""},
		"half":        {2, "", "for 1 of 1 answers the server counts fewer tokens than chunks with text came, 2 for 4"},
		"one for one": {4, "", ""},
	} {
		tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
			say(w, 0, repeat(3)+event(" a", `"stop"`)+usage(8, c.counted)+done)
		})
		rec := run(t, tg, 1, Options{Conc: 1, ExtraBody: raw{"ignore_eos": []byte("null")}})
		if c.err != "" {
			assert.Contains(t, rec.Timings[0].Err, c.err, name)
			continue
		}
		assert.Empty(t, rec.Timings[0].Err, name)
		assert.Equal(t, c.wrong, strings.Join(rec.Contradictions, "\n"), name)
	}
}

// The embedded engine sends four tokens a chunk and, asked, its count with each.
func TestEngineThatSendsSeveralTokensAChunk(t *testing.T) {
	_, tg := embedded(t, engine.Config{Tune: func(p *schedule.Profile) { p.Limits.DecodeRounds = 4 }})
	for _, chat := range []bool{false, true} {
		rec, err := Run(t.Context(), tg, sentences{6}, Options{Conc: 2, WarmUp: 2, Chat: chat})
		require.NoError(t, err)
		s := rec.Summary(1)
		require.Equal(t, 6, s.Successful, s.Errors)
		assert.Empty(t, rec.Contradictions)
		assert.Greater(t, *s.PerChunk, 2.0)
		assert.Positive(t, s.Untimed)
		assert.Equal(t, "usage", s.TokensFrom)
		require.NotNil(t, s.ITLPerToken)
		assert.Less(t, *s.ITLPerToken.Mean, *s.ITL.Mean)
	}
}

// sentences are texts whose tokens nobody counted.
type sentences struct{ n int }

func (x sentences) Len() int { return x.n }
func (x sentences) Request(i int) (workload.Request, error) {
	return workload.Request{Index: i, Text: fmt.Sprintf("Sentence %d of some.", i), OutputLen: 32}, nil
}

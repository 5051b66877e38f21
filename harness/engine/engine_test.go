package engine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// No test may leave a goroutine behind: an engine that was closed is gone.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs an engine for a test.
func start(t testing.TB, cfg Config) *Engine {
	e, err := Start(cfg)
	require.NoError(t, err)
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		assert.NoError(t, e.Close())
	})
	return e
}

// post sends a body and returns status and answer.
func post(t testing.TB, url, body string) (int, string) {
	resp, err := http.Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

// events reads a stream's data lines, [DONE] included.
func events(t testing.TB, url, body string) []string {
	status, text := post(t, url, body)
	require.Equal(t, 200, status, text)
	var out []string
	for line := range strings.SplitSeq(text, "\n\n") {
		if line != "" {
			require.True(t, strings.HasPrefix(line, "data: "), line)
			out = append(out, strings.TrimPrefix(line, "data: "))
		}
	}
	return out
}

type completion struct {
	ID      string
	Choices []struct {
		Index        int
		Text         string
		FinishReason *string `json:"finish_reason"`
		Logprobs     *struct {
			Tokens        []string
			TokenLogprobs []*float64           `json:"token_logprobs"`
			TopLogprobs   []map[string]float64 `json:"top_logprobs"`
			TextOffset    []int                `json:"text_offset"`
		}
	}
	Usage *struct {
		PromptTokens        int `json:"prompt_tokens"`
		CompletionTokens    int `json:"completion_tokens"`
		PromptTokensDetails struct {
			CachedTokens int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
		TotalTokens int `json:"total_tokens"`
	}
}

func decode(t testing.TB, s string) (c completion) {
	require.NoError(t, json.Unmarshal([]byte(s), &c), s)
	return c
}

func TestStreamedAndWholeSayTheSame(t *testing.T) {
	e := start(t, Config{})
	for name, ask := range map[string]string{
		"greedy":   `"prompt":"The scheduler","max_tokens":50,"temperature":0,"ignore_eos":true`,
		"seeded":   `"prompt":"The scheduler","max_tokens":80,"temperature":0.9,"seed":7`,
		"stop":     `"prompt":"The scheduler","max_tokens":80,"temperature":0,"stop":["time to","same"]`,
		"bytes":    `"prompt":[0,1,200,255,254,128,257,256],"max_tokens":64,"temperature":30,"seed":3,"ignore_eos":true`,
		"n":        `"prompt":"A","max_tokens":20,"temperature":1,"seed":1,"n":3`,
		"logprobs": `"prompt":"The cache é","max_tokens":9,"temperature":0,"logprobs":2,"echo":true`,
	} {
		t.Run(name, func(t *testing.T) {
			status, body := post(t, e.URL()+"/v1/completions", "{"+ask+"}")
			require.Equal(t, 200, status, body)
			want := decode(t, body)
			evs := events(t, e.URL()+"/v1/completions", `{"stream":true,"stream_options":{"include_usage":true},`+ask+"}")
			require.Equal(t, "[DONE]", evs[len(evs)-1])
			text := map[int]string{}
			finish := map[int]string{}
			var offsets []int
			for _, ev := range evs[:len(evs)-2] {
				c := decode(t, ev)
				require.Len(t, c.Choices, 1)
				ch := c.Choices[0]
				text[ch.Index] += ch.Text
				if ch.FinishReason != nil {
					finish[ch.Index] = *ch.FinishReason
				}
				if ch.Logprobs != nil {
					offsets = append(offsets, ch.Logprobs.TextOffset...)
				}
			}
			last := decode(t, evs[len(evs)-2])
			assert.Empty(t, last.Choices)
			assert.Equal(t, want.Usage, last.Usage)
			assert.Equal(t, len(evs)-2, last.Usage.CompletionTokens, "one event a token")
			for _, ch := range want.Choices {
				assert.Equal(t, ch.Text, text[ch.Index])
				assert.Equal(t, *ch.FinishReason, finish[ch.Index])
				if ch.Logprobs != nil {
					assert.Equal(t, ch.Logprobs.TextOffset, offsets)
				}
			}
		})
	}
}

// What lm-evaluation-harness sends to score a window, and what it expects back.
func TestEchoScoresAPrompt(t *testing.T) {
	e := start(t, Config{})
	ids := append([]int32{256}, tokenize("The time between tokens is the é.", false)...)
	b, _ := json.Marshal(ids)
	status, body := post(t, e.URL()+"/v1/completions",
		fmt.Sprintf(`{"model":"inferbench-ngram","prompt":%s,"max_tokens":1,"temperature":0,"logprobs":1,"echo":true,"seed":1234}`, b))
	require.Equal(t, 200, status, body)
	lp := decode(t, body).Choices[0].Logprobs
	require.Len(t, lp.TokenLogprobs, len(ids)+1, "every prompt token and the one generated")
	require.Len(t, lp.Tokens, len(ids)+1)
	require.Len(t, lp.TopLogprobs, len(ids)+1)
	assert.Nil(t, lp.TokenLogprobs[0])
	assert.Nil(t, lp.TopLogprobs[0])
	v, s := e.model.View(0), e.model.Start()
	for i, id := range ids[1:] {
		assert.Equal(t, v.LogProb(s, id), *lp.TokenLogprobs[i+1], "position %d", i+1)
		best := tokenText(v.Best(s))
		assert.Contains(t, lp.TopLogprobs[i+1], best)
		assert.Contains(t, lp.TopLogprobs[i+1], tokenText(id))
		s = v.Next(s, id)
	}
	assert.Equal(t, []int{0, 0, 1, 2}, lp.TextOffset[:4], "BOS has no text")
}

func TestTokenizeAndBack(t *testing.T) {
	e := start(t, Config{})
	_, body := post(t, e.URL()+"/tokenize", `{"prompt":"né\n","add_special_tokens":false}`)
	assert.JSONEq(t, `{"count":4,"max_model_len":262144,"tokens":[110,195,169,10],"token_strs":null}`, body)
	_, body = post(t, e.URL()+"/tokenize", `{"prompt":"a"}`)
	assert.Contains(t, body, `"tokens":[256,97]`)
	_, body = post(t, e.URL()+"/detokenize", `{"tokens":[256,110,195,169,10,257]}`)
	assert.JSONEq(t, `{"prompt":"<|bos|>né\n<|eos|>"}`, body)
}

// SGLang takes lists too, and its text comes under another name.
func TestTokenizeAsSGLang(t *testing.T) {
	e := start(t, Config{Dialect: SGLang})
	for _, c := range []struct {
		path, body, want string
		status           int
	}{
		{"/tokenize", `{"prompt":"né","add_special_tokens":false}`, `{"count":3,"max_model_len":262144,"tokens":[110,195,169]}`, 200},
		{"/v1/tokenize", `{"prompt":["a","bc"]}`, `{"count":[2,3],"max_model_len":262144,"tokens":[[256,97],[256,98,99]]}`, 200},
		{"/detokenize", `{"tokens":[256,110,195,169,257]}`, `{"text":"né"}`, 200},
		{"/detokenize", `{"tokens":[256,97],"skip_special_tokens":false}`, `{"text":"<|bos|>a"}`, 200},
		{"/v1/detokenize", `{"tokens":[[97],[98,99]]}`, `{"text":["a","bc"]}`, 200},
		{"/detokenize", `{"tokens":[]}`, `{"text":""}`, 200},
		{"/tokenize", `{"prompt":7}`, "", 400}, {"/tokenize", `{}`, "", 400}, {"/detokenize", `{"tokens":"a"}`, "", 400},
		{"/detokenize", `{}`, "", 400}, {"/detokenize", `{"tokens":[[97],[-1]]}`, "", 400},
	} {
		status, body := post(t, e.URL()+c.path, c.body)
		assert.Equal(t, c.status, status, "%s %s: %s", c.path, c.body, body)
		if c.want != "" {
			assert.JSONEq(t, c.want, body, c.path)
		}
	}
}

// A stream gives its connection back: a hundred of them need no more
// connections than run at once.
func TestConnectionsAreKept(t *testing.T) {
	e := start(t, Config{})
	for range 20 {
		events(t, e.URL()+"/v1/completions", `{"prompt":[65,66],"max_tokens":3,"stream":true}`)
		post(t, e.URL()+"/v1/completions", `{"prompt":[65,66],"max_tokens":3}`)
	}
	e.listener.mu.Lock()
	defer e.listener.mu.Unlock()
	assert.Len(t, e.listener.open, 1)
}

// BenchmarkStreams measures what a streamed token costs, client included: 64
// streams of 1,024 tokens an iteration.
func BenchmarkStreams(b *testing.B) {
	for _, conc := range []int{4, 64} {
		b.Run(fmt.Sprintf("conc=%d", conc), func(b *testing.B) {
			e := start(b, Config{})
			var wg sync.WaitGroup
			for c := range conc {
				wg.Go(func() {
					ids := make([]int, 1024)
					for i := range b.N {
						for k := range ids {
							ids[k] = (c*7 + i*13 + k*k) % 256
						}
						p, _ := json.Marshal(ids)
						resp, err := http.Post(e.URL()+"/v1/completions", "application/json", bytes.NewReader(
							fmt.Appendf(nil, `{"prompt":%s,"max_tokens":1024,"temperature":0,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`, p)))
						if err != nil {
							b.Error(err)
							return
						}
						sc := bufio.NewScanner(resp.Body)
						n := 0
						for sc.Scan() {
							if len(sc.Bytes()) > 0 {
								n++
							}
						}
						resp.Body.Close()
						if n != 1026 {
							b.Errorf("%d events", n)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N*conc*1024)/b.Elapsed().Seconds(), "tok/s")
			b.ReportMetric(float64(e.ranks[0].counters.late.Load())/1e9/b.Elapsed().Seconds(), "late-share")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(e.ranks[0].counters.steps.Load()), "µs/step")
		})
	}
}

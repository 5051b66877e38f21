package engine

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine/schedule"
)

func get(t testing.TB, url string) (int, string) {
	resp, err := http.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(b)
}

// What each dialect offers, and that the other answers 404 to it.
func TestDialects(t *testing.T) {
	only := map[Dialect][]string{
		VLLM:   {"GET /version", "GET /tokenizer_info"},
		SGLang: {"POST /generate", "GET /get_model_info", "GET /get_server_info", "GET /health_generate", "POST /flush_cache"},
		Both:   {"GET /health", "GET /v1/models", "POST /v1/completions", "POST /v1/chat/completions", "GET /metrics", "POST /tokenize", "POST /detokenize"},
	}
	for _, d := range []Dialect{Both, VLLM, SGLang} {
		e := start(t, Config{Dialect: d})
		for of, list := range only {
			for _, endpoint := range list {
				method, path, _ := strings.Cut(endpoint, " ")
				req, _ := http.NewRequest(method, e.URL()+path, strings.NewReader("{}"))
				resp, err := http.DefaultClient.Do(req)
				require.NoError(t, err)
				resp.Body.Close()
				offered := d == Both || of == Both || of == d
				assert.Equal(t, offered, resp.StatusCode != 404, "%s in dialect %q: %d", endpoint, d, resp.StatusCode)
			}
		}
	}
	e := start(t, Config{Dialect: SGLang})
	status, body := post(t, e.URL()+"/v1/completions", `{"prompt":"The","max_tokens":1,"echo":true,"logprobs":1}`)
	assert.Equal(t, 400, status)
	assert.Contains(t, body, "Echo is not compatible with logprobs")
	_, err := Start(Config{Dialect: "tgi"})
	assert.ErrorContains(t, err, `dialect "tgi"`)
}

type generated struct {
	Text      string
	OutputIDs []int `json:"output_ids"`
	Index     int
	MetaInfo  struct {
		ID           string
		FinishReason *struct {
			Type    string
			Length  int
			Matched any
		} `json:"finish_reason"`
		PromptTokens     int      `json:"prompt_tokens"`
		CompletionTokens int      `json:"completion_tokens"`
		Input            [][3]any `json:"input_token_logprobs"`
		Output           [][3]any `json:"output_token_logprobs"`
	} `json:"meta_info"`
}

// SGLang's native endpoint scores a prompt as /v1/completions does.
func TestGenerate(t *testing.T) {
	e := start(t, Config{})
	const prompt = "The time between tokens"
	status, body := post(t, e.URL()+"/generate", `{"rid":"r1","text":"`+prompt+`","sampling_params":{"max_new_tokens":6,"temperature":0},"return_logprob":true,"logprob_start_len":0}`)
	require.Equal(t, 200, status, body)
	var g generated
	require.NoError(t, json.Unmarshal([]byte(body), &g))
	assert.Equal(t, "r1", g.MetaInfo.ID)
	assert.Len(t, g.OutputIDs, 6)
	assert.Equal(t, "length", g.MetaInfo.FinishReason.Type)
	require.Len(t, g.MetaInfo.Input, len(prompt)+1)
	require.Len(t, g.MetaInfo.Output, 6)
	assert.Nil(t, g.MetaInfo.Input[0][0])

	_, body = post(t, e.URL()+"/v1/completions", `{"prompt":"`+prompt+`","max_tokens":6,"temperature":0,"logprobs":1,"echo":true}`)
	lp := decode(t, body).Choices[0].Logprobs
	for i, want := range lp.TokenLogprobs[1:] {
		all := append(g.MetaInfo.Input, g.MetaInfo.Output...)
		assert.Equal(t, *want, all[i+1][0], "position %d", i+1)
	}

	// only the end of the prompt
	_, body = post(t, e.URL()+"/generate", `{"text":"`+prompt+`","sampling_params":{"max_new_tokens":1,"temperature":0},"return_logprob":true,"logprob_start_len":20}`)
	var part generated
	require.NoError(t, json.Unmarshal([]byte(body), &part))
	require.Len(t, part.MetaInfo.Input, len(prompt)+1-20)
	assert.Nil(t, part.MetaInfo.Input[0][0], "the first has none, wherever it is")
	assert.Equal(t, g.MetaInfo.Input[21], part.MetaInfo.Input[1])

	// a stream repeats the whole text
	evs := events(t, e.URL()+"/generate", `{"text":"`+prompt+`","sampling_params":{"max_new_tokens":6,"temperature":0},"stream":true}`)
	require.Len(t, evs, 7)
	for i, ev := range evs[:6] {
		var s generated
		require.NoError(t, json.Unmarshal([]byte(ev), &s))
		assert.Equal(t, g.Text[:i+1], s.Text)
		assert.Equal(t, i+1, s.MetaInfo.CompletionTokens)
	}

	status, body = post(t, e.URL()+"/generate", `{"input_ids":[[65],[66,67]],"sampling_params":{"max_new_tokens":1}}`)
	require.Equal(t, 200, status, body)
	var list []generated
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	assert.Len(t, list, 2)
	assert.Equal(t, 2, list[1].MetaInfo.PromptTokens)
	status, _ = post(t, e.URL()+"/generate", `{"sampling_params":{}}`)
	assert.Equal(t, 400, status)
}

// Decode noise must not touch what a prompt scores, and must touch what is
// written: that is the accident it stands for.
func TestDecodeNoiseIsSeenInDecodeAlone(t *testing.T) {
	const ask = `{"prompt":"The server that answers","max_tokens":24,"temperature":0,"logprobs":1,"echo":true}`
	clean, damaged := start(t, Config{}), start(t, Config{DecodeNoise: 1})
	_, a := post(t, clean.URL()+"/v1/completions", ask)
	_, b := post(t, damaged.URL()+"/v1/completions", ask)
	want, got := decode(t, a).Choices[0].Logprobs, decode(t, b).Choices[0].Logprobs
	prompt := len("The server that answers") + 1
	assert.Equal(t, want.TokenLogprobs[:prompt+1], got.TokenLogprobs[:prompt+1], "the prompt, and the first token, which prefill gives")
	assert.NotEqual(t, want.TokenLogprobs[prompt+1:], got.TokenLogprobs[prompt+1:])
}

// 128K ids in, one token out.
func TestLongPrompt(t *testing.T) {
	e := start(t, Config{})
	ids := make([]int, 128<<10)
	rng := rand.New(rand.NewPCG(1, 1))
	for i := range ids {
		ids[i] = rng.IntN(256)
	}
	b, _ := json.Marshal(ids)
	status, body := post(t, e.URL()+"/v1/completions", `{"max_tokens":1,"prompt":`+string(b)+`,"temperature":0}`)
	require.Equal(t, 200, status, body)
	assert.Equal(t, len(ids), decode(t, body).Usage.PromptTokens)
	_, body = post(t, e.URL()+"/v1/completions", `{"max_tokens":1,"prompt":`+string(b)+`,"temperature":0}`)
	assert.Contains(t, body, fmt.Sprintf(`"cached_tokens":%d`, len(ids)-16), "the prefix cache has all but the last block")
}

// A request is told the tokens of both tiers, /metrics counts each tier's under
// both servers' names, and a reset of the device alone leaves the host's.
func TestCacheByTier(t *testing.T) {
	e := start(t, Config{KVTokens: 64, HostTokens: 256})
	ask := func(letter string) int {
		_, body := post(t, e.URL()+"/v1/completions",
			`{"max_tokens":1,"temperature":0,"prompt":"`+strings.Repeat(letter, 60)+`","add_special_tokens":false}`)
		return decode(t, body).Usage.PromptTokensDetails.CachedTokens
	}
	assert.Equal(t, []int{0, 48, 0, 48}, []int{ask("a"), ask("a"), ask("b"), ask("a")}, "48: three full blocks of 16")
	_, page := get(t, e.URL()+"/metrics")
	for _, line := range []string{
		`vllm:prefix_cache_queries_total{engine="0",model_name="inferbench-ngram"} 240`,
		`vllm:prefix_cache_hits_total{engine="0",model_name="inferbench-ngram"} 48`,
		`vllm:external_prefix_cache_queries_total{engine="0",model_name="inferbench-ngram"} 192`,
		`vllm:external_prefix_cache_hits_total{engine="0",model_name="inferbench-ngram"} 48`,
		`sglang:cached_tokens_total{model_name="inferbench-ngram",cache_source="device"} 48`,
		`sglang:cached_tokens_total{model_name="inferbench-ngram",cache_source="host"} 48`,
		`sglang:evicted_tokens_total{model_name="inferbench-ngram"} 96`,
		`sglang:load_back_tokens_total{model_name="inferbench-ngram"} 48`,
	} {
		assert.Contains(t, page, line+"\n")
	}
	post(t, e.URL()+"/reset_prefix_cache", "")
	assert.Equal(t, 48, ask("b"), "a's went from the device, b's are in the host tier")
	post(t, e.URL()+"/reset_prefix_cache?reset_external=true", "")
	assert.Zero(t, ask("b"))
	assert.Equal(t, 48, e.trace.find("")[4].HostTokens)
}

// Where a prompt's cached tokens were is told as SGLang does, of each request that asks.
func TestTiersAreToldWhereTheyAreAsked(t *testing.T) {
	e := start(t, Config{KVTokens: 64, HostTokens: 256})
	for _, letter := range []string{"a", "b"} { // b's push a's out to the host tier
		post(t, e.URL()+"/v1/completions", `{"max_tokens":1,"prompt":"`+strings.Repeat(letter, 60)+`","add_special_tokens":false}`)
	}
	const again = `"max_tokens":1,"temperature":0,"return_cached_tokens_details":true`
	prompt := strings.Repeat("a", 60)
	for _, c := range []struct{ path, body, want string }{
		{"/v1/completions", `{"prompt":"` + prompt + `","add_special_tokens":false,` + again + `}`,
			`,"sglext":{"cached_tokens_details":{"device":0,"host":48}}}`},
		{"/v1/completions", `{"prompt":"` + prompt + `","add_special_tokens":false,"stream":true,` + again + `}`,
			`"choices":[],"usage":null,"sglext":{"cached_tokens_details":{"device":48,"host":0}}}` + "\n\ndata: [DONE]"},
		{"/v1/chat/completions", `{"messages":[{"role":"user","content":"x"}],` + again + `}`,
			`"sglext":{"cached_tokens_details":{"device":0,"host":0}}`},
		{"/generate", `{"text":"` + prompt + `","sampling_params":{"max_new_tokens":1}}`,
			`"cached_tokens":0,"cached_tokens_details":{"device":0,"host":0}`},
	} {
		_, body := post(t, e.URL()+c.path, c.body)
		assert.Contains(t, body, c.want)
	}
	_, body := post(t, e.URL()+"/v1/completions", `{"prompt":"a","max_tokens":1}`)
	assert.NotContains(t, body, "sglext", "nobody asked")
}

func TestSeveralTokensAChunk(t *testing.T) {
	e := start(t, Config{Tune: func(p *schedule.Profile) { p.Limits.DecodeRounds = 4 }})
	evs := events(t, e.URL()+"/v1/completions", `{"prompt":"The","max_tokens":10,"temperature":0,"stream":true,"stream_options":{"include_usage":true}}`)
	var texts []string
	for _, ev := range evs[:len(evs)-2] {
		texts = append(texts, decode(t, ev).Choices[0].Text)
	}
	require.Len(t, texts, 4, "1, 4, 4 and 1 tokens")
	assert.Len(t, texts[1], 4)
	assert.Equal(t, 10, decode(t, evs[len(evs)-2]).Usage.CompletionTokens)
}

// A client that goes away frees what it held, whether its request runs or
// waits.
func TestDisconnectFreesTheRequest(t *testing.T) {
	e := start(t, Config{Tune: func(p *schedule.Profile) {
		p.Limits.MaxRunning = 1
		p.Cost.DecodeStep = []schedule.Point{{Batch: 1, Step: 5 * time.Millisecond}}
	}})
	ctx, cancel := context.WithCancel(t.Context())
	ask := func(stream bool) chan error {
		ended := make(chan error, 1)
		req, _ := http.NewRequestWithContext(ctx, "POST", e.URL()+"/v1/completions", strings.NewReader(fmt.Sprintf(`{"prompt":"The","max_tokens":100000,"ignore_eos":true,"stream":%v}`, stream)))
		go func() {
			resp, err := http.DefaultClient.Do(req)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			ended <- err
		}()
		return ended
	}
	a, b, c := ask(true), ask(true), ask(false)
	gauge := func() string {
		_, body := get(t, e.URL()+"/metrics")
		for line := range strings.SplitSeq(body, "\n") {
			if strings.HasPrefix(line, "vllm:num_requests_waiting") {
				return line[strings.LastIndex(line, " ")+1:]
			}
		}
		return ""
	}
	require.Eventually(t, func() bool { return gauge() == "2" }, 10*time.Second, 5*time.Millisecond)
	cancel()
	for _, ended := range []chan error{a, b, c} {
		assert.Error(t, <-ended)
	}
	status, _ := post(t, e.URL()+"/v1/completions", `{"prompt":"The","max_tokens":2}`)
	assert.Equal(t, 200, status, "the one place is free again")
	aborted := 0
	for _, r := range e.trace.find("") {
		if r.Finish == endAbort {
			aborted++
		}
	}
	assert.Equal(t, 3, aborted)
}

// A reader that reads nothing must not hold up the others, and gets everything
// in the end.
func TestSlowReaderHoldsNobodyUp(t *testing.T) {
	e := start(t, Config{})
	const tokens = 40_000 // some 8 MB of events: more than the sockets' buffers hold
	c, err := net.Dial("tcp", strings.TrimPrefix(e.URL(), "http://"))
	require.NoError(t, err)
	defer c.Close()
	body := fmt.Sprintf(`{"prompt":"The","max_tokens":%d,"temperature":0,"ignore_eos":true,"stream":true}`, tokens)
	fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)

	for range 3 {
		evs := events(t, e.URL()+"/v1/completions", `{"prompt":"A","max_tokens":500,"temperature":0,"ignore_eos":true,"stream":true}`)
		assert.Len(t, evs, 501)
	}
	require.Eventually(t, func() bool { return e.ranks[0].counters.generated.Load() >= tokens+1500 }, time.Minute, 5*time.Millisecond,
		"the slow reader's tokens are made though it has read nothing")
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	all, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, tokens+1, bytes.Count(all, []byte("data: ")), "one event a token, and [DONE]")
	assert.Equal(t, 1, bytes.Count(all, []byte(`"finish_reason":"length"`)))
}

// Two requests sent at once on one connection are answered one after the other.
func TestPipelinedRequests(t *testing.T) {
	e := start(t, Config{})
	c, err := net.Dial("tcp", strings.TrimPrefix(e.URL(), "http://"))
	require.NoError(t, err)
	defer c.Close()
	one := func(body string) string {
		return fmt.Sprintf("POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
	const stream = `{"prompt":"The","max_tokens":5,"temperature":0,"stream":true}`
	fmt.Fprint(c, one(stream)+one(stream)+one(`{"prompt":"The","max_tokens":5,"temperature":0}`))
	r := bufio.NewReader(c)
	for i := range 3 {
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err, "answer %d", i)
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Equal(t, []int{6, 6, 0}[i], bytes.Count(b, []byte("data: ")))
	}
}

func TestTraceTellsOfEachRequest(t *testing.T) {
	e := start(t, Config{TraceTokens: 200})
	for i := range 10 {
		req, _ := http.NewRequest("POST", e.URL()+"/v1/completions", strings.NewReader(`{"prompt":"The","max_tokens":30,"temperature":0,"stream":true,"ignore_eos":true}`))
		req.Header.Set("X-Request-Id", fmt.Sprintf("mine-%d", i))
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		assert.Equal(t, fmt.Sprintf("mine-%d", i), resp.Header.Get("X-Request-Id"))
		_, err = io.Copy(io.Discard, resp.Body)
		require.NoError(t, err)
		resp.Body.Close()
	}
	status, body := get(t, e.URL()+"/inferbench/trace")
	require.Equal(t, 200, status)
	var out struct{ Requests []Trace }
	require.NoError(t, json.Unmarshal([]byte(body), &out))
	require.Len(t, out.Requests, 4, "30 tokens and 16 for the record make 46, of which 200 hold four")
	for i, r := range out.Requests {
		assert.Equal(t, fmt.Sprintf("mine-%d", i+6), r.ID)
		assert.Len(t, r.HandedNS, 30)
		assert.Less(t, r.ArrivedNS, r.QueuedNS)
		last := r.QueuedNS
		for _, at := range r.HandedNS {
			assert.Greater(t, at, last)
			last = at
		}
		assert.GreaterOrEqual(t, r.EndedNS, last)
		assert.Equal(t, endLength, r.Finish)
		assert.True(t, r.Streamed)
	}
	_, body = get(t, e.URL()+"/inferbench/trace?id=mine-8")
	require.NoError(t, json.Unmarshal([]byte(body), &out))
	assert.Len(t, out.Requests, 1)
}

func FuzzCutIDs(f *testing.F) {
	for _, s := range []string{`{"prompt":[1,2,3]}`, `{"a":"prompt","prompt" : [ 1 , 22 ] ,"b":[{"prompt":[4]}]}`, `{"prompt":[]}`, `{"prompt":[01]}`, `{"prompt":[-1]}`,
		`{"prompt":[1.5]}`, `{"prompt":[99999999999]}`, `{"prompt":"[1]"}`, `{"\"prompt":[1],"prompt":[2]}`, `[{"prompt":[1]}]`, `{"prompt":[1,`, `{"x":"\\","prompt":[7]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		rest, ids, ok := cutIDs(body, "prompt")
		assert.Equal(t, before, body, "the body stays as it was")
		if !ok || !json.Valid(body) {
			return
		}
		// What the fast reader takes out, encoding/json must find there too.
		var slow struct{ Prompt []int32 }
		if err := json.Unmarshal(body, &slow); err == nil && bytes.Count(body, []byte(`"prompt"`)) == 1 && !bytes.ContainsAny(body, `\`) {
			assert.Equal(t, slow.Prompt, ids)
		}
		assert.True(t, json.Valid(rest), "%s", rest)
	})
}

// One profile at a time.
func TestTheProfilerStartsAndStops(t *testing.T) {
	for _, d := range []Dialect{Both, VLLM, SGLang} {
		e := start(t, Config{Dialect: d})
		for _, c := range []struct {
			path   string
			status int
		}{
			{"/stop_profile", 400}, {"/start_profile", 200}, {"/start_profile", 400}, {"/stop_profile", 200}, {"/start_profile", 200},
		} {
			status, _ := post(t, e.URL()+c.path, "")
			assert.Equal(t, c.status, status, c.path)
		}
	}
}

// Ranks share the requests, and each tells what it had to do.
func TestRanks(t *testing.T) {
	e := start(t, Config{Ranks: 2, GPUs: 8})
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			status, _ := post(t, e.URL()+"/v1/completions", fmt.Sprintf(`{"prompt":"number %d","max_tokens":64,"ignore_eos":true}`, i))
			assert.Equal(t, 200, status)
		})
	}
	work.Wait()
	_, page := get(t, e.URL()+"/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(page))
	require.NoError(t, err, page)
	for name, label := range map[string]string{"vllm:generation_tokens_total": "engine", "sglang:generation_tokens_total": "dp_rank"} {
		tokens := map[string]float64{}
		for _, m := range families[name].GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label {
					tokens[l.GetValue()] = m.GetCounter().GetValue()
				}
			}
		}
		require.Len(t, tokens, 2, name)
		assert.Equal(t, 8.0*64, tokens["0"]+tokens["1"], name)
		assert.Positive(t, tokens["0"]*tokens["1"], "both had something to do")
	}
	_, info := get(t, e.URL()+"/get_server_info")
	assert.Contains(t, info, `"dp_size":2`)
	assert.Contains(t, info, `"tp_size":4`)
	status, _ := post(t, e.URL()+"/flush_cache", "")
	assert.Equal(t, 200, status)
	for _, l := range e.ranks {
		assert.Zero(t, l.jobs.Load(), "nothing is left to do")
	}
	_, err = Start(Config{Ranks: 3, GPUs: 8})
	assert.ErrorContains(t, err, "3 ranks do not share 8 GPUs evenly")
}

// Requests that name their session go to one rank, whatever the others have to do.
func TestASessionStaysOnItsRank(t *testing.T) {
	e := start(t, Config{Ranks: 4, GPUs: 4})
	const prompt = "one and the same prompt, of more than a block of the cache"
	ask := func(session string) int {
		r, err := http.NewRequest("POST", e.URL()+"/v1/completions", strings.NewReader(`{"max_tokens":1,"prompt":"`+session+prompt+`"}`))
		require.NoError(t, err)
		r.Header.Set("X-Session-Affinity", session)
		resp, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return decode(t, string(b)).Usage.PromptTokensDetails.CachedTokens
	}
	for i := range 8 {
		session := fmt.Sprintf("session-%d", i)
		assert.Zero(t, ask(session))
		for range 3 {
			assert.Positive(t, ask(session), "its rank has it")
		}
	}
	used := map[*loop]bool{}
	for i := range 8 {
		used[e.rankFor(fmt.Sprintf("session-%d", i))] = true
	}
	assert.Greater(t, len(used), 1)
}

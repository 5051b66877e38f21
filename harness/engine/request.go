package engine

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"net/http"
	"time"

	"inferbench/harness/engine/ngram"
)

// common is what /v1/completions and /v1/chat/completions share. Fields that
// are not here, penalties and logit_bias among them, are taken and have no
// effect.
type common struct {
	Model         string         `json:"model"`
	Stream        bool           `json:"stream"`
	StreamOptions *streamOptions `json:"stream_options"`
	N             *int           `json:"n"`
	MaxTokens     *int           `json:"max_tokens"`
	MinTokens     int            `json:"min_tokens"`
	IgnoreEOS     bool           `json:"ignore_eos"`
	Temperature   *float64       `json:"temperature"`
	TopP          *float64       `json:"top_p"`
	TopK          *int           `json:"top_k"`
	MinP          float64        `json:"min_p"`
	Seed          *int64         `json:"seed"`
	Stop          words          `json:"stop"`
	StopIDs       []int32        `json:"stop_token_ids"`
	KeepStop      bool           `json:"include_stop_str_in_output"`
	ReturnIDs     bool           `json:"return_token_ids"`
	TokensAsIDs   bool           `json:"return_tokens_as_token_ids"`
	Tiers         bool           `json:"return_cached_tokens_details"` // SGLang's
	salts
}

// salts keep a request's entries of the prefix cache apart: vLLM's key and
// SGLang's.
type salts struct {
	CacheSalt *string `json:"cache_salt"`
	ExtraKey  words   `json:"extra_key"`
}

// hash is one number for both; 0 where neither is given.
func (s salts) hash() (h uint64, bad *apiError) {
	if s.CacheSalt == nil && len(s.ExtraKey) == 0 {
		return 0, nil
	}
	f := fnv.New64a()
	if s.CacheSalt != nil {
		switch {
		case *s.CacheSalt == "":
			return 0, badRequest("cache_salt", "Parameter 'cache_salt' must be a non-empty string if provided.")
		case len(*s.CacheSalt) > 128 || strings.ContainsAny(*s.CacheSalt, "@/\\\x00"):
			return 0, badRequest("cache_salt", "Parameter 'cache_salt' must be at most 128 characters and must not contain "+
				`'@', '/', '\', or NUL.`)
		}
		f.Write([]byte(*s.CacheSalt))
	}
	for _, k := range s.ExtraKey {
		f.Write([]byte("\x00" + k))
	}
	return f.Sum64() | 1, nil
}

type streamOptions struct {
	IncludeUsage    bool `json:"include_usage"`
	ContinuousUsage bool `json:"continuous_usage_stats"`
}

// maxChoices bounds n, as the real servers do.
const maxChoices = 128

// sampling checks the fields and makes them what a job needs.
func (c *common) sampling() (*sampling, *apiError) {
	how := &sampling{temperature: 1, topP: 1, minP: c.MinP, seed: c.Seed, minTokens: c.MinTokens,
		ignoreEOS: c.IgnoreEOS, stop: c.Stop, stopIDs: c.StopIDs, keepStop: c.KeepStop, logprobs: -1}
	var bad *apiError
	if how.salt, bad = c.hash(); bad != nil {
		return nil, bad
	}
	if c.Temperature != nil {
		how.temperature = *c.Temperature
	}
	if c.TopP != nil {
		how.topP = *c.TopP
	}
	if c.TopK != nil {
		how.topK = *c.TopK
	}
	switch {
	case !(how.temperature >= 0 && how.temperature <= 100):
		return nil, badRequest("temperature", "temperature is %g: want 0 to 100", how.temperature)
	case !(how.topP > 0 && how.topP <= 1):
		return nil, badRequest("top_p", "top_p is %g: want above 0 and at most 1", how.topP)
	case !(how.minP >= 0 && how.minP <= 1):
		return nil, badRequest("min_p", "min_p is %g: want 0 to 1", how.minP)
	case how.topK < -1:
		return nil, badRequest("top_k", "top_k is %d: want -1, 0 or more", how.topK)
	case c.MaxTokens != nil && *c.MaxTokens < 0:
		return nil, badRequest("max_tokens", "max_tokens is %d: want 0 or more", *c.MaxTokens)
	case c.MinTokens < 0 || c.MaxTokens != nil && c.MinTokens > *c.MaxTokens:
		return nil, badRequest("min_tokens", "min_tokens is %d: want 0 to max_tokens", c.MinTokens)
	case c.N != nil && (*c.N < 1 || *c.N > maxChoices):
		return nil, badRequest("n", "n is %d: want 1 to %d", *c.N, maxChoices)
	case c.StreamOptions != nil && !c.Stream:
		return nil, badRequest("stream_options", "stream_options are only for stream: true")
	case len(c.Stop) > 16:
		return nil, badRequest("stop", "stop has %d strings: at most 16 are taken", len(c.Stop))
	}
	for _, s := range c.Stop {
		if s == "" {
			return nil, badRequest("stop", "stop has an empty string")
		}
	}
	return how, nil
}

func (c *common) choices() int {
	if c.N == nil {
		return 1
	}
	return *c.N
}

// room returns how many tokens a prompt of so many may be answered with: max_tokens,
// or what is left of the model's length. It refuses what cannot fit; but as vLLM,
// which gives what fits of a max_tokens that is not above the whole length.
func (e *Engine) room(prompt int, maxTokens *int) (int, *apiError) {
	length := e.profile.MaxModelLen
	if prompt >= length {
		return 0, badRequest("prompt", "This model's maximum context length is %d tokens. However, your request has %d "+
			"input tokens. Please reduce the length of the input messages.", length, prompt)
	}
	n := length - prompt
	if maxTokens != nil {
		if *maxTokens > n && (e.cfg.Dialect != VLLM || *maxTokens > length) {
			return 0, badRequest("max_tokens", "This model's maximum context length is %d tokens. However, you requested %d "+
				"tokens (%d in the prompt, %d in the completion). Please reduce the length of the prompt or max_tokens.",
				length, prompt+*maxTokens, prompt, *maxTokens)
		}
		n = min(n, *maxTokens)
	}
	for !e.ranks[0].sched.Fits(prompt + max(n, 1)) {
		if maxTokens != nil || n <= 1 {
			return 0, badRequest("prompt", "the KV cache holds %d tokens: %d of prompt and %d of completion can never run",
				e.profile.Limits.KVTokens, prompt, n)
		}
		n /= 2
	}
	return max(n, 1), nil
}

// call is one request's way through the engine.
type call struct {
	e       *Engine
	id      string // as the wire shows it: cmpl-…
	rid     string // the request's own id, as the trace shows it
	fault   *fault // that strikes it, nil for none
	created int64
	arrived time.Time
	jobs    []*job
	rank    *loop  // that runs them
	session string // whose turn it is, by X-Session-Affinity; empty: it does not say

	promptOnly bool // max_tokens 0: the one token that is computed is not wanted
}

func (e *Engine) newExchange(r *http.Request, prefix string) *call {
	x := &call{e: e, created: time.Now().Unix(), arrived: connOf(r.Context()).arrived(),
		session: r.Header.Get("X-Session-Affinity")}
	rid := r.Header.Get("X-Request-Id")
	if rid == "" {
		var b [16]byte
		_, _ = rand.Read(b[:]) // never fails
		rid = hex.EncodeToString(b[:])
	}
	x.id, x.rid = prefix+rid, rid
	return x
}

// plan makes the jobs of an call: every prompt, choices times.
func (x *call) plan(prompts [][]int32, choices int, maxTokens *int, how *sampling) *apiError {
	n := 0
	x.rank = x.e.rankFor(x.session)
	for i, p := range prompts {
		if len(p) == 0 {
			p = []int32{ngram.BOS} // the model needs something to go on
		}
		out, bad := x.e.room(len(p), maxTokens)
		if bad == nil {
			bad = checkIDs(p)
		}
		if bad != nil {
			return bad
		}
		if x.fault.is("short-output") {
			out = max(min(out, x.fault.after), 1)
		}
		prompts[i] = p
		for range choices {
			x.jobs = append(x.jobs, x.e.newJob(n, p, out, how, nil))
			n++
		}
	}
	for _, j := range x.jobs {
		j.loop = x.rank
		j.fault, j.arrived = x.fault, int64(x.arrived.Sub(x.e.born))
		if x.e.cfg.TraceTokens > 0 {
			j.record = &Trace{ID: x.rid, Index: j.index, ArrivedNS: j.arrived, QueuedNS: int64(x.e.now()),
				PromptTokens: len(j.prompt), HandedNS: make([]int64, 0, cap(j.out))}
			if x.fault != nil {
				j.record.Fault = x.fault.name
			}
		}
	}
	return nil
}

// busy is the answer where the queue limit is reached.
var busy = &apiError{http.StatusTooManyRequests, "RateLimitError", "the queue is full: try again later", ""}

// reply runs the jobs and answers, event by event or at their end.
func (x *call) reply(w http.ResponseWriter, r *http.Request, f format, stream bool) {
	if stream {
		x.stream(w, r, f)
		return
	}
	if x.whole(w, r) {
		x.answer(w, r, f.whole())
	}
}

// whole runs the jobs to their end. It reports false where there is nobody to
// answer, or the answer was an error.
func (x *call) whole(w http.ResponseWriter, r *http.Request) bool {
	c := newCollector(len(x.jobs))
	for _, j := range x.jobs {
		j.sink = c
	}
	if !x.rank.submit(x.jobs...) {
		w.Header().Set("Retry-After", "1")
		writeError(w, busy)
		return false
	}
	if !c.wait(r.Context(), x.jobs) {
		return false
	}
	for _, j := range x.jobs {
		if j.ended == endClosed || j.ended == endAbort {
			writeError(w, &apiError{http.StatusServiceUnavailable, "ServiceUnavailableError", "the engine is shutting down", ""})
			return false
		}
	}
	return true
}

// stream takes the connection over, runs the jobs, and gives it back.
func (x *call) stream(w http.ResponseWriter, r *http.Request, f format) {
	c := connOf(r.Context())
	s, err := newStream(x.e, c, f, x.jobs, r.ProtoAtLeast(1, 1))
	if err != nil {
		writeError(w, &apiError{http.StatusInternalServerError, "InternalServerError", err.Error(), ""})
		return
	}
	for _, j := range x.jobs {
		j.sink = s
		if j.record != nil {
			j.record.Streamed = true
		}
	}
	// The head must be out before the loop may write, and the queue limit must
	// be asked before the head.
	s.mu.Lock()
	if !x.rank.submit(x.jobs...) {
		s.mu.Unlock()
		w.Header().Set("Retry-After", "1")
		writeError(w, busy)
		return
	}
	_, rw, err := w.(http.Hijacker).Hijack()
	if err != nil {
		s.fail()
		s.mu.Unlock()
		<-s.done
		return
	}
	early := make([]byte, rw.Reader.Buffered())
	_, _ = rw.Reader.Read(early) // buffered: cannot fail
	head := x.head(s.chunked, w.Header().Get("X-Request-Id"))
	if x.fault.active() {
		s.faulty, s.rest = true, head
		x.e.work.Go(func() { s.misbehave(x.fault) })
	} else {
		s.push(head)
	}
	s.mu.Unlock()

	unread := append(early, s.attend()...)
	if s.broken && !s.intact || r.Close || !s.chunked {
		_ = c.Close()
		return
	}
	x.e.listener.give(c, unread...)
}

func (x *call) head(chunked bool, requestID string) []byte {
	b := append(make([]byte, 0, 256), "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; "+
		"charset=utf-8\r\nCache-Control: no-cache\r\nDate: "...)
	b = time.Now().UTC().AppendFormat(b, http.TimeFormat)
	if requestID != "" {
		b = append(b, "\r\nX-Request-Id: "...)
		b = append(b, requestID...)
	}
	if chunked {
		return append(b, "\r\nTransfer-Encoding: chunked\r\n\r\n"...)
	}
	return append(b, "\r\nConnection: close\r\n\r\n"...)
}

// usage is OpenAI's usage object of some jobs. A prompt counts once, however
// many choices it has.
func (x *call) usage(choices int, jobs []*job, of usageOf) []byte {
	prompt, completion, cached := 0, 0, 0
	for i, j := range jobs {
		if i%choices == 0 {
			prompt += len(j.prompt)
			cached += j.seq.Cached
		}
		completion += len(j.out)
	}
	switch {
	case x.fault.is("no-usage"):
		return []byte("null")
	case x.fault.is("wrong-usage"):
		completion++
	case x.promptOnly:
		completion = 0
	}
	details := map[string]any{"cached_tokens": cached}
	out := map[string]any{
		"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
		"prompt_tokens_details": details,
	}
	if x.e.cfg.Dialect == VLLM {
		of.add(out, details, prompt-cached)
	}
	b, _ := json.Marshal(out) // ints cannot fail
	return b
}

// start appends the beginning of an answer or an event, up to the choices.
func (x *call) start(b []byte, object string) []byte {
	b = append(b, `{"id":`...)
	b = appendJSON(b, x.id)
	b = append(b, `,"object":`...)
	b = appendJSON(b, object)
	b = append(b, `,"created":`...)
	b = strconv.AppendInt(b, x.created, 10)
	b = append(b, `,"model":`...)
	b = appendJSON(b, x.e.cfg.Model)
	return append(b, `,"choices":`...)
}

// appendTail appends what follows the last event of a stream: by which tiers the
// prompt was found and the usage, where they are wanted, and its end.
func (x *call) appendTail(b []byte, object string, in *common, jobs []*job) []byte {
	if tiers := x.tiers(in, jobs); tiers != nil {
		b = append(x.start(append(b, "data: "...), object), `[],"usage":null`...)
		b = append(append(b, tiers...), "}\n\n"...)
	}
	if o := in.StreamOptions; o != nil && o.IncludeUsage && !x.fault.is("no-usage") {
		b = append(x.start(append(b, "data: "...), object), `[],"usage":`...)
		of := streamedCompletion
		if object == "chat.completion.chunk" {
			of = streamedChat
		}
		b = append(b, x.usage(in.choices(), jobs, of)...)
		b = append(x.appendFingerprint(b), "}\n\n"...)
	}
	return append(b, "data: [DONE]\n\n"...)
}

// tiers are SGLang's fields of where the first prompt's cached tokens were; nil where
// nobody asked.
func (x *call) tiers(in *common, jobs []*job) []byte {
	if !in.Tiers || x.e.cfg.Dialect == VLLM {
		return nil
	}
	return append(jobs[0].appendTiers([]byte(`,"sglext":{`)), '}')
}

func (j *job) appendTiers(b []byte) []byte {
	return fmt.Appendf(b, `"cached_tokens_details":{"device":%d,"host":%d}`, j.seq.Cached-j.seq.FromHost, j.seq.FromHost)
}

// appendEventUsage appends the usage field of an event: null, which vLLM leaves
// out, or the tokens so far where these were asked for.
func (x *call) appendEventUsage(b []byte, o *streamOptions, j *job, made int) []byte {
	switch {
	case o == nil || !o.IncludeUsage, !o.ContinuousUsage && x.e.cfg.Dialect == VLLM:
		return b
	case !o.ContinuousUsage:
		return append(b, `,"usage":null`...)
	}
	b = append(b, `,"usage":{"prompt_tokens":`...)
	b = strconv.AppendInt(b, int64(len(j.prompt)), 10)
	b = append(b, `,"completion_tokens":`...)
	b = strconv.AppendInt(b, int64(made), 10)
	b = append(b, `,"total_tokens":`...)
	b = strconv.AppendInt(b, int64(len(j.prompt)+made), 10)
	return append(b, '}')
}

func appendFinish(b []byte, j *job, last bool) []byte {
	if !last {
		return append(b, "null"...)
	}
	return appendJSON(b, j.ended)
}

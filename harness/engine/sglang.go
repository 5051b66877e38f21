package engine

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"inferbench/harness/engine/ngram"
)

// generateRequest is SGLang's GenerateReqInput, as far as it says something to
// this engine.
type generateRequest struct {
	Text        *words          `json:"text"`
	InputIDs    json.RawMessage `json:"input_ids"`
	Params      json.RawMessage `json:"sampling_params"`
	Stream      bool            `json:"stream"`
	Logprob     bool            `json:"return_logprob"`
	StartLen    *int            `json:"logprob_start_len"`
	TopLogprobs int             `json:"top_logprobs_num"`
	TokenText   bool            `json:"return_text_in_logprobs"`
	RID         string          `json:"rid"`
	salts
}

// generateParams is SGLang's SamplingParams.
type generateParams struct {
	MaxNew      *int     `json:"max_new_tokens"`
	MinNew      int      `json:"min_new_tokens"`
	Temperature *float64 `json:"temperature"`
	TopP        *float64 `json:"top_p"`
	TopK        *int     `json:"top_k"`
	MinP        float64  `json:"min_p"`
	Stop        words    `json:"stop"`
	StopIDs     []int32  `json:"stop_token_ids"`
	IgnoreEOS   bool     `json:"ignore_eos"`
	N           *int     `json:"n"`
	NoStopTrim  bool     `json:"no_stop_trim"`
	Seed        *int64   `json:"sampling_seed"`
}

// generate is SGLang's POST /generate.
func (e *Engine) generate(w http.ResponseWriter, r *http.Request) {
	x := e.newExchange(r, "")
	if x.strike(w) {
		return
	}
	var in generateRequest
	ids, bad := readBody(r, &in, "input_ids")
	f := &generateFormat{x: x, in: &in}
	if in.RID != "" {
		x.id, x.rid = in.RID, in.RID
	}
	if bad == nil {
		bad = f.plan(ids)
	}
	if bad != nil {
		writeError(w, bad)
		return
	}
	x.reply(w, r, f, in.Stream)
}

// generateFormat writes SGLang's native answers: whole ones, and events, which
// carry the whole text so far.
type generateFormat struct {
	x    *call
	in   *generateRequest
	list bool // several answers, or one to a list of prompts: the answer is a list
}

func (f *generateFormat) plan(ids []int32) *apiError {
	in := f.in
	var prompts [][]int32
	switch {
	case ids != nil:
		prompts = [][]int32{ids}
	case in.Text != nil && len(*in.Text) > 0:
		for _, t := range *in.Text {
			prompts = append(prompts, tokenize(t, true))
		}
	case json.Unmarshal(in.InputIDs, &prompts) != nil || len(prompts) == 0:
		return badRequest("text", "give either text or input_ids: a text, ids, or a list of either")
	default:
		f.list = true
	}
	f.list = f.list || len(prompts) > 1
	var p generateParams
	if len(in.Params) > 0 {
		if err := json.Unmarshal(in.Params, &p); err != nil {
			return badRequest("sampling_params", "sampling_params: %v", err)
		}
	}
	if p.MaxNew == nil {
		p.MaxNew = new(int)
		*p.MaxNew = 128 // SGLang's default
	}
	c := common{Stream: in.Stream, N: p.N, MaxTokens: p.MaxNew, MinTokens: p.MinNew, IgnoreEOS: p.IgnoreEOS,
		Temperature: p.Temperature,
		TopP:        p.TopP, TopK: p.TopK, MinP: p.MinP, Seed: p.Seed, Stop: p.Stop,
		StopIDs: p.StopIDs, KeepStop: p.NoStopTrim, salts: in.salts}
	how, bad := c.sampling()
	switch {
	case bad != nil:
		return bad
	case in.TopLogprobs < 0 || in.TopLogprobs > ngram.Vocab:
		return badRequest("top_logprobs_num", "top_logprobs_num is %d: want 0 to %d", in.TopLogprobs, ngram.Vocab)
	case in.StartLen != nil && *in.StartLen < -1:
		return badRequest("logprob_start_len", "logprob_start_len is %d: want -1 or more", *in.StartLen)
	}
	if in.Logprob {
		how.logprobs = in.TopLogprobs
		how.wantsPrompts = in.StartLen != nil && *in.StartLen >= 0
	}
	f.list = f.list || c.choices() > 1
	if *p.MaxNew == 0 {
		f.x.promptOnly = true
	}
	return f.x.plan(prompts, c.choices(), p.MaxNew, how)
}

func (f *generateFormat) event(b []byte, j *job, _, to int, last bool) []byte {
	b = append(b, "data: {"...)
	if f.list {
		b = append(b, `"index":`...)
		b = strconv.AppendInt(b, int64(j.index), 10)
		b = append(b, ',')
	}
	b = f.answer(b, j, to, last)
	return append(b, "}\n\n"...)
}

func (f *generateFormat) tail(b []byte, _ []*job) []byte { return append(b, "data: [DONE]\n\n"...) }

func (f *generateFormat) whole() []byte {
	var b []byte
	for i, j := range f.x.jobs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '{')
		b = append(f.answer(b, j, len(j.out), true), '}')
	}
	if f.list {
		return append(append([]byte{'['}, b...), ']')
	}
	return b
}

// answer appends the fields of an answer: all that was made up to token to.
func (f *generateFormat) answer(b []byte, j *job, to int, last bool) []byte {
	shown := to
	if f.x.promptOnly {
		shown = 0
	} else {
		j.form.text = j.appendText(j.form.text, to, last)
	}
	b = append(b, `"text":"`...)
	b = append(b, j.form.text...)
	b = append(b, `","output_ids":`...)
	b = appendIDs(b, j.out[:shown])
	b = append(b, `,"meta_info":{"id":`...)
	b = appendJSON(b, f.x.id)
	b = append(b, `,"finish_reason":`...)
	b = f.finish(b, j, shown, last)
	b = append(b, `,"prompt_tokens":`...)
	b = strconv.AppendInt(b, int64(len(j.prompt)), 10)
	b = append(b, `,"completion_tokens":`...)
	b = strconv.AppendInt(b, int64(shown), 10)
	b = append(b, `,"cached_tokens":`...)
	b = strconv.AppendInt(b, int64(j.seq.Cached), 10)
	b = j.appendTiers(append(b, ','))
	if f.in.Logprob {
		b = f.logprobs(b, j, shown)
	}
	if last {
		b = append(b, `,"e2e_latency":`...)
		b = strconv.AppendFloat(b, time.Since(f.x.arrived).Seconds(), 'f', 6, 64)
	}
	return append(b, '}')
}

// finish appends why the job ended: an object in this dialect.
func (f *generateFormat) finish(b []byte, j *job, made int, last bool) []byte {
	switch {
	case !last:
		return append(b, "null"...)
	case j.ended == endLength:
		b = append(b, `{"type":"length","length":`...)
		return append(strconv.AppendInt(b, int64(made), 10), '}')
	}
	b = append(b, `{"type":"stop","matched":`...)
	if j.stop == nil {
		b = strconv.AppendInt(b, ngram.EOS, 10)
	} else {
		b = appendStop(b, j.stop)
	}
	return append(b, '}')
}

// logprobs appends the lists of [logprob, id, text]: of the prompt from
// logprob_start_len on, where the first has none, and of the output.
func (f *generateFormat) logprobs(b []byte, j *job, made int) []byte {
	start := len(j.prompt) - 1
	if f.in.StartLen != nil && *f.in.StartLen >= 0 {
		start = min(*f.in.StartLen, start)
	}
	views := j.e.views.Load()
	var top []byte
	list := func(b []byte, v *ngram.View, s ngram.State, t int32, i int, none bool) []byte {
		if i > 0 {
			b, top = append(b, ','), append(top, ',')
		}
		if none {
			top = append(top, "null"...)
			return append(f.triple(append(b, "[null,"...), t), ']')
		}
		b = append(j.appendLogprob(append(b, '['), v.LogProb(s, t), i), ',')
		b = append(f.triple(b, t), ']')
		top = append(top, '[')
		for k, alt := range v.Top(s, f.in.TopLogprobs) {
			if k > 0 {
				top = append(top, ',')
			}
			top = append(strconv.AppendFloat(append(top, '['), v.LogProb(s, alt), 'g', -1, 64), ',')
			top = append(f.triple(top, alt), ']')
		}
		top = append(top, ']')
		return b
	}
	b = append(b, `,"input_token_logprobs":[`...)
	s := j.e.model.After(j.prompt[:start])
	for i, t := range j.prompt[start:] {
		b = list(b, views.prefill, s, t, i, i == 0)
		s = j.e.model.Next(s, t)
	}
	b = append(b, ']')
	if f.in.TopLogprobs > 0 {
		b = append(append(append(b, `,"input_top_logprobs":[`...), top...), ']')
	}
	top = top[:0]
	b = append(b, `,"output_token_logprobs":[`...)
	for i := range made {
		b = list(b, views.at(i), j.states[i], int32(j.out[i]), i, false)
	}
	b = append(b, ']')
	if f.in.TopLogprobs > 0 {
		b = append(append(append(b, `,"output_top_logprobs":[`...), top...), ']')
	}
	return b
}

// triple appends what follows a logprob: id, and the text where it is wanted.
func (f *generateFormat) triple(b []byte, t int32) []byte {
	b = append(strconv.AppendInt(b, int64(t), 10), ',')
	if f.in.TokenText {
		return append(b, quotedToken[t]...)
	}
	return append(b, "null"...)
}

// tokenizeAll is SGLang's POST /tokenize: a prompt, or each of a list, to ids.
func (e *Engine) tokenizeAll(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Prompt   json.RawMessage `json:"prompt"`
		Specials *bool           `json:"add_special_tokens"`
	}
	_, bad := readBody(r, &in)
	var prompts words
	if bad == nil && (json.Unmarshal(in.Prompt, &prompts) != nil || prompts == nil) {
		bad = badRequest("prompt", "Invalid prompt type: expected a text or a list of texts.")
	}
	if bad != nil {
		writeError(w, bad)
		return
	}
	lists, counts := make([][]int32, len(prompts)), make([]int, len(prompts))
	for i, p := range prompts {
		lists[i] = tokenize(p, in.Specials == nil || *in.Specials)
		counts[i] = len(lists[i])
	}
	out := map[string]any{"tokens": lists, "count": counts, "max_model_len": e.profile.MaxModelLen}
	if in.Prompt[0] == '"' {
		out["tokens"], out["count"] = lists[0], counts[0]
	}
	answer(w, out)
}

// detokenizeAll is SGLang's POST /detokenize: ids, or each of a list of such lists,
// to text, without special tokens unless they are asked for.
func (e *Engine) detokenizeAll(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Tokens json.RawMessage `json:"tokens"`
		Skip   *bool           `json:"skip_special_tokens"`
	}
	ids, bad := readBody(r, &in, "tokens")
	var lists [][]int32
	several := ids == nil && json.Unmarshal(in.Tokens, &ids) != nil
	if bad == nil && several && json.Unmarshal(in.Tokens, &lists) != nil {
		bad = badRequest("tokens", "Invalid tokens type: expected a list of ids or a list of such lists.")
	}
	if !several {
		lists = [][]int32{ids}
	}
	texts := make([]string, len(lists))
	for i, l := range lists {
		if bad == nil {
			bad = checkIDs(l)
		}
		if bad == nil {
			texts[i] = detokenize(l, in.Skip != nil && !*in.Skip)
		}
	}
	switch {
	case bad != nil:
		writeError(w, bad)
	case several:
		answer(w, map[string]any{"text": texts})
	default:
		answer(w, map[string]any{"text": texts[0]})
	}
}

// modelInfo is SGLang's GET /get_model_info.
func (e *Engine) modelInfo(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"model_path": e.cfg.Model, "tokenizer_path": e.cfg.Model, "is_generation": true,
		"preferred_sampling_params": nil, "weight_version": "default",
		"has_image_understanding": false, "has_audio_understanding": false})
}

// serverInfo is SGLang's GET /get_server_info, as far as it makes sense here.
func (e *Engine) serverInfo(w http.ResponseWriter, _ *http.Request) {
	l := e.profile.Limits
	out := map[string]any{"model_path": e.cfg.Model, "served_model_name": e.cfg.Model, "version": "inferbench-" + Version,
		"context_length": e.profile.MaxModelLen, "max_running_requests": l.MaxRunning, "chunked_prefill_size": l.TokenBudget,
		"max_total_num_tokens": l.KVTokens, "page_size": l.BlockTokens, "disable_radix_cache": !l.PrefixCaching,
		"num_continuous_decode_steps": max(l.DecodeRounds, 1), "speculative_num_steps": l.SpecTokens}
	if e.cfg.GPUs > 0 {
		out["tp_size"], out["dp_size"], out["pp_size"], out["ep_size"] = e.cfg.GPUs/e.cfg.Ranks, e.cfg.Ranks, 1, 1
	}
	answer(w, out)
}

// healthGenerate is SGLang's GET /health_generate: healthy is what makes a
// token.
func (e *Engine) healthGenerate(w http.ResponseWriter, r *http.Request) {
	x := e.newExchange(r, "HEALTH_CHECK_")
	one := 1
	if bad := x.plan([][]int32{{ngram.BOS}}, 1, &one, &sampling{topP: 1, logprobs: -1}); bad != nil {
		writeError(w, bad)
		return
	}
	if x.whole(w, r) {
		w.WriteHeader(http.StatusOK)
	}
}

// flushCache is SGLang's /flush_cache and vLLM's /reset_prefix_cache: it forgets
// the prefix cache, unless something runs. vLLM's keeps the host tier unless
// reset_external is asked for.
func (e *Engine) flushCache(w http.ResponseWriter, r *http.Request) {
	host := r.URL.Path != "/reset_prefix_cache" || r.URL.Query().Get("reset_external") == "true"
	done := make(chan bool, 1)
	go func() { done <- e.flush(host) }()
	select {
	case idle := <-done:
		if !idle {
			writeError(w, badRequest("", "Flush cache failed: requests are running or waiting."))
			return
		}
		if e.cfg.Dialect == VLLM {
			answer(w, map[string]bool{"success": true})
			return
		}
		_, _ = w.Write([]byte("Cache flushed.\nPlease check backend logs for more details. (When there are running or " +
			"waiting requests, the operation will not be performed.)\n"))
	case <-r.Context().Done():
	case <-e.closed.Done():
	}
}

// flush forgets the prefix caches of all ranks; false where any has something to
// run.
func (e *Engine) flush(host bool) bool {
	for _, do := range []bool{false, true} { // first ask, then do
		for _, l := range e.ranks {
			idle := make(chan bool, 1)
			l.ask(func() {
				is := l.sched.Running()+l.sched.Waiting()+len(l.coming) == 0
				if is && do {
					l.sched.FlushCache(host)
				}
				idle <- is
			})
			select {
			case is := <-idle:
				if !is {
					return false
				}
			case <-e.closed.Done():
				return false
			}
		}
	}
	return true
}

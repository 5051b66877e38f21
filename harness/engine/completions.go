package engine

import (
	"encoding/json"
	"net/http"
	"strconv"
)

type completionRequest struct {
	common
	Prompt    json.RawMessage `json:"prompt"`
	Logprobs  *int            `json:"logprobs"`
	Echo      bool            `json:"echo"`
	Specials  *bool           `json:"add_special_tokens"`
	PromptLPs *int            `json:"prompt_logprobs"`
}

// maxLogprobs bounds the alternatives of a token, as vLLM's --max-logprobs.
const maxLogprobs = 20

// completions is POST /v1/completions.
func (e *Engine) completions(w http.ResponseWriter, r *http.Request) {
	x := e.newExchange(r, "cmpl-")
	if x.strike(w) {
		return
	}
	var in completionRequest
	ids, bad := readBody(r, &in, "prompt")
	if bad == nil {
		bad = e.checkModel(in.Model)
	}
	var how *sampling
	var prompts [][]int32
	var texts []string
	if bad == nil {
		how, bad = in.sampling()
	}
	if bad == nil {
		prompts, texts, bad = in.prompts(ids)
	}
	if bad == nil {
		bad = e.checkLogprobs(&in, how)
	}
	f := &completionFormat{x: x, in: &in}
	if bad == nil {
		if in.MaxTokens == nil {
			in.MaxTokens = new(int)
			*in.MaxTokens = 16 // OpenAI's default
		}
		if *in.MaxTokens == 0 && !in.Echo {
			bad = badRequest("max_tokens", "max_tokens is 0: want 1 or more, or echo")
		}
	}
	if bad == nil {
		bad = x.plan(prompts, in.choices(), in.MaxTokens, how)
	}
	if bad != nil {
		writeError(w, bad)
		return
	}
	if texts != nil {
		for i, j := range x.jobs {
			j.text = texts[i/in.choices()]
		}
	}
	f.ready()
	x.reply(w, r, f, in.Stream)
}

// prompts reads the prompt: a text, ids, or a list of either.
func (in *completionRequest) prompts(ids []int32) ([][]int32, []string, *apiError) {
	if ids != nil {
		return [][]int32{ids}, nil, nil
	}
	bos := in.Specials == nil || *in.Specials
	var texts words
	if json.Unmarshal(in.Prompt, &texts) == nil && len(texts) > 0 {
		out := make([][]int32, len(texts))
		for i, t := range texts {
			out[i] = tokenize(t, bos)
		}
		return out, texts, nil
	}
	if json.Unmarshal(in.Prompt, &ids) == nil && len(ids) > 0 {
		return [][]int32{ids}, nil, nil // ids that are not plain: negative, perhaps
	}
	var lists [][]int32
	if err := json.Unmarshal(in.Prompt, &lists); err == nil && len(lists) > 0 {
		return lists, nil, nil
	}
	return nil, nil, badRequest("prompt", "prompt must be a text, a list of texts, a list of token ids, or a list of "+
		"such lists; none may be empty")
}

func (e *Engine) checkLogprobs(in *completionRequest, how *sampling) *apiError {
	if in.Logprobs == nil {
		return nil
	}
	if k := *in.Logprobs; k < 0 || k > maxLogprobs {
		return badRequest("logprobs", "logprobs is %d: want 0 to %d", k, maxLogprobs)
	}
	how.logprobs = *in.Logprobs
	how.wantsPrompts = in.Echo
	if in.Echo && e.cfg.Dialect == SGLang {
		return badRequest("echo", "Echo is not compatible with logprobs. To compute logprobs of input prompt, please use "+
			"the native /generate API.")
	}
	return nil
}

// completionFormat writes completions: whole ones, and events.
type completionFormat struct {
	x         *call
	in        *completionRequest
	eventHead []byte // up to the choice's index
}

func (f *completionFormat) ready() {
	f.x.promptOnly = *f.in.MaxTokens == 0
	f.eventHead = append(f.x.start([]byte("data: "), "text_completion"), `[{"index":`...)
}

func (f *completionFormat) event(b []byte, j *job, from, to int, last bool) []byte {
	b = append(b, f.eventHead...)
	b = f.choice(b, j, from, to, last)
	b = append(b, "}]"...)
	b = f.x.appendEventUsage(b, f.in.StreamOptions, j, to)
	return append(b, "}\n\n"...)
}

// choice appends the fields of a choice, from its index on, for some tokens.
func (f *completionFormat) choice(b []byte, j *job, from, to int, last bool) []byte {
	b = strconv.AppendInt(b, int64(j.index), 10)
	b = append(b, `,"text":"`...)
	echo := f.in.Echo && !j.form.began
	j.form.began = true
	if echo {
		b = appendEscaped(b, j.promptText())
	}
	if !f.x.promptOnly {
		b = j.appendText(b, to, last)
	}
	b = append(b, `","logprobs":`...)
	if j.how.logprobs < 0 {
		b = append(b, "null"...)
	} else {
		if f.x.promptOnly {
			to = from
		}
		b = j.appendLogprobs(b, echo, from, to, f.in.TokensAsIDs)
	}
	b = append(b, `,"finish_reason":`...)
	b = appendFinish(b, j, last)
	if last && j.stop != nil {
		b = append(b, `,"stop_reason":`...)
		b = appendStop(b, j.stop)
	}
	if f.in.ReturnIDs {
		b = appendIDs(append(b, `,"token_ids":`...), j.out[from:to])
		if from == 0 {
			b = appendIDs(append(b, `,"prompt_token_ids":`...), j.prompt)
		}
	}
	if f.x.e.cfg.Dialect == VLLM {
		b = appendNulls(b, !(last && j.stop != nil), "stop_reason")
		b = appendNulls(b, !f.in.ReturnIDs, "token_ids")
		b = appendNulls(b, !f.in.ReturnIDs || from > 0, "prompt_token_ids")
	}
	return b
}

func (f *completionFormat) tail(b []byte, jobs []*job) []byte {
	return f.x.appendTail(b, "text_completion", &f.in.common, jobs)
}

func (f *completionFormat) whole() []byte {
	b := append(f.x.start(nil, "text_completion"), '[')
	for i, j := range f.x.jobs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"index":`...)
		b = f.choice(b, j, 0, len(j.out), true)
		b = appendNulls(b, f.x.e.cfg.Dialect == VLLM, "prompt_logprobs", "routed_experts")
		b = append(b, '}')
	}
	b = append(b, `],"usage":`...)
	b = append(b, f.x.usage(f.in.choices(), f.x.jobs, wholeCompletion)...)
	b = append(b, f.x.tiers(&f.in.common, f.x.jobs)...)
	return append(f.x.appendRest(b), '}')
}

func (j *job) promptText() string {
	if j.text != "" {
		return j.text
	}
	return detokenize(j.prompt, false)
}

func appendStop(b []byte, stop any) []byte {
	switch s := stop.(type) {
	case string:
		return appendJSON(b, s)
	case int32:
		return strconv.AppendInt(b, int64(s), 10)
	}
	return append(b, "null"...)
}

func appendIDs[T int32 | uint16](b []byte, ids []T) []byte {
	b = append(b, '[')
	for i, t := range ids {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(t), 10)
	}
	return append(b, ']')
}

func appendEscaped(b []byte, s string) []byte {
	at := len(b)
	b = appendJSON(b, s)
	return append(b[:at], b[at+1:len(b)-1]...)
}

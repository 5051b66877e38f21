package engine

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"inferbench/harness/engine/ngram"
	"inferbench/harness/sums"
)

type chatMessage struct {
	Role    string      `json:"role"`
	Content chatContent `json:"content"`
}

// chatContent is a text, or a list of parts of which the texts count.
type chatContent string

func (c *chatContent) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*c = chatContent(s)
		return nil
	}
	var parts []struct{ Type, Text string }
	if err := json.Unmarshal(b, &parts); err != nil {
		return err
	}
	var text strings.Builder
	for _, p := range parts {
		text.WriteString(p.Text)
	}
	*c = chatContent(text.String())
	return nil
}

// chatTemplate is what chatPrompt does, in the words of those who write chat
// templates.
const chatTemplate = "{{ bos_token }}{% for m in messages %}{{ m.role | capitalize }}: {{ m.content }}\n\n" +
	"{% endfor %}" +
	"{% if add_generation_prompt %}Assistant: {% endif %}"

// chatPrompt applies the chat template.
func chatPrompt(messages []chatMessage, generation bool) []int32 {
	var b strings.Builder
	for _, m := range messages {
		if m.Role != "" {
			b.WriteString(strings.ToUpper(m.Role[:1]) + m.Role[1:])
		}
		b.WriteString(": " + string(m.Content) + "\n\n")
	}
	if generation {
		b.WriteString("Assistant: ")
	}
	return tokenize(b.String(), true)
}

// recall gives the jobs the answer that the model knows to the last question of
// a chat. It knows those of package sums, written down once and ended.
func (x *call) recall(messages []chatMessage) {
	answer := sums.Answer(string(messages[len(messages)-1].Content))
	if answer == "" {
		return
	}
	var text []uint16
	for _, b := range []byte(answer) {
		text = append(text, uint16(b))
	}
	for _, j := range x.jobs {
		j.recall = append(text, ngram.EOS)
	}
}

type chatRequest struct {
	common
	Messages    []chatMessage `json:"messages"`
	MaxNew      *int          `json:"max_completion_tokens"`
	Logprobs    bool          `json:"logprobs"`
	TopLogprobs int           `json:"top_logprobs"`
	Generation  *bool         `json:"add_generation_prompt"`
}

// chat is POST /v1/chat/completions.
func (e *Engine) chat(w http.ResponseWriter, r *http.Request) {
	x := e.newExchange(r, "chatcmpl-")
	if x.strike(w) {
		return
	}
	var in chatRequest
	_, bad := readBody(r, &in)
	if bad == nil {
		bad = e.checkModel(in.Model)
	}
	if in.MaxNew != nil {
		in.MaxTokens = in.MaxNew
	}
	var how *sampling
	if bad == nil {
		how, bad = in.sampling()
	}
	switch {
	case bad != nil:
	case len(in.Messages) == 0:
		bad = badRequest("messages", "messages is empty: give at least one")
	case in.MaxTokens != nil && *in.MaxTokens == 0:
		bad = badRequest("max_tokens", "max_tokens is 0: want 1 or more")
	case in.TopLogprobs < 0 || in.TopLogprobs > maxLogprobs:
		bad = badRequest("top_logprobs", "top_logprobs is %d: want 0 to %d", in.TopLogprobs, maxLogprobs)
	case in.TopLogprobs > 0 && !in.Logprobs:
		bad = badRequest("top_logprobs", "top_logprobs needs logprobs: true")
	}
	if bad == nil {
		if in.Logprobs {
			how.logprobs = in.TopLogprobs
		}
		prompt := chatPrompt(in.Messages, in.Generation == nil || *in.Generation)
		bad = x.plan([][]int32{prompt}, in.choices(), in.MaxTokens, how)
		x.recall(in.Messages)
	}
	if bad != nil {
		writeError(w, bad)
		return
	}
	f := &chatFormat{x: x, in: &in}
	f.chunk = append(x.start([]byte("data: "), "chat.completion.chunk"), `[{"index":`...)
	x.reply(w, r, f, in.Stream)
}

// chatFormat writes chat completions: whole ones, and events.
type chatFormat struct {
	x     *call
	in    *chatRequest
	chunk []byte // an event up to the choice's index
}

func (f *chatFormat) event(b []byte, j *job, from, to int, last bool) []byte {
	vllm := f.x.e.cfg.Dialect == VLLM
	if from == 0 && !j.form.began { // the role goes first, on its own, with the first token
		j.form.began = true
		b = append(b, f.chunk...)
		b = strconv.AppendInt(b, int64(j.index), 10)
		b = append(b, `,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}]`...)
		b = appendNulls(b, vllm, "prompt_text", "prompt_token_ids")
		b = f.usage(b, j, 0)
		b = append(b, "}\n\n"...)
	}
	b = append(b, f.chunk...)
	b = strconv.AppendInt(b, int64(j.index), 10)
	b = append(b, `,"delta":{"content":"`...)
	b = j.appendText(b, to, last)
	b = append(b, `"},"logprobs":`...)
	b = f.logprobs(b, j, from, to)
	b = append(b, `,"finish_reason":`...)
	b = appendFinish(b, j, last)
	b = appendNulls(b, vllm && last, "stop_reason")
	b = appendNulls(b, vllm, "token_ids")
	b = append(b, "}]"...)
	b = f.usage(b, j, to)
	return append(b, "}\n\n"...)
}

// usage appends an event's usage field, where there is one.
func (f *chatFormat) usage(b []byte, j *job, made int) []byte {
	return f.x.appendEventUsage(b, f.in.StreamOptions, j, made)
}

func (f *chatFormat) tail(b []byte, jobs []*job) []byte {
	return f.x.appendTail(b, "chat.completion.chunk", &f.in.common, jobs)
}

func (f *chatFormat) whole() []byte {
	vllm := f.x.e.cfg.Dialect == VLLM
	b := append(f.x.start(nil, "chat.completion"), '[')
	for i, j := range f.x.jobs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"index":`...)
		b = strconv.AppendInt(b, int64(j.index), 10)
		b = append(b, `,"message":{"role":"assistant","content":"`...)
		b = j.appendText(b, len(j.out), true)
		b = appendNulls(append(b, `","refusal":null`...), vllm, "annotations", "audio", "function_call", "reasoning")
		b = append(b, `},"logprobs":`...)
		b = f.logprobs(b, j, 0, len(j.out))
		b = append(b, `,"finish_reason":`...)
		b = appendFinish(b, j, true)
		b = appendNulls(b, vllm, "stop_reason", "token_ids", "routed_experts")
		b = append(b, '}')
	}
	b = append(b, `],"usage":`...)
	b = append(b, f.x.usage(f.in.choices(), f.x.jobs, wholeChat)...)
	b = append(b, f.x.tiers(&f.in.common, f.x.jobs)...)
	b = appendNulls(b, vllm, "prompt_logprobs", "prompt_text", "prompt_token_ids")
	return append(f.x.appendRest(b), '}')
}

// logprobs appends the chat API's logprobs object for the tokens from..to.
func (f *chatFormat) logprobs(b []byte, j *job, from, to int) []byte {
	if j.how.logprobs < 0 {
		return append(b, "null"...)
	}
	views := j.e.views.Load()
	b = append(b, `{"content":[`...)
	for i := from; i < to; i++ {
		v := views.at(i)
		t, s := int32(j.out[i]), j.states[i]
		if i > from {
			b = append(b, ',')
		}
		b = appendChatToken(b, t, j.appendLogprob(nil, v.LogProb(s, t), i))
		b = append(b, `,"top_logprobs":[`...)
		if j.how.logprobs > 0 {
			for k, alt := range v.Top(s, j.how.logprobs) {
				if k > 0 {
					b = append(b, ',')
				}
				b = append(appendChatToken(b, alt, strconv.AppendFloat(nil, v.LogProb(s, alt), 'g', -1, 64)), '}')
			}
		}
		b = append(b, "]}"...)
	}
	return append(b, `],"refusal":null}`...)
}

// appendChatToken appends a token's object without its closing brace.
func appendChatToken(b []byte, t int32, lp []byte) []byte {
	b = append(b, `{"token":`...)
	b = append(b, quotedToken[t]...)
	b = append(b, `,"logprob":`...)
	b = append(b, lp...)
	b = append(b, `,"bytes":[`...)
	if t < 256 {
		b = strconv.AppendInt(b, int64(t), 10)
	}
	return append(b, ']')
}

package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"inferbench/harness/server"
	"inferbench/harness/workload"
)

// prepared is a request that only has to be written.
type prepared struct {
	index     int
	inputLen  int  // tokens of the prompt; 0 where nobody counted its text
	text      bool // it is no list of token ids
	outputLen int
	due       time.Duration // when to send it, in an open loop
	canary    *workload.Canary
	body      *payload // goes back to be used again once it is written
	mayStop   bool     // its own keys let the answer end early
	err       error    // the source could not give the request

	header []byte // its own lines, each after a line end
	said   bool   // what the answer says is kept, reasoning apart
	wanted string // the header of the answer whose value is kept; "": none
}

// encoder writes request bodies. What is the same in every request is encoded
// once.
type encoder struct {
	head, tail []byte
	model      []byte                     // JSON
	body       map[string]json.RawMessage // what is the same in every request but for the model
	chat       bool
	maxTokens  string // what the server calls max_tokens; empty: it is left out
	ignoreEOS  bool   // the server was asked to go on to the full length
	saltKey    string // what the server calls a salt of its prefix cache; empty: it has none
}

func newEncoder(t *server.Server, o Options) (encoder, error) {
	body := map[string]json.RawMessage{
		"temperature":    strconv.AppendFloat(nil, o.Temperature, 'g', -1, 64),
		"ignore_eos":     json.RawMessage("true"),
		"stream":         json.RawMessage("true"),
		"stream_options": json.RawMessage(`{"include_usage":true}`),
	}
	if err := workload.CheckExtraBody(o.ExtraBody); err != nil {
		return encoder{}, fmt.Errorf("load: extra body: %w", err)
	}
	maxTokens := t.Keys.Called("max_tokens")
	if v, ok := o.ExtraBody["max_tokens"]; ok && workload.LeavesOut(v) {
		maxTokens = ""
	}
	if key := t.Dialect.TiersKey; key != "" {
		body[key] = json.RawMessage("true")
	}
	for k := range body {
		if t.Keys.Called(k) == "" {
			delete(body, k)
		}
	}
	for k, v := range o.ExtraBody {
		if workload.LeavesOut(v) {
			delete(body, k)
			continue
		}
		if !json.Valid(v) {
			return encoder{}, fmt.Errorf("load: the extra body's %q is not JSON", k)
		}
		body[k] = v
	}
	m, err := json.Marshal(t.ModelSent())
	if err != nil {
		return encoder{}, fmt.Errorf("load: model name: %w", err)
	}
	e, err := encodeBody(m, maxTokens, body, o.Chat)
	e.saltKey = t.Dialect.SaltKey
	return e, err
}

func encodeBody(model []byte, maxTokens string, body map[string]json.RawMessage, chat bool) (encoder, error) {
	rest, err := tail(body)
	if err != nil {
		return encoder{}, fmt.Errorf("load: extra body: %w", err)
	}
	e := encoder{model: model, maxTokens: maxTokens, body: body, chat: chat,
		ignoreEOS: string(body["ignore_eos"]) == "true"}
	e.head = append(append([]byte(`{"model":`), model...), ',')
	e.tail = rest
	return e, nil
}

// withCounts is the encoder that has every chunk carry the count of tokens so
// far, as vLLM and SGLang can. It is false where requests ask for no usage.
func (e encoder) withCounts() (encoder, bool) {
	options, ok := e.body["stream_options"]
	var fields map[string]any
	if !ok || json.Unmarshal(options, &fields) != nil || fields["include_usage"] != true {
		return e, false
	}
	body := maps.Clone(e.body)
	body["stream_options"] = json.RawMessage(`{"include_usage":true,"continuous_usage_stats":true}`)
	counting, err := encodeBody(e.model, e.maxTokens, body, e.chat)
	counting.saltKey = e.saltKey
	return counting, err == nil
}

var errChatNeedsText = errors.New("the chat endpoint takes text, and this workload has token ids: choose " +
	"DATASET=text or a data set of texts")

// encode writes the body for r to p, which is empty.
func (e encoder) encode(p *payload, r workload.Request) error {
	p.append(e.head)
	switch {
	case e.chat && r.Messages != nil:
		p.append([]byte(`"messages":`))
		p.append(r.Messages)
	case e.chat && r.Tokens != nil:
		return errChatNeedsText
	case e.chat:
		text, err := json.Marshal(r.Text)
		if err != nil {
			return err
		}
		p.append([]byte(`"messages":[{"role":"user","content":`))
		p.append(text)
		p.append([]byte(`}]`))
	case r.Tokens != nil:
		p.append([]byte(`"prompt":[`))
		p.appendIDs(r.Tokens)
		p.append([]byte{']'})
	case r.Messages != nil:
		return errors.New("this request is a list of messages: choose ENDPOINT=chat")
	default:
		text, err := json.Marshal(r.Text)
		if err != nil {
			return err
		}
		p.append([]byte(`"prompt":`))
		p.append(text)
	}
	tail, err := e.rest(r)
	if err != nil {
		return err
	}
	if r.OutputLen > 0 && e.maxTokens != "" {
		var most [128]byte
		buf := append(strconv.AppendQuote(append(most[:0], ','), e.maxTokens), ':')
		p.append(strconv.AppendInt(buf, int64(r.OutputLen), 10))
	}
	p.append(tail)
	return nil
}

// rest is how the body for r ends: the keys that are not of its prompt or length.
func (e encoder) rest(r workload.Request) ([]byte, error) {
	switch {
	case r.Canary != nil:
		return e.canaryTail(r.Canary)
	case r.Extra != nil:
		body := maps.Clone(e.body)
		maps.Copy(body, r.Extra)
		return tail(body)
	}
	return e.tail, nil
}

// tail ends a body with these keys, in order.
func tail(body map[string]json.RawMessage) ([]byte, error) {
	b, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	b[0] = ','
	return b, nil
}

// thousands are the numbers from 0 to 999 in three digits.
var thousands = func() (out [1000][3]byte) {
	for i := range out {
		out[i] = [3]byte{'0' + byte(i/100), '0' + byte(i/10%10), '0' + byte(i%10)}
	}
	return out
}()

// appendID appends a token id. A long prompt has a million of them, so it takes two
// steps for one of up to six digits.
func appendID(buf []byte, id int32) []byte {
	if id < 1000 || id > 999_999 {
		return strconv.AppendInt(buf, int64(id), 10)
	}
	high, low := thousands[id/1000], thousands[id%1000]
	switch {
	case id < 10_000:
		return append(buf, high[2], low[0], low[1], low[2])
	case id < 100_000:
		return append(buf, high[1], high[2], low[0], low[1], low[2])
	}
	return append(buf, high[0], high[1], high[2], low[0], low[1], low[2])
}

// topLogprobs is how many of the likeliest tokens a recorded canary asks for: the
// most that every server gives.
const topLogprobs = 5

// canaryTail is the rest of a canary's body: what every request has, but greedy.
func (e encoder) canaryTail(c *workload.Canary) ([]byte, error) {
	body := maps.Clone(e.body)
	if _, ok := body["temperature"]; ok {
		body["temperature"] = json.RawMessage("0")
	}
	if c.Salt != "" && e.saltKey != "" {
		body[e.saltKey] = strconv.AppendQuote(nil, c.Salt)
	}
	switch n := strconv.AppendInt(nil, topLogprobs, 10); {
	case !c.Logprobs:
	case e.chat:
		body["logprobs"], body["top_logprobs"] = json.RawMessage("true"), n
	default:
		body["logprobs"] = n
	}
	return tail(body)
}

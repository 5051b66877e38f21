package load

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"inferbench/harness/workload"
)

// prepared is a request that only has to be written.
type prepared struct {
	index     int
	inputLen  int // ids in the prompt; 0 where it is text
	outputLen int
	due       time.Duration // when to send it, in an open loop
	body      *[]byte       // goes back to be used again once it is written
	err       error         // the source could not give the request
}

// encoder writes request bodies. What is the same in every request is encoded
// once.
type encoder struct {
	head, tail []byte
	chat       bool
	ignoreEOS  bool // the server was asked to go on to the full length
}

func newEncoder(model string, o Options) (encoder, error) {
	body := map[string]json.RawMessage{
		"temperature":    json.RawMessage("0"),
		"ignore_eos":     json.RawMessage("true"),
		"stream":         json.RawMessage("true"),
		"stream_options": json.RawMessage(`{"include_usage":true}`),
	}
	if err := workload.CheckExtraBody(o.ExtraBody); err != nil {
		return encoder{}, fmt.Errorf("load: extra body: %w", err)
	}
	for k, v := range o.ExtraBody {
		if isNull(v) {
			delete(body, k)
			continue
		}
		if !json.Valid(v) {
			return encoder{}, fmt.Errorf("load: the extra body's %q is not JSON", k)
		}
		body[k] = v
	}
	m, err := json.Marshal(model)
	if err != nil {
		return encoder{}, fmt.Errorf("load: model name: %w", err)
	}
	rest, err := json.Marshal(body) // in order of key
	if err != nil {
		return encoder{}, fmt.Errorf("load: extra body: %w", err)
	}
	e := encoder{chat: o.Chat, ignoreEOS: string(body["ignore_eos"]) == "true"}
	e.head = append(append([]byte(`{"model":`), m...), ',')
	e.tail = append([]byte{','}, rest[1:]...)
	return e, nil
}

var errChatNeedsText = errors.New("the chat endpoint takes text, and this workload has token ids: choose DATASET=text or a data set of texts")

// encode appends the body for r to buf.
func (e encoder) encode(buf []byte, r workload.Request) ([]byte, error) {
	buf = append(buf, e.head...)
	switch {
	case e.chat && r.Messages != nil:
		buf = append(append(buf, `"messages":`...), r.Messages...)
	case e.chat && r.Tokens != nil:
		return buf, errChatNeedsText
	case e.chat:
		text, err := json.Marshal(r.Text)
		if err != nil {
			return buf, err
		}
		buf = append(append(buf, `"messages":[{"role":"user","content":`...), text...)
		buf = append(buf, `}]`...)
	case r.Tokens != nil:
		buf = append(buf, `"prompt":[`...)
		for i, id := range r.Tokens {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = strconv.AppendInt(buf, int64(id), 10)
		}
		buf = append(buf, ']')
	case r.Messages != nil:
		return buf, errors.New("this request is a list of messages: choose ENDPOINT=chat")
	default:
		text, err := json.Marshal(r.Text)
		if err != nil {
			return buf, err
		}
		buf = append(append(buf, `"prompt":`...), text...)
	}
	if r.OutputLen > 0 {
		buf = append(buf, `,"max_tokens":`...)
		buf = strconv.AppendInt(buf, int64(r.OutputLen), 10)
	}
	return append(buf, e.tail...), nil
}

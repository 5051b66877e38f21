package load

import (
	"encoding/json"
	"fmt"
	"strconv"

	"inferbench/harness/workload"
)

// prepared is a request that only has to be written.
type prepared struct {
	index     int
	inputLen  int // ids in the prompt; 0 where it is text
	outputLen int
	body      []byte
	err       error // the source could not give the request
}

// encoder writes request bodies. What is the same in every request is encoded
// once.
type encoder struct {
	head, tail []byte
}

func newEncoder(model string) (encoder, error) {
	m, err := json.Marshal(model)
	if err != nil {
		return encoder{}, fmt.Errorf("load: model name: %w", err)
	}
	return encoder{
		head: append(append([]byte(`{"model":`), m...), `,"prompt":`...),
		tail: []byte(`,"temperature":0,"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`),
	}, nil
}

// encode appends the body for r to buf.
func (e encoder) encode(buf []byte, r workload.Request) ([]byte, error) {
	buf = append(buf, e.head...)
	if r.Tokens != nil {
		buf = append(buf, '[')
		for i, id := range r.Tokens {
			if i > 0 {
				buf = append(buf, ',')
			}
			buf = strconv.AppendInt(buf, int64(id), 10)
		}
		buf = append(buf, ']')
	} else {
		text, err := json.Marshal(r.Text)
		if err != nil {
			return buf, err
		}
		buf = append(buf, text...)
	}
	if r.OutputLen > 0 {
		buf = append(buf, `,"max_tokens":`...)
		buf = strconv.AppendInt(buf, int64(r.OutputLen), 10)
	}
	return append(buf, e.tail...), nil
}

package traces

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	gojson "github.com/go-json-experiment/json"

	"inferbench/harness/session"
)

// mooncakeLine is a turn as Mooncake's traces, and AIPerf's, have it: a line of a file.
// One of input_length, text_input, messages and payload says what is sent.
type mooncakeLine struct {
	Type      string   `json:"type"`
	SessionID *string  `json:"session_id"` // of lines that are turns of one session; none: a session of its own
	Timestamp *float64 `json:"timestamp"`  // ms
	Delay     *float64 `json:"delay"`      // ms before a turn, from the end of the one before it

	InputLength  *int     `json:"input_length"` // tokens of the whole prompt
	OutputLength *int     `json:"output_length"`
	HashIDs      blockIDs `json:"hash_ids"` // of blocks of 512 tokens; the same in all sessions

	Text     *string                    `json:"text_input"` // what the user says
	Messages []json.RawMessage          `json:"messages"`   // all of them, with the answers
	Tools    json.RawMessage            `json:"tools"`
	Payload  map[string]json.RawMessage `json:"payload"` // a whole body
	Extra    map[string]json.RawMessage `json:"extra"`   // keys of the body
}

// mooncakeBlock is how many tokens a hash id stands for
// (https://github.com/kvcache-ai/Mooncake, "hash_ids").
const mooncakeBlock = 512

// readMooncake reads a file of lines. Sessions keep the order in which they begin.
func readMooncake(ctx context.Context, s *source) error {
	if err := s.text(); err != nil {
		return err
	}
	var sessions bySession[mooncakeSession]
	err := s.lines(ctx, func(n int, line []byte) error {
		var x mooncakeLine
		if err := gojson.Unmarshal(line, &x, gojson.RejectUnknownMembers(true)); err != nil {
			return err
		}
		m := sessions.of(x.SessionID, n, func(id string) *mooncakeSession {
			return &mooncakeSession{trace: session.Trace{ID: id, Block: mooncakeBlock, Global: true,
				Streams: []session.Stream{{Parent: -1}}}}
		})
		return m.add(ctx, s, &x)
	})
	if err != nil {
		return err
	}
	for _, m := range sessions.all {
		if err := s.add(m.trace); err != nil {
			return err
		}
	}
	return nil
}

func (x *mooncakeLine) check() error {
	inputs := 0
	for _, given := range []bool{x.InputLength != nil, x.Text != nil, x.Messages != nil, x.Payload != nil} {
		if given {
			inputs++
		}
	}
	switch {
	case x.Type != "" && x.Type != "mooncake_trace":
		return fmt.Errorf("key type: %q, want mooncake_trace", printable(x.Type))
	case inputs != 1:
		return errors.New("want one of the keys input_length, text_input, messages and payload")
	case x.HashIDs != nil && x.InputLength == nil:
		return errors.New("key hash_ids: only what has an input_length has some")
	case x.Tools != nil && x.Messages == nil:
		return errors.New("key tools: only what has messages has some")
	case x.InputLength == nil:
		return nil
	case *x.InputLength < 1 || *x.InputLength > mostTokens:
		return fmt.Errorf("key input_length: want 1 token or more, %d at most", mostTokens)
	case x.OutputLength == nil || *x.OutputLength < 0 || *x.OutputLength > mostTokens:
		return fmt.Errorf("key output_length: want 0 tokens or more, %d at most", mostTokens)
	}
	return nil
}

// said is what a line of texts says: a user's text behind all that was said before, or
// messages that are whole in themselves.
func (x *mooncakeLine) said(odd *oddities) (u said, err error) {
	switch {
	case x.Text != nil && *x.Text == "":
		return u, errors.New("key text_input: it is empty")
	case x.Text != nil:
		u.text, u.says = *x.Text, []session.Message{{Role: "user", Content: *x.Text}}
	case x.Messages != nil:
		u.whole, err = true, u.readMessages(x.Messages)
	default:
		u.whole, err = true, u.readPayload(x.Payload, odd)
	}
	if err == nil && x.Tools != nil {
		u.body = map[string]json.RawMessage{"tools": x.Tools}
	}
	if x.OutputLength != nil {
		u.output = x.OutputLength
	}
	if err == nil {
		err = u.readExtra(x.Extra, odd)
	}
	return u, err
}

// readPayload reads a whole body. How it is streamed is the suite's own.
func (u *said) readPayload(payload map[string]json.RawMessage, odd *oddities) error {
	var messages []json.RawMessage
	if json.Unmarshal(payload["messages"], &messages) != nil {
		return errors.New("key payload: it has no list of messages, and only chats are followed here")
	}
	if err := u.readMessages(messages); err != nil {
		return fmt.Errorf("key payload, %w", err)
	}
	for _, own := range []string{"messages", "stream", "stream_options"} {
		delete(payload, own)
	}
	if err := u.readBody(payload, odd); err != nil {
		return fmt.Errorf("key payload: %w", err)
	}
	return nil
}

// mooncakeSession is a session that is being read.
type mooncakeSession struct {
	trace session.Trace
	pace  pace
}

// add takes in a session's next turn.
func (m *mooncakeSession) add(ctx context.Context, s *source, x *mooncakeLine) error {
	if err := x.check(); err != nil {
		return err
	}
	t := &m.trace
	k := len(t.Turns)
	turn := session.Turn{After: k - 1}
	var before *session.Turn
	if k > 0 {
		before = &t.Turns[k-1]
		if before.Says == nil != (x.InputLength != nil) {
			return errors.New("its session has lines of lengths and lines of texts")
		}
	}
	if err := m.pace.set(&turn, before, x.Timestamp, x.Delay, &s.odd); err != nil {
		return err
	}
	if x.InputLength == nil {
		u, err := x.said(&s.odd)
		if err != nil {
			return err
		}
		t.Block, t.Global, t.Live = 0, false, t.Live || !u.whole
		history := k - 1
		if u.whole {
			history = -1
		}
		return s.say(ctx, t, turn, u, history)
	}
	var own said
	if err := own.readExtra(x.Extra, &s.odd); err != nil {
		return err
	}
	turn.In, turn.Out, turn.Blocks, turn.Body = *x.InputLength, max(*x.OutputLength, 1), x.HashIDs, own.body
	if *x.OutputLength == 0 {
		s.odd.noOutput++
	}
	if before != nil && session.Common(before.Blocks, turn.Blocks) < len(before.Blocks)-1 {
		s.odd.shrunk++
	}
	t.Turns = append(t.Turns, turn)
	return nil
}

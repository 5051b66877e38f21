package traces

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"inferbench/harness/session"
	"inferbench/harness/workload"
)

// said is a turn of texts as AIPerf's formats have it.
type said struct {
	says   []session.Message
	text   string // of them, for counting
	whole  bool   // they are all that is sent
	output *int   // tokens of the answer; nil where nothing tells
	body   map[string]json.RawMessage
}

// readMessages reads messages of a chat. All of their keys are sent as they are.
func (u *said) readMessages(list []json.RawMessage) error {
	if len(list) == 0 {
		return errors.New("key messages: there are none")
	}
	for i, raw := range list {
		var keys map[string]json.RawMessage
		if json.Unmarshal(raw, &keys) != nil || keys == nil {
			return fmt.Errorf("key messages, entry %d: want an object", i)
		}
		var m session.Message
		if json.Unmarshal(keys["role"], &m.Role) != nil || m.Role == "" {
			return fmt.Errorf("key messages, entry %d, key role: there is none", i)
		}
		if len(keys) == 2 && json.Unmarshal(keys["content"], &m.Content) == nil {
			u.text += m.Content + "\n"
		} else {
			m.Verbatim = raw
			u.text += contentText(keys["content"]) + "\n"
		}
		u.says = append(u.says, m)
	}
	return nil
}

// contentText is the text of a message's content.
func contentText(content json.RawMessage) (text string) {
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []struct{ Text string }
	if json.Unmarshal(content, &parts) == nil {
		for _, p := range parts {
			text += p.Text
		}
	}
	return text
}

// outputKeys are what bodies call the most tokens of an answer.
var outputKeys = []string{"max_tokens", "max_completion_tokens"}

// readBody takes in keys of a turn's body, which stand in place of those of the suite.
// A model is not followed, and counted.
func (u *said) readBody(keys map[string]json.RawMessage, odd *oddities) error {
	for k, v := range keys {
		switch {
		case k == "model":
			odd.models++
			continue
		case k == outputKeys[0] || k == outputKeys[1]:
			if json.Unmarshal(v, &u.output) != nil {
				return fmt.Errorf("key %s: want a whole number", k)
			}
			continue
		}
		if u.body == nil {
			u.body = map[string]json.RawMessage{}
		}
		u.body[k] = v
	}
	return workload.CheckExtraBody(u.body)
}

// readExtra is [said.readBody] of a turn's own key extra.
func (u *said) readExtra(keys map[string]json.RawMessage, odd *oddities) error {
	if err := u.readBody(keys, odd); err != nil {
		return fmt.Errorf("key extra: %w", err)
	}
	return nil
}

// say appends a turn of texts to a trace: it has its stream and its time already. Before
// it stands what was said up to the turn history, and the answer to that; -1 for nothing.
func (s *source) say(ctx context.Context, t *session.Trace, turn session.Turn, u said, history int) error {
	turn.Says, turn.Whole, turn.Body, turn.Out = u.says, u.whole, u.body, defaultOutput
	switch {
	case u.output == nil:
		s.odd.unsaid++
	case *u.output < 0 || *u.output > mostTokens:
		return fmt.Errorf("tokens of the answer: want 0 or more, %d at most", mostTokens)
	case *u.output == 0:
		s.odd.noOutput++
		turn.Out = 1
	default:
		turn.Out = *u.output
	}
	tokens, err := s.tokens(ctx, u.text)
	if err != nil {
		return err
	}
	if history >= 0 {
		tokens += t.Turns[history].In + t.Turns[history].Out
	}
	turn.In = max(min(tokens, mostTokens), 1)
	t.Turns = append(t.Turns, turn)
	return nil
}

// pace is when the turns of a session were recorded.
type pace struct {
	first float64 // timestamp of the first
}

// set gives a turn its time after the one before it, nil for none. A delay is from the
// end of that one; where there is none, the times at which the two were sent tell it.
func (p *pace) set(turn, before *session.Turn, timestamp, delay *float64, odd *oddities) error {
	switch {
	case timestamp != nil && !(*timestamp >= 0):
		return errors.New("key timestamp: want 0 or more")
	case delay != nil && !(*delay >= 0):
		return errors.New("key delay: want 0 or more")
	case before == nil:
		if timestamp != nil {
			p.first = *timestamp
		}
		return nil
	}
	turn.At = before.At
	switch {
	case delay != nil:
		turn.Delay = milliseconds(*delay)
		turn.At += turn.Delay
	case timestamp != nil:
		at := milliseconds(*timestamp - p.first)
		if at < before.At {
			odd.backwards++
			at = before.At
		}
		turn.At, turn.Delay = at, at-before.At
	}
	return nil
}

func milliseconds(ms float64) time.Duration { return seconds(ms / 1000) }

package traces

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"inferbench/harness/session"
)

// conversation is one of a ShareGPT file, or of OpenAI's messages.
type conversation struct {
	ID            any       `json:"id"`
	Conversations []message `json:"conversations"`
	Messages      []message `json:"messages"`
}

// message is what one side said.
type message struct {
	From    string          `json:"from"`
	Value   string          `json:"value"`
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
	Calls   json.RawMessage `json:"tool_calls"`
}

// roles are what a chat calls who speaks.
var roles = map[string]string{"human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
	"system": "system", "developer": "system"}

// read is the message as a chat has it.
func (m message) read() (session.Message, error) {
	role := strings.ToLower(cmp.Or(m.From, m.Role))
	out := session.Message{Role: roles[role], Content: m.Value}
	switch {
	case out.Role == "":
		return out, fmt.Errorf("a turn of %q, which is none of user, assistant and system", role)
	case len(m.Calls) > 0 && string(m.Calls) != "null" && string(m.Calls) != "[]":
		return out, errors.New("calls of tools, which are not followed here")
	case len(m.Content) == 0 || string(m.Content) == "null":
		return out, nil
	case json.Unmarshal(m.Content, &out.Content) == nil:
		return out, nil
	}
	var parts []struct{ Type, Text string }
	if json.Unmarshal(m.Content, &parts) != nil {
		return out, errors.New("content that is no text")
	}
	for _, p := range parts {
		if p.Type != "text" {
			return out, fmt.Errorf("content of type %q, which is not followed here", p.Type)
		}
		out.Content += p.Text
	}
	return out, nil
}

// readTurns reads conversations, a JSON list of them or one a line, with all of their
// turns. One that cannot be sent is left out, and told.
func readTurns(ctx context.Context, s *source) error {
	if err := s.text(); err != nil {
		return err
	}
	dec := json.NewDecoder(s.in)
	if first, err := firstByte(s); err == nil && first == '[' {
		if _, err := dec.Token(); err != nil {
			return fmt.Errorf("read %s: %w", s.file, err)
		}
	}
	for n := 1; dec.More() && !s.enough(); n++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var c conversation
		var wrong *json.UnmarshalTypeError
		err := dec.Decode(&c)
		if err != nil && !errors.As(err, &wrong) {
			return fmt.Errorf("%s: conversation %d: %w", s.file, n, err)
		}
		if err == nil {
			err = s.converse(ctx, n, c)
		}
		if unsendable := (unsendable{}); errors.As(err, &unsendable) || wrong != nil {
			if s.odd.unusable++; s.odd.unusable == 1 {
				s.odd.example = fmt.Sprintf("conversation %d: %v", n, err)
			}
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// firstByte looks at the first byte of the file that is not a space.
func firstByte(s *source) (byte, error) {
	for n := 1; ; n++ {
		head, err := s.in.Peek(n)
		if text := bytes.TrimSpace(head); len(text) > 0 {
			return text[0], nil
		}
		if err != nil || n > 4096 {
			return 0, cmp.Or(err, io.EOF)
		}
	}
}

// unsendable is the error of a conversation that is left out.
type unsendable struct{ why string }

func (e unsendable) Error() string { return e.why }

// converse makes a session of a conversation: a turn for each answer.
func (s *source) converse(ctx context.Context, n int, c conversation) error {
	all := c.Conversations
	if all == nil {
		all = c.Messages
	}
	t := session.Trace{ID: fmt.Sprintf("conversation-%d", n), Streams: []session.Stream{{Parent: -1}}}
	if len(s.ids) > 0 && s.file != "" {
		if _, twice := s.ids[t.ID]; twice {
			t.ID = fmt.Sprintf("%s:%d", s.file, n)
		}
	}
	var says []session.Message
	in := 0
	for _, m := range all {
		x, err := m.read()
		if err != nil {
			return unsendable{err.Error()}
		}
		tokens, err := s.tokens(ctx, x.Content)
		if err != nil {
			return err
		}
		if x.Role == "assistant" && len(says) > 0 && says[len(says)-1].Role == "user" {
			t.Turns = append(t.Turns, session.Turn{After: len(t.Turns) - 1, In: max(in, 1), Out: max(tokens, 1), Says: says,
				Answer: x.Content})
			says = nil
		} else {
			says = append(says, x)
		}
		in += tokens
	}
	switch {
	case len(t.Turns) == 0:
		return unsendable{"nothing in it that a user said was answered"}
	case len(says) > 0:
		s.odd.open++
	}
	return s.add(t)
}

// tokens counts or estimates those of a text.
func (s *source) tokens(ctx context.Context, text string) (int, error) {
	if s.Count == nil {
		s.odd.guessed = true
		return (len([]rune(text)) + 3) / 4, nil
	}
	if text == "" {
		return 0, nil
	}
	return s.Count(ctx, text)
}

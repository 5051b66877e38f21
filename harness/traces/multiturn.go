package traces

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	gojson "github.com/go-json-experiment/json"

	"inferbench/harness/session"
)

// multiTurnLine is a session as AIPerf's multi_turn files have it, or a part of one:
// what users say, the answers being the server's own.
type multiTurnLine struct {
	Type      string          `json:"type"`
	SessionID *string         `json:"session_id"`
	Turns     []multiTurnTurn `json:"turns"`
}

type multiTurnTurn struct {
	Type      string                     `json:"type"`
	Text      string                     `json:"text"`
	Texts     []json.RawMessage          `json:"texts"` // texts, or named lists of them
	Role      string                     `json:"role"`
	Timestamp *float64                   `json:"timestamp"` // ms
	Delay     *float64                   `json:"delay"`     // ms, from the end of the turn before it
	Output    *int                       `json:"output_length"`
	Extra     map[string]json.RawMessage `json:"extra"` // keys of the body
}

// readMultiTurn reads a file of lines. Lines of one session_id are one session.
func readMultiTurn(ctx context.Context, s *source) error {
	if err := s.text(); err != nil {
		return err
	}
	var sessions bySession[multiTurnSession]
	err := s.lines(ctx, func(n int, line []byte) error {
		var x multiTurnLine
		if err := gojson.Unmarshal(line, &x, gojson.RejectUnknownMembers(true)); err != nil {
			return err
		}
		m := sessions.of(x.SessionID, n, func(id string) *multiTurnSession { return &multiTurnSession{id: id} })
		if len(x.Turns) == 0 {
			return errors.New("key turns: there are none")
		}
		for i := range x.Turns {
			if err := x.Turns[i].check(); err != nil {
				return fmt.Errorf("turn %d, %w", i, err)
			}
		}
		m.turns = append(m.turns, x.Turns...)
		return nil
	})
	for _, m := range sessions.all {
		if err == nil && !s.enough() {
			err = m.finish(ctx, s)
		}
	}
	return err
}

// text is all that a turn says, its texts on lines of their own.
func (x *multiTurnTurn) text() (string, error) {
	texts := []string{x.Text}
	for i, raw := range x.Texts {
		var text string
		var named struct{ Contents []string }
		switch {
		case json.Unmarshal(raw, &text) == nil:
			texts = append(texts, text)
		case json.Unmarshal(raw, &named) == nil && len(named.Contents) > 0:
			texts = append(texts, named.Contents...)
		default:
			return "", fmt.Errorf("key texts, entry %d: want a text, or an object with contents", i)
		}
	}
	return strings.TrimPrefix(strings.Join(texts, "\n"), "\n"), nil
}

func (x *multiTurnTurn) check() error {
	text, err := x.text()
	switch {
	case err != nil:
		return err
	case x.Text != "" && x.Texts != nil:
		return errors.New("keys text and texts: want one of them")
	case text == "":
		return errors.New("key text: there is none (pictures, sound and films are not followed here)")
	case strings.EqualFold(x.Role, "assistant"):
		return errors.New("key role: answers are the server's own")
	}
	return nil
}

// multiTurnSession is a session that is being read.
type multiTurnSession struct {
	id    string
	turns []multiTurnTurn
}

// finish makes the session. A system turn at its beginning that has nothing but its text
// is no request of its own: it stands before the first one.
func (m *multiTurnSession) finish(ctx context.Context, s *source) error {
	t := session.Trace{ID: m.id, Live: true, Streams: []session.Stream{{Parent: -1}}}
	turns := m.turns
	var head said
	if len(turns) > 1 && turns[0].lone() && turns[1].Role != "system" {
		head.text, _ = turns[0].text()
		head.says = []session.Message{{Role: "system", Content: head.text}}
		turns = turns[1:]
	}
	var p pace
	for k := range turns {
		x, u := &turns[k], head
		head = said{}
		text, _ := x.text()
		role := x.Role
		if role == "" {
			role = "user"
		}
		u.says, u.text, u.output = append(u.says, session.Message{Role: role, Content: text}), u.text+"\n"+text, x.Output
		turn := session.Turn{After: k - 1}
		var before *session.Turn
		if k > 0 {
			before = &t.Turns[k-1]
		}
		err := p.set(&turn, before, x.Timestamp, x.Delay, &s.odd)
		if err == nil {
			err = u.readExtra(x.Extra, &s.odd)
		}
		if err == nil {
			err = s.say(ctx, &t, turn, u, k-1)
		}
		if err != nil {
			return fmt.Errorf("%s: session %s: turn %d, %w", s.file, printable(m.id), k, err)
		}
	}
	return s.add(t)
}

// lone reports whether a turn is a system prompt and nothing else.
func (x *multiTurnTurn) lone() bool {
	return x.Role == "system" && x.Timestamp == nil && x.Delay == nil && x.Output == nil && x.Extra == nil
}

package traces

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"inferbench/harness/session"
)

// agenticTrace is a file of SGLang's agentic-trace: what users and tools said in each
// turn. The answers are those of the server that is measured.
type agenticTrace struct {
	Metadata      jsontext.Value  `json:"metadata"`
	Conversations [][]agenticTurn `json:"conversations"`
}

type agenticTurn struct {
	Messages     []session.Message `json:"messages"` // new ones
	PromptTokens *int              `json:"prompt_tokens"`
	OutputTokens *int              `json:"output_tokens"`
}

// defaultOutput is how many tokens an answer has where the file does not tell, as in
// SGLang's benchmark.
const defaultOutput = 220

// readAgenticTrace reads such a file.
func readAgenticTrace(_ context.Context, s *source) error {
	if err := s.text(); err != nil {
		return err
	}
	var file agenticTrace
	if err := json.UnmarshalRead(s.in, &file, json.RejectUnknownMembers(true)); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", s.file, inWords(err))
	}
	for i, turns := range file.Conversations {
		t := session.Trace{ID: fmt.Sprintf("conversation-%d", i), Live: true, Streams: []session.Stream{{Parent: -1}}}
		if _, twice := s.ids[t.ID]; twice {
			t.ID = fmt.Sprintf("%s:%d", s.file, i)
		}
		for k, u := range turns {
			turn, err := u.read()
			if err != nil {
				return fmt.Errorf("%s: conversation %d: request %d, %w", s.file, i, k, err)
			}
			turn.After = k - 1
			t.Turns = append(t.Turns, turn)
		}
		if err := s.add(t); err != nil {
			return err
		}
		if s.enough() {
			break
		}
	}
	return nil
}

func (u *agenticTurn) read() (session.Turn, error) {
	turn := session.Turn{In: 1, Out: defaultOutput, Says: u.Messages}
	switch {
	case len(u.Messages) == 0:
		return turn, errors.New("key messages: there are none")
	case u.PromptTokens != nil && (*u.PromptTokens < 1 || *u.PromptTokens > mostTokens):
		return turn, fmt.Errorf("key prompt_tokens: want 1 or more, %d at most", mostTokens)
	case u.OutputTokens != nil && (*u.OutputTokens < 1 || *u.OutputTokens > mostTokens):
		return turn, fmt.Errorf("key output_tokens: want 1 or more, %d at most", mostTokens)
	}
	for _, m := range u.Messages {
		if m.Role == "" || m.Role == "assistant" {
			return turn, fmt.Errorf("key messages: one of role %q, and answers are the server's", m.Role)
		}
	}
	if u.PromptTokens != nil {
		turn.In = *u.PromptTokens
	}
	if u.OutputTokens != nil {
		turn.Out = *u.OutputTokens
	}
	return turn, nil
}

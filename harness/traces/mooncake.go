package traces

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"inferbench/harness/session"
)

// mooncakeLine is a turn as Mooncake's traces, and AIPerf's, have it: a line of a file.
type mooncakeLine struct {
	SessionID    *string  `json:"session_id"`   // of lines that are turns of one session; none: a session of its own
	Timestamp    *float64 `json:"timestamp"`    // ms
	Delay        *float64 `json:"delay"`        // ms before a turn, from the end of the one before it
	InputLength  *int     `json:"input_length"` // tokens of the whole prompt
	OutputLength *int     `json:"output_length"`
	HashIDs      blockIDs `json:"hash_ids"` // of blocks of 512 tokens; the same in all sessions
}

// mooncakeBlock is how many tokens a hash id stands for
// (https://github.com/kvcache-ai/Mooncake, "hash_ids").
const mooncakeBlock = 512

// readMooncake reads a file of lines. Sessions keep the order in which they begin.
func readMooncake(ctx context.Context, s *source) error {
	if err := s.text(); err != nil {
		return err
	}
	byID := map[string]*mooncakeSession{}
	var all []*mooncakeSession
	err := s.lines(ctx, func(n int, line []byte) error {
		var x mooncakeLine
		err := json.Unmarshal(line, &x, json.RejectUnknownMembers(true))
		if err == nil {
			err = x.check()
		}
		if err != nil {
			return s.wrongLine(n, err)
		}
		id := fmt.Sprintf("line-%d", n)
		if x.SessionID != nil {
			id = *x.SessionID
		}
		m := byID[id]
		if m == nil {
			m = &mooncakeSession{trace: session.Trace{ID: id, Block: mooncakeBlock, Global: true,
				Streams: []session.Stream{{Parent: -1}}}}
			byID[id] = m
			all = append(all, m)
		}
		m.add(&x, &s.odd)
		return nil
	})
	if err != nil {
		return err
	}
	for _, m := range all {
		if err := s.add(m.trace); err != nil {
			return err
		}
	}
	return nil
}

// wrongLine is the error of line n: which key it is in.
func (s *source) wrongLine(n int, err error) error {
	return fmt.Errorf("%s: line %d: %w", s.file, n, inWords(err))
}

func (x *mooncakeLine) check() error {
	switch {
	case x.InputLength == nil || *x.InputLength < 1 || *x.InputLength > mostTokens:
		return fmt.Errorf("key input_length: want 1 token or more, %d at most (prompts that are texts are not read here)",
			mostTokens)
	case x.OutputLength == nil || *x.OutputLength < 0 || *x.OutputLength > mostTokens:
		return fmt.Errorf("key output_length: want 0 tokens or more, %d at most", mostTokens)
	case x.Timestamp != nil && !(*x.Timestamp >= 0):
		return errors.New("key timestamp: want 0 or more")
	case x.Delay != nil && !(*x.Delay >= 0):
		return errors.New("key delay: want 0 or more")
	}
	return nil
}

// mooncakeSession is a session that is being read.
type mooncakeSession struct {
	trace session.Trace
	first float64 // timestamp of its first line
}

// add takes in a session's next turn. A delay is from the end of the turn before it;
// where there is none, the times at which the two were sent tell it.
func (m *mooncakeSession) add(x *mooncakeLine, odd *oddities) {
	t := &m.trace
	k := len(t.Turns)
	turn := session.Turn{After: k - 1, In: *x.InputLength, Out: max(*x.OutputLength, 1), Blocks: x.HashIDs}
	if *x.OutputLength == 0 {
		odd.noOutput++
	}
	if k == 0 {
		if x.Timestamp != nil {
			m.first = *x.Timestamp
		}
		t.Turns = append(t.Turns, turn)
		return
	}
	before := &t.Turns[k-1]
	turn.At = before.At
	switch {
	case x.Delay != nil:
		turn.Delay = milliseconds(*x.Delay)
		turn.At += turn.Delay
	case x.Timestamp != nil:
		at := milliseconds(*x.Timestamp - m.first)
		if at < before.At {
			odd.backwards++
			at = before.At
		}
		turn.At, turn.Delay = at, at-before.At
	}
	if n := session.Common(before.Blocks, turn.Blocks); n < len(before.Blocks)-1 {
		odd.shrunk++
	}
	t.Turns = append(t.Turns, turn)
}

func milliseconds(ms float64) time.Duration { return seconds(ms / 1000) }

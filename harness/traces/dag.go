package traces

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	gojson "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"inferbench/harness/session"
)

// dagLine is a conversation as AIPerf's dag_jsonl files have it. One that no other forks
// or spawns is a session's root.
type dagLine struct {
	SessionID string    `json:"session_id"`
	Turns     []dagTurn `json:"turns"`
	Pre       []string  `json:"pre_session_spawns"` // that begin with the conversation, and that nothing waits for
}

type dagTurn struct {
	Messages  []json.RawMessage          `json:"messages"` // new ones
	Model     *string                    `json:"model"`
	MaxTokens *int                       `json:"max_tokens"`
	Tools     json.RawMessage            `json:"tools"` // of this turn and the later ones
	Extra     map[string]json.RawMessage `json:"extra"` // keys of the body
	Delay     float64                    `json:"delay"` // ms, from the end of the turn before it
	Forks     []dagFork                  `json:"forks"`
	Spawns    []dagSpawn                 `json:"spawns"`
}

// dagFork is a conversation that goes on with what a turn's had come to. Where it is not
// in the background, that one ends with the turn.
type dagFork struct {
	Child      string `json:"child"`
	Background bool   `json:"background"`
}

// UnmarshalJSONFrom reads the name of a conversation, or an object.
func (f *dagFork) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		return gojson.UnmarshalDecode(d, &f.Child)
	}
	type plain dagFork
	return gojson.UnmarshalDecode(d, (*plain)(f))
}

// dagSpawn are conversations that begin anew behind a turn, and that turn JoinAt waits
// for; the next one where that is nil.
type dagSpawn struct {
	Children []string `json:"children"`
	JoinAt   *int     `json:"join_at"`
}

// UnmarshalJSONFrom reads the name of a conversation, or an object.
func (p *dagSpawn) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	if d.PeekKind() == '"' {
		p.Children = []string{""}
		return gojson.UnmarshalDecode(d, &p.Children[0])
	}
	type plain dagSpawn
	return gojson.UnmarshalDecode(d, (*plain)(p))
}

// mostSpawned is how many turns a session may come to, so that conversations which spawn
// each other do not cost all memory.
const mostSpawned = 1 << 14

// readDAG reads a file of lines.
func readDAG(ctx context.Context, s *source) error {
	if err := s.text(); err != nil {
		return err
	}
	d := dag{source: s, lines: map[string]*dagLine{}}
	var names []string
	err := s.lines(ctx, func(n int, line []byte) error {
		var x dagLine
		err := gojson.Unmarshal(line, &x, gojson.RejectUnknownMembers(true))
		if err == nil {
			err = d.add(&x)
		}
		if err != nil {
			return err
		}
		names = append(names, x.SessionID)
		return nil
	})
	if err != nil {
		return err
	}
	children := map[string]bool{}
	for _, name := range names {
		for _, child := range d.lines[name].children() {
			if d.lines[child] == nil {
				return fmt.Errorf("%s: session %s: there is no session %s in the file", s.file, printable(name), printable(child))
			}
			children[child] = true
		}
	}
	roots := slices.DeleteFunc(names, func(name string) bool { return children[name] })
	if len(roots) == 0 && len(children) > 0 {
		return fmt.Errorf("%s: all sessions are forked or spawned by others, in a circle", s.file)
	}
	for _, name := range roots {
		if s.enough() {
			break
		}
		if err := d.session(ctx, name); err != nil {
			return fmt.Errorf("%s: session %s: %w", s.file, printable(name), err)
		}
	}
	return nil
}

// children are the conversations that one forks and spawns.
func (x *dagLine) children() []string {
	all := slices.Clone(x.Pre)
	for i := range x.Turns {
		for _, f := range x.Turns[i].Forks {
			all = append(all, f.Child)
		}
		for _, p := range x.Turns[i].Spawns {
			all = append(all, p.Children...)
		}
	}
	return all
}

// dag are the conversations of a file.
type dag struct {
	*source
	lines map[string]*dagLine

	trace session.Trace // that is being made
	way   []string      // the conversations from its root to the one that is added
}

// add takes in a conversation.
func (d *dag) add(x *dagLine) error {
	switch {
	case x.SessionID == "":
		return errors.New("key session_id: there is none")
	case d.lines[x.SessionID] != nil:
		return fmt.Errorf("key session_id: there are two of %s", printable(x.SessionID))
	case len(x.Turns) == 0:
		return errors.New("key turns: there are none")
	}
	for i := range x.Turns {
		u := &x.Turns[i]
		for _, f := range u.Forks {
			if !f.Background && i < len(x.Turns)-1 {
				return fmt.Errorf("turn %d, key forks: %s takes the conversation over, but turns come after it: want "+
					"background", i, printable(f.Child))
			}
		}
		for _, p := range u.Spawns {
			switch {
			case len(p.Children) == 0:
				return fmt.Errorf("turn %d, key spawns: no children", i)
			case p.JoinAt != nil && (*p.JoinAt <= i || *p.JoinAt >= len(x.Turns)):
				return fmt.Errorf("turn %d, key join_at: %d, want a turn behind it, of %d", i, *p.JoinAt, len(x.Turns))
			}
		}
		if !(u.Delay >= 0) {
			return fmt.Errorf("turn %d, key delay: want 0 or more", i)
		}
		if err := new(said).readMessages(u.Messages); err != nil {
			return fmt.Errorf("turn %d, %w", i, err)
		}
	}
	d.lines[x.SessionID] = x
	return nil
}

// session makes the session of a root.
func (d *dag) session(ctx context.Context, root string) error {
	d.trace = session.Trace{ID: root, Live: true, Streams: []session.Stream{{Parent: -1}}}
	if _, err := d.converse(ctx, root, 0, -1, nil); err != nil {
		return err
	}
	d.trace.Order()
	return d.source.take(d.trace)
}

// converse makes the turns of a conversation, and of those that it forks and spawns, the
// first of them after that turn. It returns its last one.
func (d *dag) converse(ctx context.Context, name string, stream, after int, tools json.RawMessage) (last int,
	err error) {
	if slices.Contains(d.way, name) {
		return 0, fmt.Errorf("session %s comes to fork or spawn itself", printable(name))
	}
	d.way = append(d.way, name)
	defer func() { d.way = d.way[:len(d.way)-1] }()
	x := d.lines[name]
	begin := func(child string, after int, forked bool) (int, error) {
		inherited := tools
		if !forked {
			inherited = nil
		}
		d.trace.Streams = append(d.trace.Streams, session.Stream{ID: child, Parent: stream, Forked: forked})
		return d.converse(ctx, child, len(d.trace.Streams)-1, after, inherited)
	}
	for _, child := range x.Pre {
		if _, err := begin(child, after, false); err != nil {
			return 0, err
		}
	}
	joins := make([][]int, len(x.Turns)) // what each turn waits for
	for i := range x.Turns {
		u := &x.Turns[i]
		if u.Tools != nil {
			tools = u.Tools
		}
		if err := d.say(ctx, u, stream, after, joins[i], tools); err != nil {
			return 0, fmt.Errorf("turn %d, %w", i, err)
		}
		after = len(d.trace.Turns) - 1
		last = after
		for _, f := range u.Forks {
			if _, err := begin(f.Child, last, true); err != nil {
				return 0, err
			}
		}
		for _, p := range u.Spawns {
			for _, child := range p.Children {
				end, err := begin(child, last, false)
				if err != nil {
					return 0, err
				}
				at := i + 1
				if p.JoinAt != nil {
					at = *p.JoinAt
				}
				if at < len(joins) {
					joins[at] = append(joins[at], end)
				} else {
					d.odd.background++
				}
			}
		}
	}
	return last, nil
}

// say adds a turn. It begins when what it comes after has, or later: the file has no
// times but pauses.
func (d *dag) say(ctx context.Context, x *dagTurn, stream, after int, waits []int, tools json.RawMessage) error {
	t := &d.trace
	history := after // the turn before it, or the one that it was forked at
	if after >= 0 && t.Turns[after].Stream != stream && !t.Streams[stream].Forked {
		history = -1
	}
	if len(t.Turns) >= mostSpawned {
		return fmt.Errorf("the session comes to more than %d turns", mostSpawned)
	}
	turn := session.Turn{Stream: stream, After: after, Delay: milliseconds(x.Delay), Waits: waits}
	for _, before := range append(slices.Clip(waits), after) {
		if before >= 0 {
			turn.At = max(turn.At, t.Turns[before].At)
		}
	}
	turn.At += turn.Delay
	var u said
	if err := u.readMessages(x.Messages); err != nil {
		return err
	}
	if tools != nil {
		u.body = map[string]json.RawMessage{"tools": tools}
	}
	if x.Model != nil {
		d.odd.models++
	}
	u.output = x.MaxTokens
	if err := u.readExtra(x.Extra, &d.odd); err != nil {
		return err
	}
	return d.source.say(ctx, t, turn, u, history)
}

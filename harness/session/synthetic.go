package session

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Synthetic makes up sessions. Its numbers of tokens are 1 or more, whatever is
// drawn.
type Synthetic struct {
	Sessions int
	Seed     int64

	Turns  Dist // of the root
	System int  // tokens of the system prompt, in whole blocks, which all streams of a session begin with
	Input  Dist // new tokens a turn: what the user or a tool says
	Output Dist // tokens of an answer
	Delay  Dist // seconds from an answer to the next request: a tool at work

	SubAgents     Dist // a session; each is spawned by a turn of the root, which goes on when it has ended
	SubAgentTurns Dist

	// Compact is the most tokens that a prompt may have before the context is
	// compacted, which leaves Keep tokens; 0: never.
	Compact, Keep int
}

// syntheticBlock is the tokens of a block, as in the Weka corpora.
const syntheticBlock = 64

// Recorded speeds of made-up sessions. They place turns on the recorded time line,
// for pictures and for what is drawn from it; the replay waits for the server's own
// answers.
const (
	recordedPrefill = 20 * time.Microsecond // a prompt's new token
	recordedDecode  = 10 * time.Millisecond // an answer's token
)

// The most that is made up, of all sessions together, so that a slip in a setting does
// not cost all memory. Blocks are counted in each prompt that has them.
const (
	mostTurns  = 1 << 17
	mostBlocks = 1 << 26
	mostPrompt = 1 << 24      // tokens
	mostDelay  = 24 * 60 * 60 // seconds
)

// Traces makes all sessions. It is an error where they are more than fit into memory.
func (s *Synthetic) Traces(ctx context.Context) (all []Trace, err error) {
	turns, blocks := 0, 0
	for i := range s.Sessions {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		t := s.Trace(i)
		turns += len(t.Turns)
		for k := range t.Turns {
			if t.Turns[k].In > mostPrompt {
				return nil, fmt.Errorf("a made-up prompt has %d tokens, %d at most: lower SESSION_SYSTEM_TOKENS or "+
					"SESSION_INPUT_TOKENS", t.Turns[k].In, mostPrompt)
			}
			blocks += len(t.Turns[k].Blocks)
		}
		if turns > mostTurns || blocks > mostBlocks {
			return nil, fmt.Errorf("the made-up sessions have more than %d turns, or %d tokens in all prompts: lower SESSIONS, "+
				"SESSION_TURNS, SESSION_SUBAGENTS or SESSION_INPUT_TOKENS", mostTurns, mostBlocks*syntheticBlock)
		}
		all = append(all, t)
	}
	return all, nil
}

// Trace makes session i, which follows from the seed and i alone. One that is larger
// than all may be is cut soon after.
func (s *Synthetic) Trace(i int) Trace {
	b := maker{Synthetic: s, rng: rand.New(rand.NewPCG(uint64(s.Seed), uint64(i)))}
	b.begin = b.fresh(nil, (min(s.System, mostPrompt)+syntheticBlock-1)/syntheticBlock)
	b.trace = Trace{ID: fmt.Sprintf("session-%04d", i+1), Block: syntheticBlock,
		Streams: []Stream{{Parent: -1, Prefix: len(b.begin) * syntheticBlock}}}
	b.session()
	return b.trace
}

// maker makes one session.
type maker struct {
	*Synthetic
	rng   *rand.Rand
	trace Trace
	next  uint32   // block id
	begin []uint32 // blocks of the system prompt
	made  int      // blocks of all prompts
}

// full reports whether the session is larger than all may be.
func (b *maker) full() bool { return len(b.trace.Turns) > mostTurns || b.made > mostBlocks }

// stream is what a stream's next turn builds upon.
type stream struct {
	index  int      // in the trace
	blocks []uint32 // of its last prompt, cut to whole ones
	in     int      // tokens of its last prompt with the answer to it
	last   int      // its last turn, -1 before the first
}

func (b *maker) session() {
	turns, agents := b.Turns.count(b.rng, 1), b.SubAgents.count(b.rng, 0)
	turns, agents = min(turns, mostTurns+1), min(agents, mostTurns+1)
	spawns := make([]int, turns) // sub-agents that each turn of the root spawns
	if turns > 1 {               // the last turn has nothing behind it to wait for them
		for range agents {
			spawns[b.rng.IntN(turns-1)]++
		}
	}
	root := stream{last: -1}
	var joins []int
	for k := 0; k < turns && !b.full(); k++ {
		b.turn(&root, joins)
		joins = nil // turns keep them
		for n := 0; n < spawns[k] && !b.full(); n++ {
			joins = append(joins, b.subAgent(root.last))
		}
	}
	b.trace.Order()
}

// subAgent makes the stream that a turn of the root spawns, and returns its last
// turn.
func (b *maker) subAgent(spawnedBy int) int {
	b.trace.Streams = append(b.trace.Streams, Stream{ID: fmt.Sprintf("agent-%d", len(b.trace.Streams)),
		Prefix: len(b.begin) * syntheticBlock})
	s := stream{index: len(b.trace.Streams) - 1, last: -1}
	joins := []int{spawnedBy}
	for n := b.SubAgentTurns.count(b.rng, 1); n > 0; n-- {
		b.turn(&s, joins)
		if joins = nil; b.full() {
			break
		}
	}
	return s.last
}

// turn adds a stream's next turn: it follows what ended last, on the recorded time
// line, of its stream's last turn and of those that it joins.
func (b *maker) turn(s *stream, joins []int) {
	input := b.Input.count(b.rng, 1)
	u := Turn{Stream: s.index, After: s.last, Out: b.Output.count(b.rng, 1), In: s.in + input}
	known := len(s.blocks)
	switch {
	case s.last < 0:
		u.In = len(b.begin)*syntheticBlock + input
		s.blocks, known = slices.Clone(b.begin), len(b.begin)
	case b.Compact > 0 && u.In > b.Compact:
		u.In = max(b.Keep, len(b.begin)*syntheticBlock+1)
		s.blocks, known = slices.Clone(b.begin), len(b.begin)
	}
	s.blocks = b.fresh(s.blocks, min(u.In, mostPrompt+syntheticBlock)/syntheticBlock-known)
	u.Blocks = slices.Clone(s.blocks)
	if b.made += len(u.Blocks); u.In > mostPrompt {
		b.made = mostBlocks + 1
	}
	for _, j := range joins {
		if u.After < 0 || b.trace.Turns[j].end() > b.trace.Turns[u.After].end() {
			u.After = j
		}
	}
	u.Waits = slices.DeleteFunc(joins, func(j int) bool { return j == u.After })
	if u.After >= 0 {
		u.Delay = time.Duration(min(b.Delay.sample(b.rng), mostDelay) * float64(time.Second))
		u.At = b.trace.Turns[u.After].end() + u.Delay
	}
	u.Took = recordedPrefill*time.Duration(u.In-known*syntheticBlock) + recordedDecode*time.Duration(u.Out)
	s.in, s.last = u.In+u.Out, len(b.trace.Turns)
	b.trace.Turns = append(b.trace.Turns, u)
}

// fresh appends n blocks that no other prompt has.
func (b *maker) fresh(to []uint32, n int) []uint32 {
	for range n {
		to = append(to, b.next)
		b.next++
	}
	return to
}

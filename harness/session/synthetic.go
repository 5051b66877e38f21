package session

import (
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

// Trace makes session i, which follows from the seed and i alone.
func (s *Synthetic) Trace(i int) Trace {
	b := maker{Synthetic: s, rng: rand.New(rand.NewPCG(uint64(s.Seed), uint64(i)))}
	b.begin = b.fresh(nil, (s.System+syntheticBlock-1)/syntheticBlock)
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
}

// stream is what a stream's next turn builds upon.
type stream struct {
	index  int      // in the trace
	blocks []uint32 // of its last prompt, cut to whole ones
	in     int      // tokens of its last prompt with the answer to it
	last   int      // its last turn, -1 before the first
}

func (b *maker) session() {
	turns, agents := b.Turns.count(b.rng, 1), b.SubAgents.count(b.rng, 0)
	spawns := make([]int, turns) // sub-agents that each turn of the root spawns
	if turns > 1 {               // the last turn has nothing behind it to wait for them
		for range agents {
			spawns[b.rng.IntN(turns-1)]++
		}
	}
	root := stream{last: -1}
	var joins []int
	for k := range turns {
		b.turn(&root, joins)
		joins = nil // turns keep them
		for range spawns[k] {
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
	for range b.SubAgentTurns.count(b.rng, 1) {
		b.turn(&s, joins)
		joins = nil
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
	s.blocks = b.fresh(s.blocks, u.In/syntheticBlock-known)
	u.Blocks = slices.Clone(s.blocks)
	for _, j := range joins {
		if u.After < 0 || b.trace.Turns[j].end() > b.trace.Turns[u.After].end() {
			u.After = j
		}
	}
	u.Waits = slices.DeleteFunc(joins, func(j int) bool { return j == u.After })
	if u.After >= 0 {
		u.Delay = time.Duration(b.Delay.sample(b.rng) * float64(time.Second))
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

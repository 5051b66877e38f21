package session

import (
	"hash/fnv"
	"math/bits"
	"slices"

	"inferbench/harness/workload"
)

// Wire makes requests of turns.
type Wire interface {
	// Request is what is sent for q. Its token ids may lie in tokens[:0], its messages in
	// text[:0]: they are good until the next call that is given the same.
	Request(tokens []int32, text []byte, q *Request) (workload.Request, error)
}

// IDs is the wire of token ids: a block is the ids that its number, the session and the
// seed stand for, so that prompts share exactly the blocks that they have in common.
// Every prompt is as long as recorded. It is not the official wire of AgentX, which is
// [Chat].
type IDs struct {
	Seed      int64
	Low, High int32 // ids are from Low to below High
}

// Request is the prompt of a turn as token ids.
func (w IDs) Request(tokens []int32, _ []byte, q *Request) (workload.Request, error) {
	return workload.Request{Index: q.Index, Tokens: w.Append(tokens[:0], q.Live.Trace, q.Turn, q.Live.Mark),
		OutputLen: q.Out}, nil
}

// Append appends the prompt of turn k of a trace, whose session has that mark. Sessions
// of one mark share blocks, those of different marks none. Without one, sessions of the
// same trace share them, and of other traces where ids are global.
func (w IDs) Append(tokens []int32, t *Trace, k int, mark string) []int32 {
	u := &t.Turns[k]
	salt := salt(w.Seed, mark, t.ID, t.Global)
	tokens = slices.Grow(tokens, u.In)
	end := len(tokens) + u.In
	for _, id := range u.Blocks {
		tokens = w.fill(tokens, min(t.Block, end-len(tokens)), mix(salt, uint64(id)))
	}
	return w.fill(tokens, end-len(tokens), mix(saltOfTail(w.Seed, mark, t.ID), uint64(k)))
}

// tailStream sets the tokens that no block covers apart from those of blocks.
const tailStream = 1 << 40

// salt is the seed of what a session, or all of them, have in common.
func salt(seed int64, mark, trace string, global bool) uint64 {
	h := fnv.New64a()
	switch {
	case mark != "":
		h.Write([]byte(mark))
	case !global:
		h.Write([]byte(trace))
	}
	return mix(uint64(seed), h.Sum64())
}

// saltOfTail is the seed of what no block covers, which is always a session's own.
func saltOfTail(seed int64, mark, trace string) uint64 {
	return mix(salt(seed, mark, trace, false), tailStream)
}

// fill appends n ids that follow from the seed.
func (w IDs) fill(tokens []int32, n int, seed uint64) []int32 {
	span := uint64(w.High - w.Low)
	for ; n > 1; n -= 2 {
		x := next(&seed)
		tokens = append(tokens, w.Low+int32(x>>32*span>>32), w.Low+int32(x&0xffffffff*span>>32))
	}
	if n > 0 {
		tokens = append(tokens, w.Low+int32(next(&seed)>>32*span>>32))
	}
	return tokens
}

// next is SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
// generators", 2014).
func next(state *uint64) uint64 {
	*state += 0x9e3779b97f4a7c15
	z := *state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// mix makes one seed of two numbers.
func mix(a, b uint64) uint64 {
	s := a ^ bits.RotateLeft64(b*0x9e3779b97f4a7c15, 31)
	return next(&s)
}

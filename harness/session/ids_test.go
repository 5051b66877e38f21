package session_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/session"
)

var wire = session.IDs{Seed: 1, Low: 100, High: 20000}

func prompt(t *session.Trace, k int, mark string) []int32 { return wire.Append(nil, t, k, mark) }

// shared is how many tokens two prompts begin with alike.
func shared(a, b []int32) (n int) {
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// Prompts are as long as recorded, and share the blocks that have the same ids, to the
// block.
func TestIDsShareBlocks(t *testing.T) {
	a := session.Trace{ID: "a", Block: 64, Streams: []session.Stream{{Parent: -1}}, Turns: []session.Turn{
		{In: 130, Out: 1, Blocks: []uint32{0, 1}},       // two blocks and a tail of two tokens
		{In: 200, Out: 1, Blocks: []uint32{0, 1, 2, 3}}, // the last block is not whole
		{In: 256, Out: 1, Blocks: []uint32{0, 1, 2, 3}},
		{In: 256, Out: 1, Blocks: []uint32{0, 7, 2, 3}},
		{In: 50, Out: 1},
		{In: 50, Out: 1},
	}}
	var p [][]int32
	for k, u := range a.Turns {
		p = append(p, prompt(&a, k, ""))
		assert.Len(t, p[k], u.In)
		for _, id := range p[k] {
			assert.True(t, id >= 100 && id < 20000)
		}
	}
	assert.Equal(t, 128, shared(p[0], p[1]))
	assert.Equal(t, 200, shared(p[1], p[2]))
	assert.Equal(t, 64, shared(p[2], p[3]))
	assert.Equal(t, p[2][128:], p[3][128:], "a block is what it is wherever it stands")
	assert.Zero(t, shared(p[4], p[5]), "what has no blocks is each turn's own")
	assert.Equal(t, p[2], prompt(&a, 2, ""), "the same again")

	b := a
	b.ID = "b"
	assert.Zero(t, shared(p[0], prompt(&b, 0, "")), "ids are a trace's own")
	assert.Zero(t, shared(prompt(&a, 0, "[1]"), prompt(&a, 0, "[2]")), "and a session's, where it is marked")
	assert.Equal(t, 128, shared(prompt(&a, 0, "[1]"), prompt(&a, 1, "[1]")))
	a.Global, b.Global = true, true
	assert.Equal(t, 128, shared(prompt(&a, 0, ""), prompt(&b, 0, "")))
	assert.NotEqual(t, p[0], session.IDs{Seed: 2, Low: 100, High: 20000}.Append(nil, &a, 0, ""))
}

func BenchmarkIDs(b *testing.B) {
	t := long(1 << 20)
	var tokens []int32
	b.ReportAllocs()
	for b.Loop() {
		tokens = wire.Append(tokens[:0], &t, 0, "")
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/prompt")
}

// long is a trace of one turn of so many tokens, in blocks of 64.
func long(n int) session.Trace {
	t := session.Trace{ID: "long", Block: 64, Streams: []session.Stream{{Parent: -1}}, Turns: []session.Turn{{In: n, Out: 1}}}
	for i := range n / 64 {
		t.Turns[0].Blocks = append(t.Turns[0].Blocks, uint32(i))
	}
	return t
}

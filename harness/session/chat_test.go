package session_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/session"
)

func chat() *session.Chat {
	return &session.Chat{Seed: 1, Words: session.Words()}
}

// messages are those of a turn.
func messages(t *testing.T, w *session.Chat, v *session.Live, k int) (out []session.Message) {
	t.Helper()
	b, err := w.Append(nil, v, k)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &out), "%s", b)
	return out
}

// roles writes messages as their roles and lengths in words: u8 is 8 words of the user's.
func roles(all []session.Message) string {
	var out []string
	for _, m := range all {
		out = append(out, fmt.Sprintf("%s%d", m.Role[:1], len(strings.Fields(m.Content))))
	}
	return strings.Join(out, " ")
}

// one is a trace of a root with blocks of 4 tokens.
func one(prefix int, turns ...session.Turn) *session.Trace {
	t := &session.Trace{ID: "x", Block: 4, Streams: []session.Stream{{Parent: -1, Prefix: prefix}}, Turns: turns}
	t.Settle()
	return t
}

func blocks(ids ...uint32) []uint32 { return ids }

// Prompts are cut into messages as agentx-harness cuts them; the cases are the rules of
// its reconstructor, weka_synth_buf.py.
func TestChatMessages(t *testing.T) {
	for name, c := range map[string]struct {
		trace *session.Trace
		want  []string
	}{
		"a first turn":              {one(6, session.Turn{In: 18, Out: 1, Blocks: blocks(0, 1, 2, 3, 9)}), []string{"s8 u10"}},
		"no prefix, missing blocks": {one(0, session.Turn{In: 18, Out: 1, Blocks: blocks(0, 1)}), []string{"u18"}},
		"no blocks":                 {one(6, session.Turn{In: 5, Out: 1}), []string{"u5"}},
		"all of it system":          {one(8, session.Turn{In: 8, Out: 1, Blocks: blocks(0, 1)}), []string{"s8"}},
		"an answer in whole blocks": {one(4, session.Turn{At: 0, In: 10, Out: 5, Blocks: blocks(0, 1)},
			session.Turn{At: 1, In: 26, Out: 1, Blocks: blocks(0, 1, 2, 3, 4, 5)}), []string{"s4 u6", "s4 u4 a8 u10"}},
		"an answer that would be last": {one(4, session.Turn{At: 0, In: 8, Out: 9, Blocks: blocks(0, 1)},
			session.Turn{At: 1, In: 16, Out: 1, Blocks: blocks(0, 1, 2, 3)}), []string{"s4 u4", "s4 u4 a4 u4"}},
		"one block more": {one(4, session.Turn{At: 0, In: 8, Out: 9, Blocks: blocks(0, 1)},
			session.Turn{At: 1, In: 12, Out: 1, Blocks: blocks(0, 1, 2)}), []string{"s4 u4", "s4 u4 u4"}},
		"nothing of the user's left": {one(4, session.Turn{At: 0, In: 8, Out: 4, Blocks: blocks(0, 1)},
			session.Turn{At: 1, In: 16, Out: 1, Blocks: blocks(0, 7, 8, 9)}), []string{"s4 u4", "s4 u12"}},
		"cut in the middle of a message": {one(0, session.Turn{At: 0, In: 16, Out: 4, Blocks: blocks(0, 1, 2, 3)},
			session.Turn{At: 1, In: 20, Out: 4, Blocks: blocks(0, 1, 7, 8, 9)}), []string{"u16", "u8 a4 u8"}},
		// The third turn cuts back to the end of the second's first new block, which so has
		// to be the user's.
		"cut back to a block's edge": {one(0, session.Turn{At: 0, In: 8, Out: 8, Blocks: blocks(0, 1)},
			session.Turn{At: 1, In: 24, Out: 4, Blocks: blocks(0, 1, 2, 3, 4, 5)},
			session.Turn{At: 2, In: 16, Out: 4, Blocks: blocks(0, 1, 2, 3)}),
			[]string{"u8", "u8 a4 u12", "u8 a4 u4"}},
		"the same again": {one(0, session.Turn{At: 0, In: 8, Out: 8, Blocks: blocks(0, 1)},
			session.Turn{At: 1, In: 8, Out: 8, Blocks: blocks(0, 1)}), []string{"u8", "u8"}},
	} {
		for k, want := range c.want {
			assert.Equal(t, want, roles(messages(t, chat(), &session.Live{Trace: c.trace}, k)), "%s, turn %d", name, k)
		}
	}
}

// Whatever a recording looks like, a prompt has as many words as it had tokens, ends
// with the user where it brings anything new, and begins as the prompt before it for as
// many blocks as the two have in common.
func TestChatKeepsLengthsAndPrefixes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	w := chat()
	for range 300 {
		var turns []session.Turn
		var ids []uint32
		next := uint32(0)
		for k := range 12 {
			ids = append([]uint32(nil), ids[:rng.IntN(len(ids)+1)]...)
			for range rng.IntN(6) {
				ids = append(ids, next)
				next++
			}
			in := max(4*len(ids)+rng.IntN(5)-rng.IntN(9), 1)
			turns = append(turns, session.Turn{At: time.Duration(k), In: in, Out: 1 + rng.IntN(20), Blocks: ids})
		}
		tr := one(rng.IntN(9), turns...)
		live := &session.Live{Trace: tr, Mark: "[rid:000000000000]\n\n"}
		var before []string
		for k, u := range tr.Turns {
			all := messages(t, w, live, k)
			require.True(t, strings.HasPrefix(all[0].Content, live.Mark))
			all[0].Content = strings.TrimPrefix(all[0].Content, live.Mark)
			var words []string
			for _, m := range all {
				words = append(words, strings.Fields(m.Content)...)
			}
			require.Len(t, words, u.In)
			if k > 0 {
				same := 4 * min(session.Common(tr.Turns[k-1].Blocks, u.Blocks), tr.Turns[k-1].In/4, u.In/4)
				require.Equal(t, before[:same], words[:same])
			}
			before = words
		}
	}
}

// Text that was recorded is sent with the answers that were, and every escape.
func TestRecordedText(t *testing.T) {
	tr := one(0,
		session.Turn{At: 0, In: 1, Out: 1, Says: []session.Message{{Role: "system", Content: "Be \"brief\"."}, {Role: "user", Content: "a\nb"}}, Answer: "c"},
		session.Turn{At: 1, In: 1, Out: 1, Says: []session.Message{{Role: "user", Content: "d"}}, Answer: "e"})
	assert.Equal(t, []session.Message{{Role: "system", Content: "[m]Be \"brief\"."}, {Role: "user", Content: "a\nb"}, {Role: "assistant", Content: "c"},
		{Role: "user", Content: "d"}}, messages(t, chat(), &session.Live{Trace: tr, Mark: "[m]"}, 1))
}

// A conversation that forks goes on from the turn that it was forked at, one that is
// spawned begins anew, and messages that are whole have nothing before them.
func TestRecordedHistory(t *testing.T) {
	say := func(text string) []session.Message { return []session.Message{{Role: "user", Content: text}} }
	parts := session.Message{Role: "user", Verbatim: json.RawMessage(`{"role":"user","content":[{"type":"image_url"}]}`)}
	tr := session.Trace{Live: true, Streams: []session.Stream{{Parent: -1}, {Forked: true}, {}}, Turns: []session.Turn{
		{After: -1, In: 1, Out: 1, Says: say("a"), Answer: "A"},
		{Stream: 1, After: 0, In: 1, Out: 1, Says: say("b"), Answer: "B"},
		{Stream: 2, After: 0, In: 1, Out: 1, Says: say("c"), Answer: "C"},
		{Stream: 1, After: 1, In: 1, Out: 1, Says: say("d")},
		{After: 0, In: 1, Out: 1, Whole: true, Says: []session.Message{parts}},
	}}
	for k, want := range map[int]string{
		1: `[{"role":"user","content":"[m]a"},{"role":"assistant","content":"A"},{"role":"user","content":"b"}]`,
		2: `[{"role":"user","content":"[m]c"}]`,
		3: `[{"role":"user","content":"[m]a"},{"role":"assistant","content":"A"},{"role":"user","content":"b"},
		     {"role":"assistant","content":"B"},{"role":"user","content":"d"}]`,
		4: `[{"role":"user","content":[{"type":"text","text":"[m]"},{"type":"image_url"}]}]`,
	} {
		got, err := chat().Append(nil, &session.Live{Trace: &tr, Mark: "[m]"}, k)
		require.NoError(t, err)
		assert.JSONEq(t, want, string(got))
	}
}

func TestVocabulary(t *testing.T) {
	asked := 0
	words := func(text string) (int, error) { // and a BOS; "the" and "there" are two tokens
		asked++
		return 1 + len(strings.Fields(text)) + strings.Count(text+" ", " there "), nil
	}
	got, err := session.Vocabulary(words)
	require.NoError(t, err)
	assert.Greater(t, len(got), 200)
	assert.NotContains(t, got, " there")
	assert.Contains(t, got, " the")
	assert.Less(t, asked, 40)

	bytes := func(text string) (int, error) { return len(text), nil }
	got, err = session.Vocabulary(bytes)
	require.NoError(t, err)
	assert.Len(t, got, 52)

	_, err = session.Vocabulary(func(text string) (int, error) { return 2 * len(text), nil })
	assert.ErrorContains(t, err, "fewer than 16 words")
	_, err = session.Vocabulary(func(string) (int, error) { return 0, assert.AnError })
	assert.ErrorIs(t, err, assert.AnError)
}

func BenchmarkChat(b *testing.B) {
	t := long(1 << 20)
	w, live := chat(), &session.Live{Trace: &t}
	var body []byte
	b.ReportAllocs()
	for b.Loop() {
		body, _ = w.Append(body[:0], live, 0)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/prompt")
}

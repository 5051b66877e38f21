package load

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inferbench/harness/server"
	"inferbench/harness/session"
)

// deep is a session whose prompts grow to so many tokens, in blocks of 64.
func deep(id string, turns, most int) session.Trace {
	t := session.Trace{ID: id, Block: 64, Streams: []session.Stream{{Parent: -1}}}
	for k := range turns {
		in := most * (turns + k + 1) / (2 * turns)
		u := session.Turn{At: time.Duration(k) * 50 * time.Millisecond, Took: 40 * time.Millisecond, In: in, Out: 2}
		for b := range in / 64 {
			u.Blocks = append(u.Blocks, uint32(b))
		}
		t.Turns = append(t.Turns, u)
	}
	t.Settle()
	return t
}

// said is a session whose last prompt is a recorded chat of so many words, in a hundred
// messages with line ends and quotes.
func said(words int) session.Trace {
	t := session.Trace{ID: "texts", Streams: []session.Stream{{Parent: -1}}}
	text := strings.Repeat("one \"two\"\nmore than that ", words/100/5)
	for k := range 50 {
		t.Turns = append(t.Turns, session.Turn{At: time.Duration(k) * time.Second, In: words * (k + 1) / 50, Out: 1,
			Says: []session.Message{{Role: "user", Content: text}}, Answer: text})
	}
	t.Settle()
	return t
}

// BenchmarkTurnBody builds the body of a prompt of a million tokens.
func BenchmarkTurnBody(b *testing.B) {
	made := deep("a", 1, 1<<20)
	for _, c := range []struct {
		name  string
		wire  session.Wire
		trace session.Trace
	}{
		{"token ids", session.IDs{Low: 4000, High: 120_000}, made},
		{"chat of made-up words", &session.Chat{Words: session.Words()}, made},
		{"chat of recorded text", &session.Chat{}, said(1 << 20)},
	} {
		b.Run(c.name, func(b *testing.B) {
			_, chat := c.wire.(*session.Chat)
			r, err := session.NewReplay([]session.Trace{c.trace}, session.Rules{Lanes: 1})
			require.NoError(b, err)
			r.Measure()
			all := &turns{replay: r, wire: c.wire}
			all.begin()
			q := all.ahead()[0]
			q.Turn = len(c.trace.Turns) - 1 // the longest prompt
			enc, err := newEncoder(server.New("http://127.0.0.1", "m", "", nil), Options{Chat: chat})
			require.NoError(b, err)
			s := &supply{src: all, enc: enc}
			for b.Loop() {
				p := s.body(0)
				require.NoError(b, p.err)
				b.SetBytes(int64(p.body.size()))
				s.sent(p.body)
			}
			b.ReportMetric(ms(b.Elapsed())/float64(b.N), "ms/body")
		})
	}
}

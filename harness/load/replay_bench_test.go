package load

import (
	"fmt"
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

// BenchmarkTurnBody builds the body of a prompt of a million tokens.
func BenchmarkTurnBody(b *testing.B) {
	trace := deep("a", 1, 1<<20)
	for _, wire := range []session.Wire{session.IDs{Low: 4000, High: 120_000}, &session.Chat{Words: session.Words()}} {
		b.Run(fmt.Sprintf("%T", wire), func(b *testing.B) {
			_, chat := wire.(*session.Chat)
			r, err := session.NewReplay([]session.Trace{trace}, session.Rules{Lanes: 1})
			require.NoError(b, err)
			r.Measure()
			all := &turns{replay: r, wire: wire}
			all.begin()
			all.ahead()
			enc, err := newEncoder(server.New("http://127.0.0.1", "m", "", nil), Options{Chat: chat})
			require.NoError(b, err)
			s := &supply{src: all, enc: enc}
			begin := cpuTime()
			for b.Loop() {
				p := s.body(0)
				require.NoError(b, p.err)
				s.sent(p.body)
			}
			b.ReportMetric(ms(cpuTime()-begin)/float64(b.N), "cpu-ms/body")
		})
	}
}

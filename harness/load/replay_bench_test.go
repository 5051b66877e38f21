package load

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
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

// BenchmarkLanes replays sessions of long prompts on a server that answers in two seconds, and
// tells how much memory the process took and how long turns waited for their bodies.
func BenchmarkLanes(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		stream(w, 2, 0, time.Second)
	}))
	defer s.Close()
	for _, c := range []struct{ lanes, tokens int }{{64, 256 << 10}, {8, 1 << 20}} {
		b.Run(fmt.Sprintf("lanes=%d/tokens=%d", c.lanes, c.tokens), func(b *testing.B) {
			traces := make([]session.Trace, 8)
			for i := range traces {
				traces[i] = deep(fmt.Sprint(i), 6, c.tokens)
			}
			for b.Loop() {
				r, err := session.NewReplay(traces, session.Rules{Lanes: c.lanes, Sessions: c.lanes, Mark: true})
				require.NoError(b, err)
				rec, err := Replay(b.Context(), server.New(s.URL, "m", "", nil), r, session.IDs{Low: 4000, High: 120_000},
					Options{Conc: c.lanes})
				require.NoError(b, err)
				require.Len(b, rec.Timings, 6*c.lanes)
				b.ReportMetric(100*rec.Audit.IdleShare, "%idle")
			}
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.Sys)/(1<<20), "MiB")
		})
	}
}

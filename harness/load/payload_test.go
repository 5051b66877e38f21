package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/server"
	"inferbench/harness/workload"
)

// sink is a connection that keeps what is written, or fails after so many writes.
type sink struct {
	net.Conn
	got    bytes.Buffer
	writes int
	most   int // 0: no limit
}

func (s *sink) Write(b []byte) (int, error) {
	if s.writes++; s.most > 0 && s.writes > s.most {
		return 0, io.ErrClosedPipe
	}
	return s.got.Write(b)
}

// Whatever the sizes of what it is made of, a payload's pieces are its bytes in order,
// as often as it is used again.
func TestPayloadIsItsPieces(t *testing.T) {
	var p payload
	for round := range 20 {
		var want []byte
		for range rand.IntN(8) {
			part := make([]byte, rand.IntN(3*pieceSize))
			for i := range part {
				part[i] = byte(rand.IntN(256))
			}
			p.append(part)
			want = append(want, part...)
		}
		require.Equal(t, len(want), p.size())
		var c sink
		require.NoError(t, p.send(&c, []byte("head")))
		require.True(t, bytes.Equal(append([]byte("head"), want...), c.got.Bytes()), "round %d", round)
		assert.Empty(t, p.more, "what is written has gone back")
		p.reset()
		require.Zero(t, p.size())
	}
}

// A body of any length is the JSON that it should be.
func TestBodiesOfAnyLength(t *testing.T) {
	for _, chat := range []bool{false, true} {
		e, err := newEncoder(server.New("http://h", "m", "", nil), Options{Chat: chat})
		require.NoError(t, err)
		for _, n := range []int{1, 511, 512, 513, 1024, pieceSize / 7, pieceSize, 200_000} {
			var p payload
			r := workload.Request{OutputLen: 7}
			var ids []any
			if chat {
				r.Text = strings.Repeat("ä\n", n)
			} else {
				for i := range n {
					id := rand.Int32N(2_000_000) >> (i % 20)
					r.Tokens, ids = append(r.Tokens, id), append(ids, float64(id))
				}
			}
			require.NoError(t, e.encode(&p, r))
			size := p.size()
			var c sink
			require.NoError(t, p.send(&c, nil))
			require.Equal(t, size, c.got.Len())
			var got map[string]any
			require.NoError(t, json.Unmarshal(c.got.Bytes(), &got), "%d", n)
			assert.Equal(t, 7.0, got["max_tokens"])
			if chat {
				assert.Equal(t, []any{map[string]any{"role": "user", "content": r.Text}}, got["messages"])
			} else {
				assert.Equal(t, ids, got["prompt"])
			}
		}
	}
}

// A body that could not be written whole is made again, whole.
func TestPayloadThatFailsHalfWay(t *testing.T) {
	e, _ := newEncoder(server.New("http://h", "m", "", nil), Options{})
	s := &supply{src: workload.Random{N: 1, ISL: 200_000, OSL: 1, RangeRatio: 1, Seed: 1}, enc: e}
	whole := func() string {
		p := s.body(0)
		require.NoError(t, p.err)
		var c sink
		require.NoError(t, p.body.send(&c, nil))
		s.sent(p.body)
		return fmt.Sprint(c.got.Len(), c.got.String()[:100])
	}
	first := whole()
	for most := 1; most < 10; most++ {
		p := s.body(0)
		assert.Error(t, p.body.send(&sink{most: most}, nil))
		s.sent(p.body)
		assert.Equal(t, first, whole())
	}
}

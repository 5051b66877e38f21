package load

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// wire is a connection that gives its bytes in pieces of a size, then ends.
type wire struct {
	net.Conn
	rest  []byte
	piece int
}

func (w *wire) Read(b []byte) (int, error) {
	if len(w.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), w.piece)], w.rest)
	w.rest = w.rest[n:]
	return n, nil
}

// drain reads a whole answer; it is what [slot.ask] does, without a clock.
func drain(raw []byte, piece int) (data []string, err error) {
	var r response
	r.start(&wire{rest: raw, piece: piece})
	if err := r.header(); err != nil {
		return nil, err
	}
	if r.status != 200 {
		r.errorBody()
		return nil, errors.New("status")
	}
	ev := events{response: &r}
	for {
		d, err := ev.next()
		if err != nil {
			return data, err
		}
		data = append(data, string(d))
		parseChunk(d)
		if len(r.buf) > maxEvent {
			return data, errors.New("the buffer grew past its limit")
		}
	}
}

// Whatever comes off the socket, reading it ends without a panic, within the
// buffer's limit, and the same however the bytes were cut into reads.
func FuzzStream(f *testing.F) {
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
	body := event(" a", "null") + ": ping - 2025\r\n\r\n" + event("", `"length"`) + usage(8, 2) + "data: [DONE]\n\n"
	f.Add([]byte(head+"\r\n"+body), uint16(7))
	f.Add([]byte(head+"Transfer-Encoding: chunked\r\n\r\n5\r\ndata:\r\n3;x=1\r\n a\n\r\n1\r\n\n\r\n0\r\nX: y\r\n\r\n"), uint16(1))
	f.Add([]byte("HTTP/1.1 100 Continue\r\n\r\n"+head+"Content-Length: 9\r\n\r\ndata: 1\n\n"), uint16(3))
	f.Add([]byte("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 99\r\n\r\n{\"error\":{\"message\":\"full\"}}"), uint16(64))
	f.Add([]byte("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nffffffffffffffff\n"), uint16(9))
	f.Add([]byte(head+"Content-Length: -1\r\n\r\n"), uint16(9))
	f.Add([]byte(head+"\r\ndata: a\ndata: b\nevent: x\nid\n\ndata\n\n"), uint16(2))
	f.Fuzz(func(t *testing.T, raw []byte, piece uint16) {
		whole, err := drain(bytes.Clone(raw), len(raw)+1)
		require.Error(t, err, "a stream ends in io.EOF at best")
		require.NotContains(t, err.Error(), "past its limit")
		cut, cutErr := drain(bytes.Clone(raw), int(piece)+1)
		require.Equal(t, whole, cut)
		require.Equal(t, err.Error(), cutErr.Error())
	})
}

// The reader in place and encoding/json agree on every event.
func FuzzChunk(f *testing.F) {
	for _, s := range []string{
		`{"choices":[{"text":"a","finish_reason":null}]}`,
		`{"choices":[{"delta":{"content":"","reasoning_content":"x"},"finish_reason":"length"}],"usage":null}`,
		`{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2.0,"total_tokens":3}}`,
		`{"error":{"message":"x"}}`, `{"object":"error"}`, `{"type":"error"}`, `{"detail":"x"}`, `{"code":1,"message":"x","usage":null}`,
		`{"choices":[{"text":"a","text":"","thinking":[],"finish_reason":""}]}`, `{"choices":[{"delta":{"role":"a","tool_calls":[{}]},"finish_reason":{"type":"abort"}}]}`,
		`{"choices":[{"text":"a"}],"usage":{"prompt_tokens":null,"completion_tokens":3}}`, `[]`,
		`{"choices":[],"usage":{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":null},"completion_tokens":1}}`,
		`{"choices":[],"usage":{"prompt_tokens_details":null}}`, `{"choices":[],"usage":{"prompt_tokens_details":[]}}`, `{"choices":[],"usage":{"prompt_tokens_details":{"cached_tokens":-1}}}`,
		`{"choices":[],"sglext":{"cached_tokens_details":{"device":8,"host":4,"storage":2,"storage_backend":"file"}}}`,
		`{"choices":[{"text":"a"}],"error":""}`, `{"error":false}`, `{"error":0,"code":0}`, `{"error":[0]}`, `{"error":""}`, `{"choices":[],"usage":[]}`,
		`{"usage":{"prompt_cache_hit_tokens":3}}`, `{"choices":[],"usage":{"cached_tokens":3,"prompt_tokens_details":{"cached_tokens":"x"}}}`, `{"usage":null,"timings":{"cache_n":3}}`,
		`null`, `{"choices":[{"text":`, `{"choices":[{"text":"\ud800\"","finish_reason":"len\u0067th"}]}`,
	} {
		f.Add([]byte(s))
	}
	for _, s := range shapes {
		f.Add([]byte(strings.Replace(s, " the", "a", 1)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fast, fastErr := parseChunk(data)
		slow, slowErr := slowChunk(data)
		require.Equal(t, slowErr != nil, fastErr != nil, "%v and %v", slowErr, fastErr)
		if slowErr == nil {
			require.Equal(t, slow, fast)
		}
		for name, shape := range shapes { // and whatever came before it
			var a alike
			_, _ = a.parse([]byte(shape))
			after, afterErr := a.parse(data)
			require.Equal(t, slowErr != nil, afterErr != nil, "after %s: %v and %v", name, slowErr, afterErr)
			if slowErr == nil {
				require.Equal(t, slow, after, "after %s", name)
			}
		}
	})
}

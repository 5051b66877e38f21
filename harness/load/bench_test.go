package load

import (
	"net"
	"strings"
	"testing"
	"time"

	"inferbench/harness/server"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// shapes are a token's event as each engine sends it.
var shapes = map[string]string{
	"vllm":   `{"id":"cmpl-0f2c8e6b5d4f4d2a9c1b7e3a5f6d8c90","object":"text_completion","created":1764082800,"model":"deepseek-ai/DeepSeek-R1-0528","choices":[{"index":0,"text":" the","logprobs":null,"finish_reason":null,"stop_reason":null}],"usage":null}`,
	"sglang": `{"id":"b3c1d2e4f5a64b7c8d9e0f1a2b3c4d5e","object":"text_completion","created":1764082800,"model":"deepseek-ai/DeepSeek-R1-0528","choices":[{"index":0,"text":" the","logprobs":null,"finish_reason":null,"matched_stop":null}],"usage":null}`,
	"chat":   `{"id":"chatcmpl-0f2c8e6b5d4f4d2a","object":"chat.completion.chunk","created":1764082800,"model":"m","choices":[{"index":0,"delta":{"content":" the","tool_calls":null},"logprobs":null,"finish_reason":null}],"usage":null}`,
	"escape": `{"id":"cmpl-1","object":"text_completion","created":1764082800,"model":"m","choices":[{"index":0,"text":"\ufffd\n\"","logprobs":null,"finish_reason":null}]}`,
}

func BenchmarkParseChunk(b *testing.B) {
	for name, s := range shapes {
		data := []byte(s)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if c, err := parseChunk(data); err != nil || !c.text {
					b.Fatal(c, err)
				}
			}
		})
	}
}

// forever is a connection that brings one event after another, each in a read
// and a chunk of its own, as long as it is read.
type forever struct {
	net.Conn
	event string
	head  bool
}

func (f *forever) Read(b []byte) (int, error) {
	if !f.head {
		f.head = true
		return copy(b, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), nil
	}
	return copy(b, f.event), nil
}

// BenchmarkToken is all that a token costs besides the system's read: framing,
// event, JSON, instant, gap.
func BenchmarkToken(b *testing.B) {
	for name, s := range shapes {
		event := "data: " + s + "\n\n"
		conn := &forever{event: hex(len(event)) + "\r\n" + event + "\r\n"}
		b.Run(name, func(b *testing.B) {
			sl := &slot{}
			sl.resp.base = time.Now()
			sl.resp.start(conn)
			conn.head = false
			if err := sl.resp.header(); err != nil {
				b.Fatal(err)
			}
			ev := events{response: &sl.resp}
			var t stats.Timing
			t.ITL.Reserve(b.N + 1)
			b.ReportAllocs()
			b.SetBytes(int64(len(conn.event)))
			b.ResetTimer()
			for range b.N {
				data, err := ev.next()
				if err != nil {
					b.Fatal(err)
				}
				if c, err := sl.alike.parse(data); err != nil || !c.text {
					b.Fatal(c, err)
				}
				sl.token(&t, sl.resp.at)
			}
		})
	}
}

func hex(n int) string {
	const digits = "0123456789abcdef"
	out := ""
	for ; n > 0; n >>= 4 {
		out = string(digits[n&15]) + out
	}
	return out
}

// The steady path allocates nothing for a token: not in any shape of event, not
// for any number of them in a read.
func TestNoAllocationPerToken(t *testing.T) {
	for name, s := range shapes {
		for _, bundle := range []int{1, 7} {
			event := strings.Repeat("data: "+s+"\n\n", bundle)
			conn := &forever{event: hex(len(event)) + "\r\n" + event + "\r\n"}
			sl := &slot{}
			sl.resp.base = time.Now()
			sl.resp.start(conn)
			if err := sl.resp.header(); err != nil {
				t.Fatal(err)
			}
			ev := events{response: &sl.resp}
			var x stats.Timing
			x.ITL.Reserve(5000)
			allocs := testing.AllocsPerRun(2000, func() {
				data, err := ev.next()
				if err != nil {
					t.Fatal(err)
				}
				if c, err := sl.alike.parse(data); err != nil || !c.text {
					t.Fatal(c, err)
				}
				sl.token(&x, sl.resp.at)
			})
			if allocs != 0 {
				t.Errorf("%s, %d in a read: %v allocations a token", name, bundle, allocs)
			}
		}
	}
}

// BenchmarkBody is what preparing a request costs, before its slot is due.
func BenchmarkBody(b *testing.B) {
	for name, isl := range map[string]int{"1K": 1024, "8K": 8192, "128K": 131072} {
		b.Run(name, func(b *testing.B) {
			e, _ := newEncoder(server.New("http://h", "m", "", nil), Options{})
			src := workload.Random{N: 1, ISL: isl, OSL: 1, RangeRatio: 1, Seed: 1}
			var p payload
			var ids []int32
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r, _ := src.RequestInto(ids, i)
				ids = r.Tokens
				p.reset()
				if err := e.encode(&p, r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

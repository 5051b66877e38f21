package records

import (
	"bytes"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Relay stands between a client and an engine and takes by its own clock, whoever
// the client is, what passes: from a request's first byte to the first event of its
// answer. It tells apart what a client's TTFT has of the client and what of the
// requests that it sends.
type Relay struct {
	URL string
	mu  sync.Mutex
	saw []exchange
}

type exchange struct{ begin, first time.Time }

// NewRelay relays to the engine at http://HOST:PORT until the test ends.
func NewRelay(t testing.TB, engine string) *Relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	r := &Relay{URL: "http://" + l.Addr().String()}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", strings.TrimPrefix(engine, "http://"))
			if err != nil {
				client.Close()
				continue
			}
			go r.pass(client, server)
		}
	}()
	return r
}

// pass carries bytes both ways until either side closes. A client on a kept
// connection sends its next request after the answer before has ended.
func (r *Relay) pass(client, server net.Conn) {
	var mu sync.Mutex
	var begin time.Time // of the request whose first event has not come, or zero
	stream := false     // its answer is a stream of events
	go func() {
		defer server.Close()
		carry(server, client, func(at time.Time, _ []byte) {
			mu.Lock()
			defer mu.Unlock()
			if begin.IsZero() {
				begin = at
			}
		})
	}()
	defer client.Close()
	carry(client, server, func(at time.Time, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		stream = !begin.IsZero() && (stream || bytes.Contains(b, []byte("text/event-stream")))
		if stream && !bytes.Contains(b, []byte("data: ")) {
			return // its head
		}
		if stream {
			r.mu.Lock()
			r.saw = append(r.saw, exchange{begin, at})
			r.mu.Unlock()
		}
		begin, stream = time.Time{}, false
	})
}

// carry copies from one connection to another, and shows each piece with when it
// came.
func carry(to io.Writer, from io.Reader, saw func(time.Time, []byte)) {
	piece := make([]byte, 64<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			saw(time.Now(), piece[:n])
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// MeanTTFT is that of the last n requests by when they began, in milliseconds; what
// is known of requests is forgotten then.
func (r *Relay) MeanTTFT(t testing.TB, n int) float64 {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.saw) < n {
		t.Fatalf("%d streams went through the relay, not %d", len(r.saw), n)
	}
	slices.SortFunc(r.saw, func(a, b exchange) int { return a.begin.Compare(b.begin) })
	sum := time.Duration(0)
	for _, x := range r.saw[len(r.saw)-n:] {
		sum += x.first.Sub(x.begin)
	}
	r.saw = nil
	return sum.Seconds() * 1e3 / float64(n)
}

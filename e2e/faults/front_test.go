package faults

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// front stands before a handler and misbehaves as the engine's fault of that
// name does, for the phases in which the embedded engine itself has none:
// waiting for the server, and the leaderboard.
type front struct {
	fault atomic.Value // string
	left  atomic.Int64 // how often it still strikes
	next  http.Handler
	end   chan struct{}
}

func newFront(t *testing.T, next http.Handler) (*front, string) {
	f := &front{next: next, end: make(chan struct{})}
	f.fault.Store("")
	s := httptest.NewServer(f)
	t.Cleanup(func() { close(f.end); s.Close() })
	return f, s.URL
}

// set has the fault strike so many of the requests to come.
func (f *front) set(fault string, times int64) {
	f.left.Store(times)
	f.fault.Store(fault)
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	fault := f.fault.Load().(string)
	if fault == "" || f.left.Add(-1) < 0 {
		f.next.ServeHTTP(w, r)
		return
	}
	switch fault {
	case "refuse":
		c, _, _ := w.(http.Hijacker).Hijack()
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		return
	case "500", "503", "429":
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "0")
		var status int
		fmt.Sscan(fault, &status)
		w.WriteHeader(status)
		fmt.Fprint(w, `{"error":{"message":"a fault was asked for"}}`)
		return
	case "stall-first":
		select {
		case <-r.Context().Done():
		case <-f.end:
		}
		return
	}
	rec := httptest.NewRecorder()
	f.next.ServeHTTP(rec, r)
	body := rec.Body.Bytes()
	c, _, _ := w.(http.Hijacker).Hijack()
	defer c.Close()
	head := func(n int) string {
		return fmt.Sprintf("HTTP/1.1 %d X\r\nContent-Type: %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n", rec.Code, rec.Header().Get("Content-Type"), n)
	}
	switch fault {
	case "garbage":
		body = append([]byte("{this is no JSON"), body...)
		if strings.Contains(rec.Header().Get("Content-Type"), "event-stream") {
			body = append([]byte("data: {this is no JSON\n\n"), rec.Body.Bytes()...)
		}
		c.Write(append([]byte(head(len(body))), body...))
	case "error-event":
		body = []byte("event: error\ndata: \"a fault was asked for\"\n\n")
		c.Write(append([]byte(head(len(body))), body...))
	case "drop-mid-stream", "truncated-chunk":
		c.Write([]byte(head(len(body))))
		c.Write(body[:len(body)/2])
		if fault == "drop-mid-stream" {
			time.Sleep(10 * time.Millisecond) // or the reset overtakes the bytes
			c.(*net.TCPConn).SetLinger(0)
		}
	case "stall-mid-stream":
		c.Write([]byte(head(len(body))))
		c.Write(body[:len(body)/2])
		select {
		case <-r.Context().Done():
		case <-f.end:
		case <-time.After(10 * time.Second):
		}
	case "slow-loris":
		for _, b := range append([]byte(head(len(body))), body...) {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(100 * time.Microsecond)
		}
	}
}

// gradio is a leaderboard that takes everything.
func gradio(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/gradio_api/call/"):
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"event_id":"e1"}`)
	case strings.HasPrefix(r.URL.Path, "/gradio_api/call/"):
		w.Header().Set("Content-Type", "text/event-stream")
		fmt.Fprint(w, "event: complete\ndata: [\"recorded\"]\n\n")
	default:
		http.NotFound(w, r)
	}
}

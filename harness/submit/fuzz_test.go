package submit

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Whatever a board streams, only an event named complete with JSON data is a
// submission, and every failure is one line.
func FuzzEvents(f *testing.F) {
	for _, stream := range []string{done, "event: error\ndata: null\n\n", "event: complete\ndata: [\"Subm", "data: complete\n\n", ": comment\r\nevent:complete\r\ndata:[]\r\n\r\n", "<html>", "event: complete\nevent: error\ndata: 1\n\n"} {
		f.Add([]byte(stream))
	}
	var stream []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Write(stream)
	}))
	defer server.Close()
	c := New(Options{Silence: 10 * time.Second})
	f.Fuzz(func(t *testing.T, b []byte) {
		stream = b
		answer, err := c.readEvents(t.Context(), server.URL, server.URL)
		if err == nil && !strings.Contains(string(b), "complete") {
			t.Fatalf("%q was taken for a submission: %q", b, answer)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Fatalf("not one line: %q", err)
		}
		if strings.ContainsAny(answer, "\n\r") {
			t.Fatalf("not one line: %q", answer)
		}
	})
}

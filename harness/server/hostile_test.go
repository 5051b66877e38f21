package server

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// A gigabyte in answer to a question is given up, whether it is an answer, an
// error or a list that never closes, and memory stays bounded.
func TestGigabyteAnswer(t *testing.T) {
	if testing.Short() {
		t.Skip("sends gigabytes over the loopback")
	}
	for name, status := range map[string]int{"answer": 200, "error": 400} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(status)
				block := bytes.Repeat([]byte("["), 1<<20)
				for range 1 << 10 {
					if _, err := w.Write(block); err != nil {
						return
					}
				}
			}))
			defer s.Close()
			tg := New(s.URL, "m", "", nil)
			for what, out := range map[string]any{"decoded": new(struct{ Tokens []int32 }), "raw": new([]byte), "picked from": new(json.RawMessage)} {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				err := tg.PostRetry(t.Context(), Retry{Tries: 1, Each: time.Minute}, "/v1/completions", map[string]any{"max_tokens": 1}, out)
				runtime.ReadMemStats(&after)
				if assert.Error(t, err, what); status == 200 {
					assert.ErrorContains(t, err, "answer is longer than 64 MiB")
				}
				assert.Less(t, len(err.Error()), 600, "an error is a line")
				// All that was allocated, garbage too: the buffer grew by doubling, and
				// under the race detector twice as much. What was sent is 16 of these.
				assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(10*maxAnswer), what)
			}
		})
	}
}

package engine

import (
	"fmt"
	"net/http"
	"strconv"
	"time"

	"inferbench/harness/clock"
)

// strike draws the fault for a request, and carries it out where it answers in
// place of the engine. It reports whether it did.
func (x *call) strike(w http.ResponseWriter) bool {
	x.fault = x.e.faults.Load().draw()
	switch {
	case x.fault == nil:
		return false
	case x.fault.is("refuse"):
		if nc, _, err := w.(http.Hijacker).Hijack(); err == nil {
			nc.(*conn).kill()
		}
	case x.fault.is("500"):
		writeError(w, &apiError{http.StatusInternalServerError, "InternalServerError", "a fault was asked for", ""})
	case x.fault.is("503"):
		writeError(w, &apiError{http.StatusServiceUnavailable, "ServiceUnavailableError", "a fault was asked for", ""})
	case x.fault.is("429"):
		w.Header().Set("Retry-After", strconv.Itoa(int(x.fault.pause/time.Second)))
		writeError(w, &apiError{http.StatusTooManyRequests, "RateLimitError", "a fault was asked for", ""})
	case x.fault.is("throttle"):
		x.e.throttle.fall(x.e.now(), x.fault)
		return false
	default:
		return false
	}
	return true
}

// answer sends a whole answer, as the fault in force has it.
func (x *call) answer(w http.ResponseWriter, r *http.Request, body []byte) {
	f := x.fault
	switch {
	case f.is("stall-first"), f.is("stall-mid-stream"):
		if clock.Sleep(r.Context(), f.pause) != nil {
			return
		}
	case f.is("garbage"):
		body = append([]byte("{this is no JSON"), body...)
	case f.is("drop-mid-stream"), f.is("truncated-chunk"), f.is("slow-loris"):
		x.answerRaw(w, body)
		return
	}
	writeJSON(w, http.StatusOK, body)
}

// answerRaw sends an answer over the bare connection, for faults that HTTP
// servers do not commit.
func (x *call) answerRaw(w http.ResponseWriter, body []byte) {
	nc, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	c := nc.(*conn)
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: "+
		"close\r\n\r\n", len(body))
	b := append([]byte(head), body...)
	switch x.fault.name {
	case "drop-mid-stream":
		_, _ = c.Write(b[:len(head)+len(body)/2])
		c.kill()
		return
	case "truncated-chunk":
		_, _ = c.Write(b[:len(head)+len(body)/2])
	case "slow-loris":
		for i := range b {
			if _, err := c.Write(b[i : i+1]); err != nil || clock.Sleep(x.e.closed, x.fault.pause) != nil {
				break
			}
		}
	}
	_ = c.Close()
}

// misbehave writes a stream, event by event, as its fault has it. It does so on
// a goroutine of its own for the whole of the stream, so that the loop never
// waits for a fault.
func (s *stream) misbehave(f *fault) {
	sent := 0
	for {
		b, tokens := s.nextEvent()
		if b == nil {
			return
		}
		first := sent == 0 && tokens > 0
		due := sent <= f.after && sent+tokens > f.after
		sent += tokens
		ok := true
		switch {
		case f.is("stall-first"):
			ok = (!first || clock.Sleep(s.alive, f.pause) == nil) && s.writeNow(b)
		case f.is("slow-loris"):
			for i := 0; i < len(b) && ok; i++ {
				ok = s.writeNow(b[i:i+1]) && clock.Sleep(s.alive, f.pause) == nil
			}
		case !due:
			ok = s.writeNow(b)
		case f.is("stall-mid-stream"):
			ok = clock.Sleep(s.alive, f.pause) == nil && s.writeNow(b)
		case f.is("drop-mid-stream"):
			s.c.kill()
			ok = false
		case f.is("truncated-chunk"):
			s.writeNow(b[:len(b)/2])
			ok = false
		case f.is("garbage"):
			ok = s.writeNow(s.frame(nil, func(b []byte) []byte { return append(b, "data: {this is no JSON\n\n"...) })) &&
				s.writeNow(b)
		case f.is("error-event"):
			s.writeNow(s.frame(nil, func(b []byte) []byte {
				return append(b, `data: {"error":{"message":"a fault was asked for","type":"InternalServerError",`+
					`"param":null,"code":500}}`+"\n\ndata: [DONE]\n\n"...)
			}))
			s.intact = s.chunked && s.writeNow([]byte("0\r\n\r\n"))
			ok = false
		default:
			ok = s.writeNow(b)
		}
		if !ok {
			s.giveUp()
			return
		}
	}
}

// nextEvent waits for the next event of any job, and says how many tokens it
// carries. It returns nil once the stream is over.
func (s *stream) nextEvent() (b []byte, tokens int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if s.broken {
			s.fail()
			return nil, 0
		}
		if len(s.rest) > 0 { // the head
			b = append(b, s.rest...)
			s.rest = s.rest[:0]
			return b, 0
		}
		for _, j := range s.jobs {
			if j.form.sent < len(j.out) || j.ended != "" && !j.form.closed {
				from := j.form.sent
				return s.events(nil, j, min(from+s.chunk, len(j.out))), j.form.sent - from
			}
		}
		if s.left == 0 {
			s.end()
			return nil, 0
		}
		s.more.Wait()
	}
}

// writeNow writes all of b, waiting for the reader as long as it takes.
func (s *stream) writeNow(b []byte) bool {
	_ = s.c.SetWriteDeadline(time.Now().Add(slowReader))
	_, err := s.c.TCPConn.Write(b)
	return err == nil
}

// giveUp ends a stream whose connection is no more.
func (s *stream) giveUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail()
}

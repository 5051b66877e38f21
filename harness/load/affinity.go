package load

import (
	"slices"
	"strings"

	"inferbench/harness/session"
)

// Affinity is how requests of sessions tell whose they are, so that a router can send
// a session's turns to the same worker. Each always has X-Correlation-ID and
// X-Session-Affinity, as of AIPerf's.
type Affinity struct {
	// Headers are more of them, and take the place of those of their name. In a value, {session} stands for the id of the
	// conversation, {root} for that of the session's root, and {parent} for that of the
	// conversation which spawned it: a root has none, and leaves such a header out.
	Headers []Header

	// Token is the header of an answer whose value later requests of the session send
	// back under the same name, in place of any other of that name; empty: none.
	Token string
}

// Header is a line of a request's header.
type Header struct{ Name, Value string }

// alwaysSent are the headers that AIPerf 0.13 sends unasked.
var alwaysSent = []Header{{"X-Correlation-ID", "{session}"}, {"X-Session-Affinity", "{session}"}}

// affinity writes the headers of sessions. It is of one goroutine.
type affinity struct {
	Affinity
	tokens map[*session.Live]string // that the server gave, by session
}

// lines are the header lines of a request, each after a line end.
func (a *affinity) lines(q *session.Request) []byte {
	v, stream := q.Live, q.Live.Trace.Turns[q.Turn].Stream
	parent := ""
	if p := v.Trace.Streams[stream].Parent; p >= 0 {
		parent = v.StreamID(p)
	}
	fill := strings.NewReplacer("{session}", v.StreamID(stream), "{root}", v.ID, "{parent}", parent)
	var b strings.Builder
	line := func(name, value string) { b.WriteString("\r\n" + name + ": " + value) }
	token := a.tokens[v]
	for i, h := range slices.Concat(alwaysSent, a.Headers) {
		switch {
		case parent == "" && strings.Contains(h.Value, "{parent}"):
		case token != "" && strings.EqualFold(h.Name, a.Token):
		case i < len(alwaysSent) && slices.ContainsFunc(a.Headers, h.named):
		default:
			line(h.Name, fill.Replace(h.Value))
		}
	}
	if token != "" {
		line(a.Token, token)
	}
	return []byte(b.String())
}

// named reports whether another header has the same name.
func (h Header) named(other Header) bool { return strings.EqualFold(h.Name, other.Name) }

// mostToken is the longest token that is sent back, in bytes.
const mostToken = 4 << 10

// keep takes a token that the server gave in a session.
func (a *affinity) keep(v *session.Live, token string) {
	if token != "" && len(token) <= mostToken {
		a.tokens[v] = token
	}
}

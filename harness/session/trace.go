// Package session is what agents and conversations send: traces of sessions, the
// prompts of their turns, and the replay that says which turn is due when.
//
// It is pure: no clock, no files, no network. A [Trace] comes from a reader or a
// generator; a [Replay] is told what time it is and which requests ended, and
// answers what to send next. Package load does the sending.
package session

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Trace is one session: a root stream and the streams of its sub-agents, with all
// their turns.
type Trace struct {
	ID    string
	Block int // tokens that a block id stands for

	// Global says that a block id means the same block in every trace that has it.
	// Otherwise ids are the trace's own.
	Global bool

	// Live says that it has no answers of its own: the server's stand in its history.
	Live bool

	Streams []Stream // [0] is the root
	Turns   []Turn   // of all streams, in order of their recorded start
}

// Stream is one conversation of a session: the root's, or a sub-agent's.
type Stream struct {
	ID      string        // as recorded; "" for the root
	Parent  int           // the stream that spawned it; -1 for the root
	Prefix  int           // tokens of tools and system prompt that its prompts begin with; 0 where that is not told
	Forked  bool          // its history begins with that of the turn that its first one follows, and the answer to it
	Spawned time.Duration // as recorded, with those that were spawned beside it: see [Trace.Settle]
}

// Turn is one request of a session and its recorded answer.
type Turn struct {
	Stream int // index in [Trace.Streams]

	// After is the turn from whose end Delay counts, -1 for the session's start. The
	// turn is due once that time has passed and all of Waits, too, have ended. One that
	// is Beside that turn counts from its sending, and waits for its end only if that is
	// among Waits.
	After  int
	Beside bool
	Delay  time.Duration
	Waits  []int

	At, Took time.Duration // recorded start since the session's, and how long the answer took; for tables and pictures

	In, Out int      // tokens of the whole prompt and of the answer, each 1 or more
	Blocks  []uint32 // ids of the prompt's blocks, from its beginning; what they do not cover is the turn's own

	// Says is the text that the turn adds to its stream's history before it is sent,
	// in a trace of texts; nil where text is made up from Blocks. Answer is the
	// recorded answer, which stands in the history of later turns. Whole says that Says
	// is all there is to be sent: nothing that was said before stands before it.
	Says   []Message
	Whole  bool
	Answer string

	Body map[string]json.RawMessage // keys of the request's body, beside and in place of those that all requests have
}

// Message is an entry of a chat.
type Message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
	Tool    string `json:"tool_call_id,omitempty"` // whose answer it is
	Name    string `json:"name,omitempty"`

	// Verbatim is the message as it was recorded, where it has more than these keys or
	// its content is no text; nil for others.
	Verbatim json.RawMessage `json:"-"`
}

// append appends the message as it is sent.
func (m Message) append(b []byte) []byte {
	if m.Verbatim != nil {
		return append(b, m.Verbatim...)
	}
	b = AppendQuoted(append(b, `{"role":`...), m.Role)
	b = AppendQuoted(append(b, `,"content":`...), m.Content)
	if m.Tool != "" {
		b = AppendQuoted(append(b, `,"tool_call_id":`...), m.Tool)
	}
	if m.Name != "" {
		b = AppendQuoted(append(b, `,"name":`...), m.Name)
	}
	return append(b, '}')
}

// marked is the message with a text before its content, a part of its own where the
// content is a list of parts.
func (m Message) marked(text string) Message {
	if m.Verbatim == nil {
		m.Content = text + m.Content
		return m
	}
	var keys map[string]any
	if json.Unmarshal(m.Verbatim, &keys) != nil {
		return m
	}
	switch content := keys["content"].(type) {
	case string:
		keys["content"] = text + content
	case []any:
		keys["content"] = append([]any{map[string]string{"type": "text", "text": text}}, content...)
	default:
		keys["content"] = text
	}
	m.Verbatim, _ = json.Marshal(keys) // of JSON that was read, which never fails
	return m
}

// Check says what is wrong with a trace, if anything: turns out of order, or that
// wait for what does not come before them, or lengths that are none.
func (t *Trace) Check() error {
	switch {
	case len(t.Turns) == 0:
		return errors.New("no requests")
	case t.Block < 1 && t.blocks():
		return fmt.Errorf("blocks of %d tokens", t.Block)
	case len(t.Streams) == 0 || t.Streams[0].Parent != -1:
		return errors.New("no root stream")
	}
	for i, s := range t.Streams[1:] {
		if s.Parent < 0 || s.Parent > i {
			return fmt.Errorf("stream %d has no parent before it", i+1)
		}
	}
	for k := range t.Turns {
		if err := t.check(k); err != nil {
			return fmt.Errorf("request %d: %w", k, err)
		}
	}
	return nil
}

func (t *Trace) blocks() bool {
	for i := range t.Turns {
		if len(t.Turns[i].Blocks) > 0 {
			return true
		}
	}
	return false
}

func (t *Trace) check(k int) error {
	u := &t.Turns[k]
	switch {
	case u.In < 1 || u.Out < 1:
		return fmt.Errorf("%d tokens in and %d out", u.In, u.Out)
	case u.Stream < 0 || u.Stream >= len(t.Streams):
		return fmt.Errorf("stream %d of %d", u.Stream, len(t.Streams))
	case u.After >= k || u.After < -1:
		return fmt.Errorf("it follows request %d, which does not come before it", u.After)
	case u.Delay < 0 || u.At < 0 || u.Took < 0:
		return errors.New("a time below 0")
	case k > 0 && u.At < t.Turns[k-1].At:
		return errors.New("it starts before the one that comes before it")
	}
	for _, w := range u.Waits {
		if w < 0 || w >= k {
			return fmt.Errorf("it waits for request %d, which does not come before it", w)
		}
	}
	return nil
}

// Peak is the most tokens, prompt and answer, that a turn of the trace needs.
func (t *Trace) Peak() int {
	most := 0
	for i := range t.Turns {
		most = max(most, t.Turns[i].In+t.Turns[i].Out)
	}
	return most
}

// Span is the recorded time from the session's start to the end of its last turn.
func (t *Trace) Span() time.Duration {
	var end time.Duration
	for i := range t.Turns {
		end = max(end, t.Turns[i].At+t.Turns[i].Took)
	}
	return end
}

// Total sums the tokens of all turns, prompts and answers.
func (t *Trace) Total() (in, out int) {
	for i := range t.Turns {
		in, out = in+t.Turns[i].In, out+t.Turns[i].Out
	}
	return in, out
}

// Previous is the turn before k of the same stream; -1 where k is its first.
func (t *Trace) Previous(k int) int {
	for j := k - 1; j >= 0; j-- {
		if t.Turns[j].Stream == t.Turns[k].Stream {
			return j
		}
	}
	return -1
}

// History is the turn whose messages, and its answer, stand before what turn k says; -1
// where nothing does.
func (t *Trace) History(k int) int {
	if t.Turns[k].Whole {
		return -1
	}
	before := t.Previous(k)
	if before < 0 && t.Streams[t.Turns[k].Stream].Forked {
		return t.Turns[k].After
	}
	return before
}

// Texts reports whether the trace has texts, which only a chat can send.
func (t *Trace) Texts() bool {
	return slices.ContainsFunc(t.Turns, func(u Turn) bool { return u.Says != nil })
}

// Settle orders the turns by their recorded start and derives what a recording
// leaves to be derived, for a trace whose turns have Stream, At and Took:
//
//   - a turn follows the one before it in its stream by the time that had passed
//     between that one's end and its start;
//   - a stream's first turn follows the last turn of its parent's that had begun when the
//     stream was spawned, by the time that had passed since then. Where it was spawned
//     before the end of that turn's answer, it counts from that turn's sending;
//   - it waits for turns of other streams that had ended when it started (happens
//     before): the latest of each stream, and of these none that another one had itself
//     come after. Turns that began together are not in order.
func (t *Trace) Settle() {
	slices.SortStableFunc(t.Turns, func(a, b Turn) int { return cmp.Compare(a.At, b.At) })
	last := make([]int, len(t.Streams)) // the latest turn of each stream so far
	for s := range last {
		last[s] = -1
	}
	for k := range t.Turns {
		u := &t.Turns[k]
		u.After, u.Beside = last[u.Stream], false
		begin := time.Duration(0)
		switch s := t.Streams[u.Stream]; {
		case u.After >= 0:
			begin = t.Turns[u.After].end()
		case s.Parent >= 0:
			if u.After = t.spawner(k); u.After >= 0 {
				begin = s.Spawned
				if u.Beside = begin < t.Turns[u.After].end(); u.Beside {
					begin = t.Turns[u.After].At
				}
			}
		}
		u.Delay = max(u.At-begin, 0)
		u.Waits = t.before(k)
		last[u.Stream] = k
	}
}

// Order brings the turns of a trace into order of their recorded start. Of those that
// start together, the ones that come first stay first.
func (t *Trace) Order() {
	order := make([]int, len(t.Turns))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(t.Turns[i].At, t.Turns[j].At) })
	place := make([]int, len(order))
	for at, i := range order {
		place[i] = at
	}
	sorted := make([]Turn, len(order))
	for i, u := range t.Turns {
		if u.After >= 0 {
			u.After = place[u.After]
		}
		for w := range u.Waits {
			u.Waits[w] = place[u.Waits[w]]
		}
		slices.Sort(u.Waits)
		sorted[place[i]] = u
	}
	t.Turns = sorted
}

// spawner is the last turn of its stream's parent that had begun when the stream of
// turn k was spawned; -1 where none had.
func (t *Trace) spawner(k int) int {
	s := t.Streams[t.Turns[k].Stream]
	for j := k - 1; j >= 0; j-- {
		if t.Turns[j].Stream == s.Parent && t.Turns[j].At <= s.Spawned {
			return j
		}
	}
	return -1
}

// Common is how many leading blocks two prompts have in common.
func Common(a, b []uint32) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// predecessors are the turns that a turn comes after, each once.
func (u *Turn) predecessors() []int {
	if u.After < 0 || slices.Contains(u.Waits, u.After) {
		return u.Waits
	}
	return append(slices.Clip(u.Waits), u.After)
}

// waits reports whether a turn waits for the end of one that it comes after.
func (u *Turn) waits(k int) bool { return u.After == k && !u.Beside || slices.Contains(u.Waits, k) }

// end is when the turn's answer was whole.
func (u *Turn) end() time.Duration { return u.At + u.Took }

// before lists the turns of other streams that k waits for: see [Trace.Settle].
func (t *Trace) before(k int) (waits []int) {
	u := &t.Turns[k]
	latest := map[int]int{}
	for j := range k {
		v := &t.Turns[j]
		if v.Stream == u.Stream || v.At >= u.At || v.end() > u.At {
			continue
		}
		if best, ok := latest[v.Stream]; !ok || v.end() >= t.Turns[best].end() {
			latest[v.Stream] = j
		}
	}
	for _, j := range latest {
		v := &t.Turns[j]
		implied := j == u.After && !u.Beside || u.After >= 0 && v.At < t.Turns[u.After].At && v.end() <= t.Turns[u.After].At
		for _, other := range latest {
			o := &t.Turns[other]
			implied = implied || other != j && v.At < o.At && v.end() <= o.At
		}
		if !implied {
			waits = append(waits, j)
		}
	}
	slices.Sort(waits)
	return waits
}

// Join has the parent's first turn that starts at end or later wait for all turns
// of the stream, which had ended by then. It returns that turn; -1 where there is none.
func (t *Trace) Join(stream int, end time.Duration) int {
	last, parent := -1, t.Streams[stream].Parent
	for k := range t.Turns {
		u := &t.Turns[k]
		if u.Stream == stream {
			last = k
		}
		if u.Stream != parent || u.At < end || last < 0 {
			continue
		}
		if (last != u.After || u.Beside) && !slices.Contains(u.Waits, last) {
			u.Waits = append(u.Waits, last)
			slices.Sort(u.Waits)
		}
		return k
	}
	return -1
}

package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/tidwall/gjson"

	"inferbench/harness/hint"
	"inferbench/harness/server"
	"inferbench/harness/stats"
)

// answer is what a stream has said so far besides its tokens. Which of its
// chunks carried tokens is settled at its end, by the server's count: see
// [slot.settle].
type answer struct {
	asked  int  // tokens; 0 for no limit
	whole  bool // it is to have all of these
	events int
	finish finish
	usage  used // the latest
	sure   int  // chunks with text
	stage  int  // see hurry
	undone bool // text came after a finish_reason: such a one ends nothing here

	// A chunk without text that ends the answer may be the last token's, or a mere
	// mark: it is not among the chunks that are timed until that is known.
	closing  bool
	closedAt time.Duration
}

// tape is what settling needs of the chunks that are timed. Its slices are used
// again for the next answer.
type tape struct {
	silent []int32 // positions of the chunks without text
	counts []int32 // the server's count of tokens at each chunk, while every chunk has one
	steps  []int32 // how many tokens each chunk brought
}

// stream reads the events and times them.
func (s *slot) stream(p prepared, t *stats.Timing) error {
	ev := events{response: &s.resp}
	a := answer{asked: p.outputLen, whole: s.supply.enc.ignoreEOS && !p.mayStop}
	var kept *keptAnswer
	if p.canary != nil {
		kept = &keptAnswer{index: p.index}
	}
	s.silent, s.counts = s.silent[:0], s.counts[:0]
	t.ITL.Reserve(min(max(p.outputLen-1, 0), 1<<17))
	for {
		data, err := ev.next()
		if err != nil {
			if a.finish != goingOn && (errors.Is(err, io.EOF) || isTimeout(err) && !a.undone) {
				break // a server without [DONE], or without an end
			}
			return s.brokenOff(&ev, &a, t, err)
		}
		if isDone(data) {
			break
		}
		a.events++
		c, err := s.alike.parse(data)
		switch {
		case c.failed, ev.isError:
			says := s.end.says(data)
			return s.told(fmt.Errorf("after %d of %d tokens the server says: %s", t.Chunks, a.asked, says), says)
		case errors.Is(err, errCount):
			return fmt.Errorf("after %d of %d tokens: %w", t.Chunks, a.asked, err)
		case err != nil:
			return fmt.Errorf("after %d of %d tokens: %w (it starts %.80q)", t.Chunks, a.asked, err, s.end.redact(string(data)))
		case c.finish == cutOff:
			return fmt.Errorf("after %d of %d tokens the server gave the answer up: finish_reason %.60q",
				t.Chunks, a.asked, s.end.redact(finishReason(data)))
		}
		s.take(t, &a, c)
		if p.said && c.text {
			s.said = append(s.said, gjson.GetBytes(data, "choices.0.delta.content").String()...)
		}
		if kept != nil && c.choice {
			kept.add(data)
		}
		if a.events == 1 {
			s.bePatient()
		}
		if err := s.hurry(&a, t); err != nil {
			return err
		}
		if a.asked > 0 && t.Chunks > chunksAToken*a.asked+spareChunks {
			return fmt.Errorf("the stream does not end: %d chunks came for the %d tokens that were asked for", t.Chunks, a.asked)
		}
	}
	if kept != nil {
		s.kept = append(s.kept, *kept)
	}
	s.noteEnd()
	err := s.settle(t, &a)
	if err != nil && len(ev.stray) > 0 {
		says := s.end.says(ev.stray)
		return s.told(fmt.Errorf("%w; the server had said: %s", err, says), says)
	}
	return err
}

// hurry bounds how long the rest of an answer is waited for: once it is whole its
// count may still come, and once that is there nothing is missing. A server that
// says of each chunk that it is the last gets its whole time back.
func (s *slot) hurry(a *answer, t *stats.Timing) error {
	stage := answering
	if a.finish != goingOn && !a.undone {
		if stage = finished; a.usage.hasOutput && a.usage.output >= a.sure {
			stage = complete
		}
	}
	if stage == a.stage {
		return nil
	}
	a.stage = stage
	until := s.resp.base.Add(t.Sent + s.timeout)
	switch stage {
	case finished:
		until = time.Now().Add(drainTimeout)
	case complete:
		until = time.Now().Add(tidyGrace)
	}
	return s.conn.SetReadDeadline(until)
}

// How far an answer has come.
const (
	answering = iota
	finished
	complete // with its count
)

// A stream is given up once it has brought more chunks than this for the tokens
// that were asked for: it may never end, and what it brings is kept.
const (
	chunksAToken = 4
	spareChunks  = 64
)

func isDone(data []byte) bool {
	const done = "[DONE]"
	return string(data) == done || len(data) < 64 && string(bytes.TrimSpace(data)) == done
}

// brokenOff is the error of a stream that ended before its answer had.
func (s *slot) brokenOff(ev *events, a *answer, t *stats.Timing, err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	says := ""
	if len(ev.stray) > 0 {
		says = s.end.says(ev.stray)
	}
	if kind := s.resp.notEvents; a.events == 0 && (kind != "" || says != "") {
		if c, bad := parseChunk(ev.stray); bad == nil && c.failed {
			return s.told(fmt.Errorf("HTTP 200, but the server says: %s", says), says)
		}
		if kind == "" {
			kind = "something else"
		}
		if says != "" {
			err = fmt.Errorf("it begins: %.100s", says)
		}
		err := fmt.Errorf("the answer is no event stream but %.60s: is this an OpenAI API, and does it support "+
			"streaming? (%w)", kind, plain(err))
		return hint.New(err, "") // it asks what to look at
	}
	if says != "" {
		return s.told(fmt.Errorf("stream ended after %d of %d tokens; the server had said: %s (%w)",
			t.Chunks, a.asked, says, plain(err)), says)
	}
	return fmt.Errorf("stream ended after %d of %d tokens: %w", t.Chunks, a.asked, plain(err))
}

// told is an error that holds what the server says, with what to do about that.
func (s *slot) told(err error, says string) error {
	return server.AdviseAnswer(err, 0, s.end.path, says)
}

// take notes what an event says, and when it came where it may carry tokens.
func (s *slot) take(t *stats.Timing, a *answer, c chunk) {
	if c.usage.hasInput {
		a.usage.input, a.usage.hasInput = c.usage.input, true
	}
	if c.usage.hasCached {
		a.usage.cached, a.usage.hasCached = c.usage.cached, true
	}
	if c.usage.tiers != nil {
		a.usage.tiers = c.usage.tiers
	}
	if c.usage.hasOutput {
		a.usage.output, a.usage.hasOutput = c.usage.output, true
	}
	a.undone = a.undone || c.text && a.finish != goingOn
	if c.finish != goingOn && a.finish != atLength {
		a.finish = c.finish
	}
	switch {
	case !c.choice:
		return
	case c.text:
		a.sure++
	case c.finish != goingOn:
		a.closing, a.closedAt = true, s.resp.at
		return
	case c.role && t.Chunks == 0:
		return // it opens a chat's answer
	default:
		s.silent = append(s.silent, int32(t.Chunks))
	}
	if c.usage.hasOutput && len(s.counts) == t.Chunks {
		s.counts = append(s.counts, int32(c.usage.output))
	}
	s.token(t, s.resp.at)
}

// token notes the arrival of a chunk that carries a token. One that arrived in
// the same instant as the one before it came with it: in one read, or over TLS
// in one read of several records.
func (s *slot) token(t *stats.Timing, at time.Duration) {
	if t.Chunks == 0 {
		t.First = at
	} else {
		t.ITL.Append(at - t.Last)
		if at == t.Last {
			t.Bundled++
		}
	}
	t.Last = at
	t.Chunks++
	s.tokens.Store(s.tokens.Load() + 1) // this goroutine is the only writer
}

// settle says which chunks carried tokens and how many tokens there were, once
// all is known that the server says of it: text, finish_reason and usage.
//
// A chunk with text carries at least one token. One without carries a token if
// the server counts more than come with text: a special token, or one whose text
// it holds back. Without a usage, max_tokens stands in for the count where the
// server says that it was reached.
func (s *slot) settle(t *stats.Timing, a *answer) error {
	total, counted := a.usage.output, a.usage.hasOutput
	switch {
	case counted:
	case a.finish == atLength && a.asked > 0:
		total = a.asked
	default:
		total = a.sure
	}
	if s.countsHold(t, a) {
		s.keepCounted(t, a)
	} else {
		s.keepSilent(t, total-a.sure)
		if a.closing && total > t.Chunks && s.closes(t, a, total) {
			s.token(t, a.closedAt)
		}
	}
	t.OutputTokens, t.NoUsage = total, !counted
	t.Prompt.Server, t.Prompt.Counted = a.usage.input, a.usage.hasInput
	t.Prompt.Cached, t.Prompt.CachedTold, t.Prompt.Tiers = a.usage.cached, a.usage.hasCached, a.usage.tiers
	if tiers := a.usage.tiers; tiers != nil && !a.usage.hasCached {
		t.Prompt.Cached, t.Prompt.CachedTold = tiers.Sum(), true
	}
	t.InputTokens, t.Prompt.Unknown = t.Prompt.Sent, t.Prompt.Sent == 0 && !a.usage.hasInput
	if t.Prompt.Sent == 0 {
		t.InputTokens = a.usage.input
	}
	if !counted {
		t.OutputTokens = t.Chunks
		if t.Chunks < total {
			s.odd.short++
			s.odd.shortChunks += t.Chunks
			s.odd.shortTokens += total
		}
	}
	if counted && total < a.sure {
		s.odd.split++
		s.odd.splitChunks += a.sure
		s.odd.splitTokens += total
	}
	switch n := t.OutputTokens; {
	case counted && 2*n < a.sure:
		return fmt.Errorf("the server counts %d tokens, but %d chunks with text came", n, a.sure)
	case t.Chunks == 0:
		return fmt.Errorf("the stream ended without a token (0 of %d)", a.asked)
	case n < a.asked && a.whole && (counted || a.finish != atLength || 2*n < a.asked):
		return fmt.Errorf("the server stopped after %d of %d tokens though ignore_eos was asked", n, a.asked)
	case a.asked > 0 && n > a.asked && counted:
		return fmt.Errorf("the server counts %d tokens where %d were asked for", n, a.asked)
	case a.asked > 0 && n > a.asked:
		return fmt.Errorf("%d chunks with text came where %d tokens were asked for, and no usage says how many tokens "+
			"they are", n, a.asked)
	}
	return nil
}

// keepSilent takes the chunks without text out of the timing but for the given
// number of them, the first ones first: a server that sends an empty chunk at
// once has not begun to answer.
func (s *slot) keepSilent(t *stats.Timing, tokens int) {
	drop := s.silent[:min(max(len(s.silent)-max(tokens, 0), 0), len(s.silent))]
	if len(drop) > 0 {
		s.odd.quiet += len(drop)
		next := 0
		keep(t, func(i int) bool {
			if next < len(drop) && int(drop[next]) == i {
				next++
				return false
			}
			return true
		})
	}
	if left := s.silent[len(drop):]; len(left) > 0 && int(left[0]) == len(drop) {
		s.odd.unspoken++
	}
}

// keep leaves out chunks that carried no token.
func keep(t *stats.Timing, is func(i int) bool) {
	kept := t.ITL.Keep(is)
	t.First, t.Last = t.First+kept.First, t.First+kept.Last
	t.Chunks, t.Bundled = kept.Points, kept.Zero
}

// closes reports whether a chunk without text that ended the answer is likely to
// have carried tokens, given that the server counts more than came in chunks of
// their own. One more than those is its token. Where there are several, chunks
// may carry several each, and the mark that follows the last of them at once is
// none; but one that comes when the next token was due is.
func (s *slot) closes(t *stats.Timing, a *answer, total int) bool {
	gap := a.closedAt - t.Last
	switch t.Chunks {
	case total - 1, 0:
		return true
	case 1:
		return gap > time.Millisecond
	}
	return gap > (t.Last-t.First)/time.Duration(2*(t.Chunks-1))
}

// countsHold reports whether the counts of tokens that came with the chunks can
// be: they never fall, they end at the whole count or, where a chunk without
// text ends the answer, below it, and chunks with text raise them.
func (s *slot) countsHold(t *stats.Timing, a *answer) bool {
	n := len(s.counts)
	if n == 0 || n != t.Chunks || !slices.IsSorted(s.counts) {
		return false
	}
	last := int(s.counts[n-1])
	rises := 0
	for i, c := range s.counts {
		if c > s.before(i) {
			rises++
		}
	}
	return 2*rises >= a.sure && last > 0 && (last == a.usage.output || a.closing && last < a.usage.output)
}

// before is the count of tokens before chunk i.
func (s *slot) before(i int) int32 {
	if i == 0 {
		return 0
	}
	return s.counts[i-1]
}

// keepCounted leaves the chunks with which the server's count rose, and spreads
// each gap over the tokens that it brought.
func (s *slot) keepCounted(t *stats.Timing, a *answer) {
	if a.closing && a.usage.output > int(s.counts[len(s.counts)-1]) {
		s.counts = append(s.counts, int32(a.usage.output))
		s.token(t, a.closedAt)
	}
	rises := func(i int) bool { return s.counts[i] > s.before(i) }
	if silent := s.silent; len(silent) > 0 && silent[0] == 0 && rises(0) {
		s.odd.unspoken++
	}
	steps := s.steps[:0]
	for i := range s.counts {
		if rises(i) {
			steps = append(steps, s.counts[i]-s.before(i))
		}
	}
	if len(steps) < t.Chunks {
		s.odd.quiet += t.Chunks - len(steps)
		keep(t, rises)
	}
	s.steps = steps
	t.Known.First = int(steps[0])
	if a.usage.output == len(steps) {
		return // a chunk a token
	}
	t.Known.ITL.Reserve(a.usage.output - t.Known.First)
	i := 0
	for gap := range t.ITL.All() {
		i++
		n := time.Duration(steps[i])
		for range n {
			t.Known.ITL.Append(gap / n)
		}
	}
}

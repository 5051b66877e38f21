package session

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"inferbench/harness/workload"
)

// Chat is the wire of messages, which is AgentX's. Text that was recorded is sent as it
// is. Otherwise a block is a text of as many words as it has tokens, each word a token
// of its own, and a prompt is cut into messages as agentx-harness cuts it: see [Plan].
type Chat struct {
	Seed  int64
	Words []string // each a token wherever it stands, and of eight bytes at most: see [Vocabulary]

	plans  sync.Map // *Trace to Plan
	once   sync.Once
	packed []word // Words
}

// Part is a message of made-up text: blocks of a prompt from where the part before it
// ended.
type Part struct {
	Role string
	End  int // in blocks

	// Answer is the turn whose answer an assistant's part stands for; -1 for others, and
	// for one that is no longer whole.
	Answer int
}

// Plan is how the prompts of a trace are cut into messages.
type Plan []step

// step is what a turn does to its stream's messages: it cuts them back to so many
// blocks and adds some.
type step struct {
	kept int
	add  []Part
}

// What a message says whose it is.
const (
	system    = "system"
	user      = "user"
	assistant = "assistant"
)

// Request is the prompt of a turn as messages.
func (w *Chat) Request(_ []int32, text []byte, q *Request) (workload.Request, error) {
	messages, err := w.Append(text[:0], q.Live, q.Turn)
	return workload.Request{Index: q.Index, Messages: messages, OutputLen: q.Out,
		Extra: q.Live.Trace.Turns[q.Turn].Body}, err
}

// Append appends the messages of a turn, a JSON list.
func (w *Chat) Append(b []byte, v *Live, k int) ([]byte, error) {
	t := v.Trace
	if t.Turns[k].Says != nil {
		return w.recorded(b, v, k), nil
	}
	if len(w.Words) == 0 {
		return b, errors.New("there are no words to make text of")
	}
	salt := salt(w.Seed, v.Mark, t.ID, t.Global)
	parts := w.plan(t).Parts(t, k)
	begin := 0
	for i, p := range parts {
		if i == 0 {
			b = append(b, '[')
		} else {
			b = append(b, ',')
		}
		b = append(append(append(b, `{"role":"`...), p.Role...), `","content":"`...)
		if i == 0 {
			b = appendText(b, v.Mark)
		}
		if live := v.answer(p.Answer); live != "" {
			b = appendText(b, live)
		} else {
			b = w.blocks(b, t, salt, t.Turns[k].Blocks[begin:p.End])
		}
		if begin = p.End; i == len(parts)-1 {
			own := mix(saltOfTail(w.Seed, v.Mark, t.ID), uint64(k))
			b = w.words(b, t.Turns[k].In-begin*max(t.Block, 1), own)
		}
		b = append(b, `"}`...)
	}
	return append(b, ']'), nil
}

// answer is what the server itself wrote as the answer of a turn, where that is kept.
func (v *Live) answer(k int) string {
	if k < 0 || k >= len(v.answers) {
		return ""
	}
	return v.answers[k]
}

func (w *Chat) blocks(b []byte, t *Trace, salt uint64, ids []uint32) []byte {
	for _, id := range ids {
		b = w.words(b, t.Block, mix(salt, uint64(id)))
	}
	return b
}

// words appends n words that follow from the seed. They need no escape.
func (w *Chat) words(b []byte, n int, seed uint64) []byte {
	w.once.Do(w.pack)
	several, at := uint64(len(w.packed)), len(b)
	b = slices.Grow(b, (n+1)*mostWord)
	b = b[:cap(b)]
	for i := 0; i < n; i += 2 { // two of each number that is drawn
		x := next(&seed)
		first := &w.packed[x>>32*several>>32]
		binary.LittleEndian.PutUint64(b[at:], first.text)
		if at += first.n; i+1 < n {
			second := &w.packed[x&0xffffffff*several>>32]
			binary.LittleEndian.PutUint64(b[at:], second.text)
			at += second.n
		}
	}
	return b[:at]
}

// word is a word of so many bytes, which are written all eight at once.
type word struct {
	text uint64
	n    int
}

// mostWord is the longest word, in bytes.
const mostWord = 8

func (w *Chat) pack() {
	for _, text := range w.Words {
		var b [mostWord]byte
		w.packed = append(w.packed, word{n: copy(b[:], text), text: binary.LittleEndian.Uint64(b[:])})
	}
}

// AppendQuoted appends a text as JSON. What is no UTF-8 in it is replaced.
func AppendQuoted(b []byte, text string) []byte {
	b, _ = jsontext.AppendQuote(b, text) // the error is of what is replaced
	return b
}

// appendText appends a text as the inside of a JSON string.
func appendText(b []byte, text string) []byte {
	at := len(b)
	b = AppendQuoted(b, text)
	return append(b[:at], b[at+1:len(b)-1]...)
}

// recorded appends the messages of a turn whose text was recorded: all that was said
// before it, with the answers, and what it says now.
func (w *Chat) recorded(b []byte, v *Live, k int) []byte {
	t := v.Trace
	var turns []int // the last first
	for j := k; j >= 0; j = t.History(j) {
		turns = append(turns, j)
	}
	var all []Message
	for _, j := range slices.Backward(turns) {
		all = append(all, t.Turns[j].Says...)
		if j == k {
			break
		}
		answer := t.Turns[j].Answer
		if live := v.answer(j); live != "" {
			answer = live
		}
		all = append(all, Message{Role: assistant, Content: answer})
	}
	if len(all) > 0 && v.Mark != "" {
		all[0] = all[0].marked(v.Mark)
	}
	b = append(b, '[')
	for i, m := range all {
		if i > 0 {
			b = append(b, ',')
		}
		b = m.append(b)
	}
	return append(b, ']')
}

func (w *Chat) plan(t *Trace) Plan {
	if p, ok := w.plans.Load(t); ok {
		return p.(Plan)
	}
	p, _ := w.plans.LoadOrStore(t, t.Plan())
	return p.(Plan)
}

// Plan cuts the prompts of a trace into messages, by the rules of agentx-harness
// 1.0.12. A stream's first turn is one system message of the blocks that tools and
// system prompt fill, and the rest from the user. A later one keeps the messages up to
// the last block that it has in common with the turn before; of what follows, as many
// blocks as that turn's answer had are from the assistant and the rest from the user.
// All is the user's where nothing of the user's is left, and the last block is where
// there would be nothing else: a chat ends with the user. What blocks do not cover is
// part of the last message.
func (t *Trace) Plan() Plan {
	plan := make(Plan, len(t.Turns))
	now := make([][]Part, len(t.Streams)) // the messages of each stream
	before := t.firstOfAll()
	caps := t.caps()
	for k := range t.Turns {
		s := t.Turns[k].Stream
		if before[s] < 0 {
			plan[k].add = t.opening(k)
		} else {
			plan[k].kept = t.keeps(before[s], k)
			now[s] = cut(now[s], plan[k].kept)
			plan[k].add = t.goOn(now[s], before[s], k, caps[k])
		}
		now[s] = append(now[s], plan[k].add...)
		before[s] = k
	}
	return plan
}

// Parts are the messages of turn k of a trace.
func (p Plan) Parts(t *Trace, k int) (parts []Part) {
	for j := range k + 1 {
		if t.Turns[j].Stream == t.Turns[k].Stream {
			parts = append(cut(parts, p[j].kept), p[j].add...)
		}
	}
	return parts
}

// cut keeps the parts of so many blocks. An answer that is cut is whole no longer.
func cut(parts []Part, kept int) []Part {
	begin := 0
	for i := range parts {
		if begin >= kept {
			return parts[:i]
		}
		if begin = parts[i].End; begin > kept {
			parts[i].End, parts[i].Answer = kept, -1
		}
	}
	return parts
}

// firstOfAll is the latest turn of each stream before there is any.
func (t *Trace) firstOfAll() []int {
	none := make([]int, len(t.Streams))
	for s := range none {
		none[s] = -1
	}
	return none
}

// covered is how many whole blocks of a turn's prompt its ids tell.
func (t *Trace) covered(k int) int {
	u := &t.Turns[k]
	return min(len(u.Blocks), u.In/max(t.Block, 1))
}

// tail is how many tokens of a turn's prompt no id tells.
func (t *Trace) tail(k int) int { return t.Turns[k].In - t.covered(k)*t.Block }

// keeps is how many blocks of the turn before a turn's prompt begins with.
func (t *Trace) keeps(before, k int) int {
	return min(Common(t.Turns[before].Blocks, t.Turns[k].Blocks), t.covered(before), t.covered(k))
}

// opening is the plan of a stream's first turn.
func (t *Trace) opening(k int) (parts []Part) {
	all := t.covered(k)
	prefix := min((t.Streams[t.Turns[k].Stream].Prefix+max(t.Block, 1)-1)/max(t.Block, 1), all)
	if prefix > 0 {
		parts = append(parts, Part{system, prefix, -1})
	}
	if prefix == 0 || all > prefix || t.tail(k) > 0 {
		parts = append(parts, Part{user, all, -1})
	}
	return parts
}

// noCap is more blocks than an answer has.
const noCap = int(^uint(0) >> 1)

// goOn is what a turn adds to the messages that it keeps of the turn before it.
func (t *Trace) goOn(parts []Part, before, k, limit int) (add []Part) {
	kept, all, block := t.keeps(before, k), t.covered(k), max(t.Block, 1)
	fresh := all - kept
	answer := min((t.Turns[before].Out+block-1)/block, fresh, limit)
	switch {
	case !slices.ContainsFunc(parts, func(p Part) bool { return p.Role == user }):
		answer = 0
	case t.tail(k) == 0 && answer == fresh && answer > 0:
		answer--
	}
	if answer > 0 {
		add = append(add, Part{assistant, kept + answer, before})
	}
	if fresh > answer || t.tail(k) > 0 {
		add = append(add, Part{user, all, -1})
	}
	return add
}

// caps is, for each turn, the most blocks that may be from the assistant, so that a
// later turn which only cuts the conversation back ends with the user.
func (t *Trace) caps() []int {
	caps := make([]int, len(t.Turns))
	kept := make([]int, len(t.Turns))
	owners := make([][]int, len(t.Streams)) // the turn that brought each block of a stream's conversation
	before := t.firstOfAll()
	for k := range t.Turns {
		caps[k] = noCap
		s := t.Turns[k].Stream
		if before[s] >= 0 {
			kept[k] = t.keeps(before[s], k)
		}
		own := owners[s][:kept[k]]
		if fresh := t.covered(k) - kept[k]; before[s] >= 0 && fresh == 0 && t.tail(k) == 0 && kept[k] > 0 {
			if j := own[kept[k]-1]; t.Previous(j) >= 0 {
				caps[j] = min(caps[j], kept[k]-1-kept[j])
			}
		}
		for len(own) < t.covered(k) {
			own = append(own, k)
		}
		owners[s], before[s] = own, k
	}
	return caps
}

// Vocabulary picks words that are a token each wherever they stand, by what count says
// of texts. It is an error where too few are: then a text's length could not be told.
func Vocabulary(count func(text string) (int, error)) ([]string, error) {
	for _, candidates := range [][]string{Words(), workload.Letters()} {
		one, err := count(candidates[0])
		two, also := count(candidates[0] + candidates[0])
		c := counting{count: count, empty: 2*one - two, err: errors.Join(err, also)}
		if words := c.single(candidates); c.err != nil || len(words) >= leastWords {
			return words, c.err
		}
	}
	return nil, fmt.Errorf("the tokenizer has fewer than %d words that are one token each", leastWords)
}

// Words are common words, a token each for most tokenizers.
func Words() []string {
	return slices.DeleteFunc(workload.Words(" "), func(w string) bool { return len(w) > mostWord })
}

// leastWords is how many words a text needs to be of.
const leastWords = 16

// counting finds words of one token.
type counting struct {
	count func(string) (int, error)
	empty int // tokens of a text besides its words
	err   error
}

// single lists those of the words that are a token each, next to each other.
func (c *counting) single(words []string) []string {
	if len(words) == 0 || c.err != nil {
		return nil
	}
	text := ""
	for _, w := range words {
		text += w
	}
	n, err := c.count(text)
	if c.err = err; err != nil {
		return nil
	}
	if n-c.empty == len(words) {
		return words
	}
	if len(words) == 1 {
		return nil
	}
	half := len(words) / 2
	return append(slices.Clip(c.single(words[:half])), c.single(words[half:])...)
}

package tokenizer

import (
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"
)

func newModel(raw json.RawMessage) (model, error) {
	var kind struct {
		Type  string            `json:"type"`
		Vocab json.RawMessage   `json:"vocab"`
		Merge []json.RawMessage `json:"merges"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	switch {
	case kind.Type == "BPE" || kind.Type == "" && kind.Merge != nil: // old files do not say
		return newBPE(raw)
	case kind.Type == "Unigram":
		return newUnigram(raw)
	}
	return nil, fmt.Errorf("model %q is not among those that this tokenizer knows (BPE, Unigram)", kind.Type)
}

// bpe is byte-pair encoding: a piece begins as its characters, and of all
// neighbours the pair that was learnt first is merged, until none is known.
type bpe struct {
	vocab        map[string]int32
	merges       map[pair]merge
	unk          int32
	hasUnk       bool
	fuseUnk      bool
	byteTokens   *[256]int32 // ids of <0x00> … <0xFF>, nil without byte fallback
	ignoreMerges bool        // a piece that is itself in the vocabulary is one token

	mu    sync.RWMutex
	cache map[string][]int32 // of short pieces, which come again and again
}

type pair struct{ left, right int32 }

type merge struct {
	rank int
	id   int32
}

func newBPE(raw json.RawMessage) (*bpe, error) {
	var f struct {
		Vocab        map[string]int32 `json:"vocab"`
		Merges       []mergeRule      `json:"merges"`
		Unk          *string          `json:"unk_token"`
		FuseUnk      bool             `json:"fuse_unk"`
		ByteFallback bool             `json:"byte_fallback"`
		IgnoreMerges bool             `json:"ignore_merges"`
		Dropout      float64          `json:"dropout"`
		Prefix       string           `json:"continuing_subword_prefix"`
		Suffix       string           `json:"end_of_word_suffix"`
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("model BPE: %w", err)
	}
	if f.Dropout != 0 || f.Prefix != "" || f.Suffix != "" {
		return nil, errors.New("model BPE: dropout, continuing_subword_prefix and end_of_word_suffix are not among what " +
			"this tokenizer knows")
	}
	m := &bpe{vocab: f.Vocab, merges: make(map[pair]merge, len(f.Merges)), fuseUnk: f.FuseUnk,
		ignoreMerges: f.IgnoreMerges, cache: map[string][]int32{}}
	if f.Unk != nil {
		if m.unk, m.hasUnk = f.Vocab[*f.Unk]; !m.hasUnk {
			return nil, fmt.Errorf("model BPE: unk_token %q is not in the vocabulary", *f.Unk)
		}
	}
	for rank, rule := range f.Merges {
		l, ok1 := f.Vocab[rule[0]]
		r, ok2 := f.Vocab[rule[1]]
		id, ok3 := f.Vocab[rule[0]+rule[1]]
		if !ok1 || !ok2 || !ok3 {
			return nil, fmt.Errorf("model BPE: merge %d, %q and %q, is not of the vocabulary", rank, rule[0], rule[1])
		}
		m.merges[pair{l, r}] = merge{rank, id}
	}
	if f.ByteFallback {
		m.byteTokens = byteTokens(f.Vocab)
	}
	return m, nil
}

// byteTokens returns the ids of <0x00> … <0xFF>; -1 where one is missing.
func byteTokens(vocab map[string]int32) *[256]int32 {
	var ids [256]int32
	for b := range ids {
		id, ok := vocab[fmt.Sprintf("<0x%02X>", b)]
		if !ok {
			id = -1
		}
		ids[b] = id
	}
	return &ids
}

// mergeRule is "a b", or ["a", "b"] in newer files.
type mergeRule [2]string

func (m *mergeRule) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) != nil {
		return json.Unmarshal(b, (*[2]string)(m))
	}
	l, r, ok := strings.Cut(s, " ")
	if !ok || strings.Contains(r, " ") {
		return fmt.Errorf("merge %q is not two words", s)
	}
	*m = mergeRule{l, r}
	return nil
}

func (m *bpe) top() (top int32) {
	for _, id := range m.vocab {
		top = max(top, id)
	}
	return top
}

func (m *bpe) all() map[string]int32 { return m.vocab }

func (m *bpe) id(name string) (int32, bool) {
	id, ok := m.vocab[name]
	return id, ok
}

// Pieces up to cachedLength bytes are remembered, up to cachedPieces of them.
const (
	cachedLength = 64
	cachedPieces = 1 << 16
)

func (m *bpe) encode(ids []int32, s string) []int32 {
	if s == "" {
		return ids
	}
	if m.ignoreMerges {
		if id, ok := m.vocab[s]; ok {
			return append(ids, id)
		}
	}
	if len(s) > cachedLength {
		return append(ids, m.merge(m.symbols(s))...)
	}
	m.mu.RLock()
	known, ok := m.cache[s]
	m.mu.RUnlock()
	if !ok {
		known = m.merge(m.symbols(s))
		m.mu.Lock()
		if len(m.cache) < cachedPieces {
			m.cache[strings.Clone(s)] = known
		}
		m.mu.Unlock()
	}
	return append(ids, known...)
}

// symbols returns a piece's characters as tokens. One that the vocabulary lacks is
// its bytes' tokens where there are such, else the unknown token (one for a run
// of them where they are fused), else nothing.
func (m *bpe) symbols(s string) []int32 {
	out := make([]int32, 0, len(s))
	unknown := false
	for i := 0; i < len(s); {
		_, n := utf8.DecodeRuneInString(s[i:])
		char := s[i : i+n]
		i += n
		if id, ok := m.vocab[char]; ok {
			out, unknown = append(out, id), false
			continue
		}
		if bytes, ok := m.bytes(char); ok {
			out = append(out, bytes...)
			continue
		}
		if m.hasUnk && !(unknown && m.fuseUnk) {
			out = append(out, m.unk)
		}
		unknown = true
	}
	return out
}

func (m *bpe) bytes(char string) ([]int32, bool) {
	if m.byteTokens == nil {
		return nil, false
	}
	var out []int32
	for i := range len(char) {
		id := m.byteTokens[char[i]]
		if id < 0 {
			return nil, false
		}
		out = append(out, id)
	}
	return out, true
}

// merge merges neighbours, the lowest rank first and of equals the leftmost.
// A heap keeps long pieces (SentencePiece's are whole texts) from taking time
// that grows with their square.
func (m *bpe) merge(symbols []int32) []int32 {
	n := len(symbols)
	next, prev := make([]int, n), make([]int, n)
	var queue candidates
	add := func(i int) {
		if i < 0 || next[i] >= n {
			return
		}
		if to, ok := m.merges[pair{symbols[i], symbols[next[i]]}]; ok {
			heap.Push(&queue, candidate{at: i, merge: to, pair: pair{symbols[i], symbols[next[i]]}})
		}
	}
	for i := range n {
		next[i], prev[i] = i+1, i-1
	}
	for i := range n {
		add(i)
	}
	const gone = -1
	for len(queue) > 0 {
		c := heap.Pop(&queue).(candidate)
		if symbols[c.at] == gone || next[c.at] >= n || (pair{symbols[c.at], symbols[next[c.at]]}) != c.pair {
			continue // one of the two has been merged meanwhile
		}
		right := next[c.at]
		symbols[c.at], symbols[right] = c.id, gone
		next[c.at] = next[right]
		if next[c.at] < n {
			prev[next[c.at]] = c.at
		}
		add(prev[c.at])
		add(c.at)
	}
	out := symbols[:0]
	for _, id := range symbols {
		if id != gone {
			out = append(out, id)
		}
	}
	return out
}

type candidate struct {
	at int
	merge
	pair pair
}

type candidates []candidate

func (q candidates) Len() int { return len(q) }
func (q candidates) Less(i, j int) bool {
	return q[i].rank < q[j].rank || q[i].rank == q[j].rank && q[i].at < q[j].at
}
func (q candidates) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *candidates) Push(x any)   { *q = append(*q, x.(candidate)) }
func (q *candidates) Pop() any {
	old := *q
	c := old[len(old)-1]
	*q = old[:len(old)-1]
	return c
}

// Package ngram is the embedded engine's language model: an interpolated,
// modified Kneser-Ney model over bytes. It is small, but it is a true
// probability distribution: at every context the probabilities of all 258
// tokens are above zero and sum to one, so that a perplexity computed from them
// means something.
//
// The smoothing is that of S. F. Chen and J. Goodman, "An Empirical Study of
// Smoothing Techniques for Language Modeling" (1998), section 3: three
// discounts an order, estimated from the counts of counts, and continuation
// counts below the highest order.
//
// A context is a state of an automaton: [Model.Next] moves from state to state
// in a few steps, whatever the length of the text before it.
package ngram

import (
	"slices"
)

// Token ids: a byte is its own id, and two specials follow.
const (
	BOS   = 256 // before a document
	EOS   = 257 // after it
	Vocab = 258 // ids are 0 to Vocab-1
)

// State is a context: the longest end of the text so far that the training text
// holds. The zero State is the empty context.
type State int32

// Model is a trained model. It does not change and is safe for concurrent use.
type Model struct {
	order int // the longest n-gram: contexts have up to order-1 tokens
	start State

	// Nodes. A node is a context; its entries are the tokens that followed it.
	suffix []State   // the context without its first token
	depth  []uint8   // tokens in the context
	gamma  []float64 // probability mass that goes to the suffix
	first  []int32   // entries of node i: first[i] to first[i+1]

	// Entries, sorted by token within a node.
	token []uint16
	alpha []float64 // discounted probability
	to    []State   // the state after the token

	root [Vocab]int32 // entry of the empty context by token, -1 for none
}

// Train makes a model of n-grams up to the given order from documents. Each
// document is seen as BOS, its bytes, EOS. An order below 1 counts as 1.
func Train(order int, docs []string) *Model {
	return newCounts(max(order, 1), docs).model()
}

// Start returns the state after BOS, at the beginning of a document.
func (m *Model) Start() State { return m.start }

// After returns the state after tokens, whose last few alone matter.
func (m *Model) After(tokens []int32) State {
	s := State(0)
	for _, t := range tokens[max(0, len(tokens)-m.order):] {
		s = m.Next(s, t)
	}
	return s
}

// Next returns the state after one more token. A special begins a document.
func (m *Model) Next(s State, token int32) State {
	if token >= BOS {
		return m.start
	}
	for ; s != 0; s = m.suffix[s] {
		if e := m.find(s, uint16(token)); e >= 0 {
			return m.to[e]
		}
	}
	if e := m.root[token]; e >= 0 {
		return m.to[e]
	}
	return 0
}

// Prob returns the probability of token in state s: above 0, and summing to 1 over
// the vocabulary.
func (m *Model) Prob(s State, token int32) float64 {
	p, weight := 0.0, 1.0
	for {
		e := int32(-1)
		if s == 0 {
			e = m.root[token]
		} else {
			e = m.find(s, uint16(token))
		}
		if e >= 0 {
			p += weight * m.alpha[e]
		}
		weight *= m.gamma[s]
		if s == 0 {
			return p + weight/Vocab
		}
		s = m.suffix[s]
	}
}

// Dist writes the probability of every token in state s.
func (m *Model) Dist(s State, p *[Vocab]float64) {
	clear(p[:])
	weight := 1.0
	for {
		for e := m.first[s]; e < m.first[s+1]; e++ {
			p[m.token[e]] += weight * m.alpha[e]
		}
		weight *= m.gamma[s]
		if s == 0 {
			break
		}
		s = m.suffix[s]
	}
	for t := range p {
		p[t] += weight / Vocab
	}
}

// States returns the number of states: they are 0 to States()-1.
func (m *Model) States() int { return len(m.suffix) }

// find returns the entry of token in node s, or -1. Nodes deep in the model have one
// or two entries, so the usual search is a look at the first.
func (m *Model) find(s State, token uint16) int32 {
	lo, hi := m.first[s], m.first[s+1]
	for hi-lo > 8 {
		mid := (lo + hi) / 2
		if m.token[mid] <= token {
			lo = mid
		} else {
			hi = mid
		}
	}
	for ; lo < hi; lo++ {
		if m.token[lo] == token {
			return lo
		}
	}
	return -1
}

// counts is a model in the making.
type counts struct {
	order   int
	nodes   []node
	entries map[uint64]*entry // by node and token
}

type node struct {
	suffix  int32
	depth   uint8
	entries []*entry
}

type entry struct {
	token uint16
	count int   // times seen; below the highest order, distinct tokens before
	seen  int   // times seen
	child int32 // the node of context and token, 0 where the context is full
}

func newCounts(order int, docs []string) *counts {
	c := &counts{order: order, nodes: []node{{}}, entries: map[uint64]*entry{}}
	at := make([]int32, order) // at[k] is the node of the last k tokens
	for _, doc := range docs {
		known := c.enter(at, 1, BOS, false)
		for i := range len(doc) {
			known = c.enter(at, known, uint16(doc[i]), true)
		}
		c.enter(at, known, EOS, true)
	}
	return c
}

// enter counts token after the contexts at[:known], moves at on by it, and
// returns how many of at are contexts now. BOS is a context but never counted:
// nothing predicts it.
func (c *counts) enter(at []int32, known int, token uint16, count bool) int {
	next := make([]int32, 1, c.order)
	for k := range known {
		e := c.entry(at[k], token)
		if count {
			e.seen++
		}
		if k+1 < c.order {
			if e.child == 0 {
				e.child = int32(len(c.nodes))
				c.nodes = append(c.nodes, node{suffix: next[k], depth: uint8(k + 1)})
			}
			next = append(next, e.child)
		}
	}
	return copy(at, next)
}

func (c *counts) entry(n int32, token uint16) *entry {
	key := uint64(n)<<16 | uint64(token)
	e := c.entries[key]
	if e == nil {
		e = &entry{token: token}
		c.entries[key] = e
		c.nodes[n].entries = append(c.nodes[n].entries, e)
	}
	return e
}

// model turns counts into probabilities.
func (c *counts) model() *Model {
	m := &Model{order: c.order, start: State(c.entries[BOS].child)}
	c.continuations()
	discounts := c.discounts()
	for i, n := range c.nodes {
		m.suffix = append(m.suffix, State(n.suffix))
		m.depth = append(m.depth, n.depth)
		m.first = append(m.first, int32(len(m.token)))
		slices.SortFunc(n.entries, func(a, b *entry) int { return int(a.token) - int(b.token) })
		total, held := 0.0, 0.0
		for _, e := range n.entries {
			total += float64(e.count)
			held += discounts[n.depth][min(e.count, 3)]
		}
		if total == 0 {
			m.gamma = append(m.gamma, 1)
			continue // the end of a document: nothing followed
		}
		m.gamma = append(m.gamma, held/total)
		for _, e := range n.entries {
			if e.count == 0 {
				continue // BOS
			}
			m.token = append(m.token, e.token)
			m.alpha = append(m.alpha, (float64(e.count)-discounts[n.depth][min(e.count, 3)])/total)
			m.to = append(m.to, c.after(int32(i), e))
		}
	}
	m.first = append(m.first, int32(len(m.token)))
	for t := range m.root {
		m.root[t] = -1
	}
	for e := m.first[0]; e < m.first[1]; e++ {
		m.root[m.token[e]] = e
	}
	return m
}

// after returns the state that node n and entry e lead to: a full context forgets
// its first token.
func (c *counts) after(n int32, e *entry) State {
	for e.child == 0 && n != 0 {
		n = c.nodes[n].suffix
		e = c.entries[uint64(n)<<16|uint64(e.token)]
	}
	return State(e.child)
}

// continuations sets the counts that the estimates rest on: at the highest
// order, and where only a document's beginning came before, how often a token
// was seen; below, how many different tokens came before context and token.
func (c *counts) continuations() {
	for _, n := range c.nodes {
		if int(n.depth) == c.order-1 {
			for _, e := range n.entries {
				e.count = e.seen
			}
		}
		if n.depth > 0 {
			for _, e := range n.entries {
				if e.seen > 0 {
					c.entries[uint64(n.suffix)<<16|uint64(e.token)].count++
				}
			}
		}
	}
	for _, e := range c.entries {
		if e.count == 0 {
			e.count = e.seen
		}
	}
}

// discounts estimates, for each order, what is taken from counts of one, two,
// and three or more. Where a small text gives no estimate in (0, count), half
// is taken.
func (c *counts) discounts() [][4]float64 {
	ofCount := make([][5]float64, c.order)
	for _, n := range c.nodes {
		for _, e := range n.entries {
			if e.count > 0 && e.count < 5 {
				ofCount[n.depth][e.count]++
			}
		}
	}
	out := make([][4]float64, c.order)
	for k, n := range ofCount {
		y := n[1] / (n[1] + 2*n[2])
		for i := 1; i <= 3; i++ {
			d := float64(i) - float64(i+1)*y*n[i+1]/n[i]
			if !(d > 0 && d < float64(i)) { // also NaN
				d = 0.5
			}
			out[k][i] = d
		}
	}
	return out
}

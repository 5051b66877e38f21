package schedule

import (
	"container/list"
	"slices"
)

// cache hands out the KV cache's blocks. Blocks that hold the same beginning of
// a prompt are shared; those that no sequence uses any more stay, least
// recently used first to go, until their room is needed.
type cache struct {
	blockTokens int
	total, free int // blocks; free counts those that are kept but unused too
	caching     bool
	known       map[uint64]*block
	unused      *list.List // of *block, least recently used first

	queried, hit int // prompt tokens
}

// block is a full block whose content the cache knows.
type block struct {
	hash  uint64
	users int
	place *list.Element // in unused, where users is 0
}

func newCache(l Limits) *cache {
	n := l.KVTokens / l.BlockTokens
	return &cache{blockTokens: l.BlockTokens, total: n, free: n, caching: l.PrefixCaching,
		known: map[uint64]*block{}, unused: list.New()}
}

func (c *cache) blocksFor(tokens int) int { return (tokens + c.blockTokens - 1) / c.blockTokens }

// acquire gives a new sequence the blocks that the cache knows of its prompt.
// At least one token is left to compute: the one that the first output token
// comes from. It reports false where not even one more block is free.
func (c *cache) acquire(q *Seq) bool {
	q.computed, q.blocks, q.shared = 0, 0, q.shared[:0]
	if c.free == 0 {
		return false
	}
	for i, h := range q.Hashes {
		b := c.known[h]
		if b == nil || (i+1)*c.blockTokens >= q.target() {
			break
		}
		if b.users == 0 {
			c.unused.Remove(b.place)
			b.place = nil
			c.free--
		}
		b.users++
		q.shared = append(q.shared, b)
	}
	q.blocks = len(q.shared)
	q.computed = q.blocks * c.blockTokens
	return true
}

// grow gives q enough blocks for so many tokens, or changes nothing and reports
// false.
func (c *cache) grow(q *Seq, tokens int) bool {
	more := c.blocksFor(tokens) - q.blocks
	if more <= 0 {
		return true
	}
	if more > c.free {
		return false
	}
	c.free -= more
	q.blocks += more
	c.evict()
	return true
}

// evict forgets unused blocks until those kept fit into what is free.
func (c *cache) evict() {
	for c.unused.Len() > c.free {
		b := c.unused.Remove(c.unused.Front()).(*block)
		delete(c.known, b.hash)
	}
}

// publish lets others share the full blocks that q has computed, as far as
// their hashes are given.
func (c *cache) publish(q *Seq, hashes []uint64) {
	if !c.caching {
		return
	}
	full := min(q.computed/c.blockTokens, len(hashes), q.blocks)
	for i := len(q.shared); i < full; i++ {
		if c.known[hashes[i]] != nil {
			return // another computed the same at the same time: q's stay its own
		}
		b := &block{hash: hashes[i], users: 1}
		c.known[b.hash] = b
		q.shared = append(q.shared, b)
	}
}

// release takes q's blocks back. Those that it shared stay known, as long as
// their room is not needed.
func (c *cache) release(q *Seq) {
	c.free += q.blocks - len(q.shared)
	for _, b := range slices.Backward(q.shared) { // a prefix's end goes first
		if b.users--; b.users == 0 {
			b.place = c.unused.PushBack(b)
			c.free++
		}
	}
	q.blocks, q.computed, q.shared = 0, 0, nil
}

func (c *cache) flush() {
	for c.unused.Len() > 0 {
		b := c.unused.Remove(c.unused.Front()).(*block)
		delete(c.known, b.hash)
	}
}

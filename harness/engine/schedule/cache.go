package schedule

import (
	"container/list"
	"slices"
)

// cache hands out the KV cache's blocks. Blocks that hold the same beginning of
// a prompt are shared; those that no sequence uses any more stay, least
// recently used first to go, until their room is needed. What goes moves to the
// host tier, where there is one, and out of that the least recently used first
// again: both tiers together are one list by last use.
type cache struct {
	blockTokens int
	total, free int // blocks; free counts those that are kept but unused too
	caching     bool
	known       map[uint64]*block
	unused      *list.List // of *block, least recently used first

	hostTotal int // blocks
	host      map[uint64]*list.Element
	hostOrder *list.List // of uint64, least recently used first

	stats CacheStats
}

// CacheStats counts, since the start and in tokens, what the prefix cache did. A
// prompt is looked up once, when it is first admitted.
type CacheStats struct {
	Queried      int // of prompts that were looked up
	Device, Host int // of these, found on the device and in the host tier
	Evicted      int // that left the device for want of room
	LoadedBack   int // that came back to it from the host tier
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
		known: map[uint64]*block{}, unused: list.New(),
		hostTotal: l.HostTokens / l.BlockTokens, host: map[uint64]*list.Element{}, hostOrder: list.New()}
}

func (c *cache) blocksFor(tokens int) int { return (tokens + c.blockTokens - 1) / c.blockTokens }

// admit gives a new sequence the blocks that the cache knows of its prompt and
// those for its first chunk, of at most budget tokens. At least one token is left
// to compute: the one that the first output token comes from. Where there is not
// room for all of them it changes nothing and reports false.
func (c *cache) admit(q *Seq, budget int) bool {
	found, idle, onHost := 0, 0, 0 // blocks of the prompt; of these without a user, and in the host tier
look:
	for i, h := range q.Hashes {
		if (i+1)*c.blockTokens >= q.target() {
			break
		}
		switch b := c.known[h]; {
		case b != nil && b.users == 0:
			idle++
		case b == nil && c.host[h] != nil:
			onHost++
		case b == nil:
			break look
		}
		found++
	}
	chunk := min(q.target()-found*c.blockTokens, budget)
	if idle+onHost+c.blocksFor(found*c.blockTokens+chunk)-found > c.free {
		return false
	}
	q.blocks, q.shared = 0, q.shared[:0]
	// Those on the device first, so that none of them makes room for one from the host.
	for _, h := range q.Hashes[:found] {
		if b := c.known[h]; b != nil {
			c.use(b)
		}
	}
	for _, h := range q.Hashes[:found] {
		if c.known[h] == nil {
			c.loadBack(h)
		}
		q.shared = append(q.shared, c.known[h])
	}
	q.blocks, q.computed, q.chunk = found, found*c.blockTokens, chunk
	q.loaded = onHost * c.blockTokens
	c.grow(q, q.computed+chunk)
	return true
}

// use gives a block that the device holds one more user.
func (c *cache) use(b *block) {
	if b.users == 0 {
		c.unused.Remove(b.place)
		b.place = nil
		c.free--
	}
	b.users++
}

// loadBack moves a block from the host tier to the device, for its first user.
func (c *cache) loadBack(h uint64) {
	c.hostOrder.Remove(c.host[h])
	delete(c.host, h)
	c.known[h] = &block{hash: h, users: 1}
	c.free--
	c.stats.LoadedBack += c.blockTokens
	c.evict()
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

// evict takes unused blocks off the device until those kept fit into what is
// free, and the host tier's until the new ones fit there.
func (c *cache) evict() {
	for c.unused.Len() > c.free {
		b := c.unused.Remove(c.unused.Front()).(*block)
		delete(c.known, b.hash)
		c.stats.Evicted += c.blockTokens
		if c.hostTotal > 0 {
			c.host[b.hash] = c.hostOrder.PushBack(b.hash)
		}
	}
	for c.hostOrder.Len() > c.hostTotal {
		delete(c.host, c.hostOrder.Remove(c.hostOrder.Front()).(uint64))
	}
}

// publish lets others share q's full blocks of its first tokens, as far as their
// hashes are given: those that are computed, and those that the step under way
// will have. A block that another computed too is kept once.
func (c *cache) publish(q *Seq, tokens int) {
	if !c.caching {
		return
	}
	full := min(tokens/c.blockTokens, len(q.Hashes), q.blocks)
	for _, h := range q.Hashes[min(len(q.shared), full):full] {
		b := c.known[h]
		if b == nil {
			if e := c.host[h]; e != nil { // computed anew: the copy is older
				c.hostOrder.Remove(e)
				delete(c.host, h)
			}
			b = &block{hash: h, users: 1}
			c.known[h] = b
		} else {
			c.use(b)
			c.free++ // q's own
		}
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

// flush forgets what no sequence uses, on the device and, where it is asked, in
// the host tier.
func (c *cache) flush(host bool) {
	for c.unused.Len() > 0 {
		b := c.unused.Remove(c.unused.Front()).(*block)
		delete(c.known, b.hash)
	}
	if host {
		c.hostOrder.Init()
		clear(c.host)
	}
}

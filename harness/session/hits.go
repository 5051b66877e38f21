package session

// Cache is a prefix cache that never forgets.
type Cache struct{ seen map[uint32]bool }

// Hits counts the leading blocks of a prompt that the cache holds, and then holds
// all of the prompt's. It stops at the first block that it has not, as a server
// does: what comes behind that depends on it.
func (c *Cache) Hits(blocks []uint32) int {
	n := 0
	for n < len(blocks) && c.seen[blocks[n]] {
		n++
	}
	if c.seen == nil {
		c.seen = map[uint32]bool{}
	}
	for _, b := range blocks[n:] {
		c.seen[b] = true
	}
	return n
}

// Hits is, of each turn, how many of its leading blocks an infinite cache would
// hold: one cache for the root and all sub-agents, turns in order of their recorded
// start. Pooled over turns and divided by their blocks it is the
// theoretical_cache_hit_rate of AIPerf 0.13 and InferenceX.
//
// A server computes the last token of a prompt anew, for the answer's first token
// comes from it. So of a prompt that ends with a block which the cache holds it
// finds one block less than this; a cache that holds everything differs in nothing
// else.
func (t *Trace) Hits() []int {
	var c Cache
	out := make([]int, len(t.Turns))
	for k := range t.Turns {
		out[k] = c.Hits(t.Turns[k].Blocks)
	}
	return out
}

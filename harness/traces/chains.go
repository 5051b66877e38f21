package traces

import (
	"cmp"
	"container/heap"
	"slices"
	"time"

	"inferbench/harness/session"
)

// call is a recorded request of one list, in which several agents may be interleaved.
type call struct {
	session.Turn
	model string
}

func (c *call) end() time.Duration { return c.At + c.Took }

// A request that shares less than seamOverlap of the longer state's blocks and comes
// more than seamGap after it is no continuation of it: values of agentx-harness 1.0.12.
const (
	seamGap     = time.Hour
	seamOverlap = 0.5
)

// chain is an agent: its requests, in order of time.
type chain struct {
	calls []int
	tail  int // the last of them that has blocks; -1 where none has
	from  int // the request whose context it began with a part of; -1 for none
	depth int // blocks of that part
	gone  bool
}

// chains tells the agents of a list of requests apart, as agentx-harness does. A
// request goes on with the agent whose whole last prompt it begins with, if that one's
// answer had come and the model is the same. One that begins with only a part of a
// prompt is the same agent after its context was edited, if no other request ever goes
// back to the longer prompt; otherwise it is an agent of its own. The first chain is
// that of the first request that is no preamble, with the preamble before it; opening is
// the first prompt of it that has blocks, the preamble's apart.
func chains(calls []call) (agents [][]int, opening []uint32) {
	slices.SortStableFunc(calls, func(a, b call) int { return cmp.Compare(a.At, b.At) })
	from := 0
	if preamble(calls) {
		from = 1
	}
	c := chaining{calls: calls, of: make([]int, len(calls)), forks: map[int][]int{}}
	for i := from; i < len(calls); i++ {
		c.place(i)
	}
	c.join()
	for _, ch := range c.chains {
		if !ch.gone {
			agents = append(agents, ch.calls)
		}
	}
	slices.SortStableFunc(agents, func(a, b []int) int { return cmp.Compare(a[0], b[0]) })
	opening = firstBlocks(calls, agents[0])
	if from == 1 {
		agents[0] = append([]int{0}, agents[0]...)
	}
	return agents, opening
}

// mostPreamble is the longest answer, in tokens, of a first request that tells by
// sharing no prompt with any other that it is no part of the conversation: the title
// that an agent asks for. A value of agentx-harness 1.0.12.
const mostPreamble = 64

// preamble reports whether the first request of a list is one that is thrown away: its
// prompt shares no beginning with any other's, and its answer is short or none of its
// blocks ever comes again.
func preamble(calls []call) bool {
	if len(calls) < 2 || len(calls[0].Blocks) == 0 {
		return false
	}
	first, again := &calls[0], false
	own := map[uint32]bool{}
	for _, b := range first.Blocks {
		own[b] = true
	}
	for i := 1; i < len(calls); i++ {
		if session.Common(first.Blocks, calls[i].Blocks) > 0 {
			return false
		}
		again = again || slices.ContainsFunc(calls[i].Blocks, func(b uint32) bool { return own[b] })
	}
	return first.Out <= mostPreamble || !again
}

// begins reports whether two prompts begin with the same n blocks.
func begins(a, b []uint32, n int) bool {
	return len(a) >= n && len(b) >= n && session.Common(a[:n], b[:n]) == n
}

// firstBlocks are those of the first of some requests that has blocks.
func firstBlocks(calls []call, of []int) []uint32 {
	for _, i := range of {
		if len(calls[i].Blocks) > 0 {
			return calls[i].Blocks
		}
	}
	return nil
}

// chaining is a list whose agents are being told apart.
type chaining struct {
	calls  []call
	chains []*chain
	of     []int         // the chain of each request
	forks  map[int][]int // by request: the chains that began with a part of its prompt
}

// place puts a request to the chain that it goes on with, or begins one.
func (c *chaining) place(i int) {
	u := &c.calls[i]
	best, longest := -1, -1
	near, shared := -1, 0
	for n, ch := range c.chains {
		if ch.tail < 0 {
			continue
		}
		t := &c.calls[ch.tail]
		same := session.Common(t.Blocks, u.Blocks)
		if same == len(t.Blocks) && same > longest && t.model == u.model && t.end() <= u.At {
			best, longest = n, same
		}
		if same > shared || same == shared && same > 0 && len(t.Blocks) > len(c.calls[c.chains[near].tail].Blocks) {
			near, shared = n, same
		}
	}
	evidence := slices.ContainsFunc(c.chains, func(ch *chain) bool { return ch.tail >= 0 })
	switch {
	case len(c.chains) == 0:
		c.begin(i, -1, 0)
	case len(u.Blocks) == 0 || !evidence:
		c.append(0, i) // nothing tells whose it is
	case best >= 0:
		c.append(best, i)
	case near >= 0:
		from := c.chains[near].tail
		c.forks[from] = append(c.forks[from], len(c.chains))
		c.begin(i, from, shared)
	default:
		c.begin(i, -1, 0)
	}
}

func (c *chaining) begin(i, from, depth int) {
	c.chains = append(c.chains, &chain{tail: -1, from: from, depth: depth})
	c.append(len(c.chains)-1, i)
}

func (c *chaining) append(n, i int) {
	ch := c.chains[n]
	ch.calls = append(ch.calls, i)
	c.of[i] = n
	if len(c.calls[i].Blocks) > 0 {
		ch.tail = i
	}
}

// join puts a chain that goes on after an edit behind the one whose longest prompt
// nothing goes back to.
func (c *chaining) join() {
	var todo ints
	for from := range c.forks {
		heap.Push(&todo, from)
	}
	for len(todo) > 0 {
		from := heap.Pop(&todo).(int)
		owner := c.chains[c.of[from]]
		forks := c.forks[from]
		delete(c.forks, from)
		if owner.tail != from {
			continue // the longer prompt was gone on with
		}
		next := c.continuation(from, forks)
		if next < 0 {
			continue
		}
		for _, i := range c.chains[next].calls {
			c.append(c.of[from], i)
		}
		c.chains[next].gone = true
		for _, n := range forks { // what else began there may be a later edit of the same agent
			ch := c.chains[n]
			if ch.gone {
				continue
			}
			if ch.depth = session.Common(c.calls[owner.tail].Blocks, c.calls[ch.calls[0]].Blocks); ch.depth > 0 {
				c.forks[owner.tail] = append(c.forks[owner.tail], n)
				heap.Push(&todo, owner.tail)
			}
		}
	}
}

// continuation is which of the chains that began with a part of a prompt goes on with
// it: the one that keeps most, the earliest of several; -1 for none.
func (c *chaining) continuation(from int, forks []int) int {
	best, t := -1, &c.calls[from]
	for _, n := range forks {
		ch := c.chains[n]
		if ch.gone {
			continue
		}
		first := &c.calls[ch.calls[0]]
		far := first.At-t.end() > seamGap && float64(ch.depth) < seamOverlap*float64(len(t.Blocks))
		if ch.depth == 0 || t.end() > first.At || first.model != t.model || far {
			continue
		}
		if best < 0 || ch.depth > c.chains[best].depth {
			best = n
		}
	}
	return best
}

// ints is a heap of numbers, the least first.
type ints []int

func (h ints) Len() int           { return len(h) }
func (h ints) Less(i, j int) bool { return h[i] < h[j] }
func (h ints) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *ints) Push(x any)        { *h = append(*h, x.(int)) }
func (h *ints) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

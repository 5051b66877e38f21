package schedule

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// turn is one request of a session: the hashes of its prompt's full blocks, and
// the tokens behind them.
type turn struct {
	hashes       []uint64
	tail, output int
}

func (t turn) prompt(size int) int { return len(t.hashes)*size + t.tail }

// turns makes sessions whose turns come in any order among one another: a
// common beginning, new blocks a turn, now and then a compaction that keeps only
// the beginning, and sub-agents that branch off.
func turns(seed uint64, sessions, each int) []turn {
	rng := rand.New(rand.NewPCG(seed, 7))
	next := uint64(0)
	fresh := func(n int) (out []uint64) {
		for range n {
			next++
			out = append(out, next)
		}
		return out
	}
	streams := make([][]uint64, sessions)
	for i := range streams {
		streams[i] = fresh(3 + rng.IntN(4))
	}
	var out []turn
	for range sessions * each {
		i := rng.IntN(len(streams))
		switch rng.IntN(12) {
		case 0: // compaction
			streams[i] = slices.Clone(streams[i][:2])
		case 1: // a sub-agent
			streams = append(streams, slices.Clone(streams[i][:len(streams[i])/2+1]))
			i = len(streams) - 1
		case 2: // sent again as it was
			out = append(out, turn{slices.Clone(streams[i]), 0, 1})
			continue
		}
		streams[i] = append(slices.Clone(streams[i]), fresh(1+rng.IntN(4))...)
		out = append(out, turn{slices.Clone(streams[i]), rng.IntN(10), 1 + rng.IntN(12)})
	}
	return out
}

// seen counts the leading blocks of each turn that earlier ones had: what an
// infinite cache would hold. The last token of a prompt is always computed, so
// that a prompt which is known to its end has one block less.
func seen(ts []turn, size int) (hits []int) {
	known := map[uint64]bool{}
	for _, t := range ts {
		n := 0
		for n < len(t.hashes) && known[t.hashes[n]] {
			n++
		}
		for _, h := range t.hashes {
			known[h] = true
		}
		hits = append(hits, min(n, (t.prompt(size)-1)/size))
	}
	return hits
}

// tiers is a cache told apart from the scheduler's: a plain list for each tier,
// least recently used first.
type tiers struct {
	size, device, host int // of a block in tokens; blocks
	onDevice, onHost   []uint64
	evicted, loaded    int // blocks
}

// ask serves one request alone and counts the blocks that it finds in each tier.
func (c *tiers) ask(t turn) (device, host int) {
	var mine []uint64
	for i, h := range t.hashes {
		d, o := slices.Index(c.onDevice, h), slices.Index(c.onHost, h)
		if d < 0 && o < 0 || (i+1)*c.size >= t.prompt(c.size) {
			break
		}
		mine = append(mine, h)
		if d >= 0 {
			device++
		} else {
			host++
			c.loaded++
		}
	}
	drop := func(list []uint64) []uint64 {
		return slices.DeleteFunc(list, func(h uint64) bool { return slices.Contains(mine, h) })
	}
	c.onDevice, c.onHost = drop(c.onDevice), drop(c.onHost)
	// The last output token is never computed, and needs no room.
	holds := (t.prompt(c.size) + t.output - 1 + c.size - 1) / c.size
	mine = t.hashes
	c.makeRoom(holds)
	c.onHost = drop(c.onHost) // computed anew
	for _, h := range slices.Backward(mine) {
		c.onDevice = append(drop1(c.onDevice, h), h)
	}
	return device, host
}

func (c *tiers) makeRoom(blocks int) {
	for len(c.onDevice)+blocks > c.device {
		c.evicted++
		if c.host > 0 {
			c.onHost = append(c.onHost, c.onDevice[0])
		}
		c.onDevice = c.onDevice[1:]
	}
	if over := len(c.onHost) - c.host; over > 0 {
		c.onHost = c.onHost[over:]
	}
}

func drop1(list []uint64, h uint64) []uint64 {
	return slices.DeleteFunc(list, func(o uint64) bool { return o == h })
}

// serve runs each turn alone, one after the other, and returns the blocks found
// in each tier.
func serve(t *testing.T, s *Scheduler, ts []turn, size int) (device, host []int) {
	for _, x := range ts {
		q := &Seq{Owner: "x", Prompt: x.prompt(size), Output: x.output, Hashes: x.hashes}
		play(t, s, q)
		device, host = append(device, (q.Cached-q.FromHost)/size), append(host, q.FromHost/size)
	}
	return device, host
}

func caching(kv, host int) *Profile {
	return profile(func(p *Profile) {
		p.MaxModelLen, p.Limits.PrefixCaching = 1_000_000, true
		p.Limits.KVTokens, p.Limits.HostTokens, p.Limits.TokenBudget = kv, host, 64
	})
}

// A cache that holds everything finds what an infinite one would, to the block.
func TestCacheThatHoldsEverything(t *testing.T) {
	for seed := range uint64(20) {
		ts := turns(seed, 6, 12)
		s := New(caching(10_000_000, 0))
		got, _ := serve(t, s, ts, 10)
		require.Equal(t, seen(ts, 10), got, "seed %d", seed)
		assert.Zero(t, s.CacheStats().Evicted)
	}
}

// Where requests run together, each step's blocks are there for those admitted
// behind them: the sum is the same as one after the other.
func TestCacheThatHoldsEverythingAtOnce(t *testing.T) {
	for seed := range uint64(20) {
		ts := turns(seed, 6, 12)
		s := New(caching(10_000_000, 0))
		var seqs []*Seq
		want, got := 0, 0
		for i, x := range ts {
			seqs = append(seqs, &Seq{Owner: fmt.Sprint(i), Prompt: x.prompt(10), Output: x.output, Hashes: x.hashes})
		}
		play(t, s, seqs...)
		for i, n := range seen(ts, 10) {
			want, got = want+n, got+seqs[i].Cached/10
		}
		require.Equal(t, want, got, "seed %d", seed)
	}
}

// A cache that is too small finds what a simulation of its own finds, request by
// request and tier by tier; and a host tier finds what a larger device would.
func TestCacheThatIsTooSmall(t *testing.T) {
	for seed := range uint64(40) {
		ts := turns(seed, 6, 12)
		longest, all := 0, 0
		for _, x := range ts {
			longest = max(longest, (x.prompt(10)+x.output)/10+1)
			for _, h := range x.hashes {
				all = max(all, int(h))
			}
		}
		blocks := max(all/2, longest)
		for _, host := range []int{0, 5, all / 4, all} {
			s := New(caching(10*blocks, 10*host))
			sim := &tiers{size: 10, device: blocks, host: host}
			var device, hosted []int
			for _, x := range ts {
				d, h := sim.ask(x)
				device, hosted = append(device, d), append(hosted, h)
			}
			gotDevice, gotHost := serve(t, s, ts, 10)
			require.Equal(t, device, gotDevice, "seed %d, host %d", seed, host)
			require.Equal(t, hosted, gotHost, "seed %d, host %d", seed, host)
			c := s.CacheStats()
			require.Equal(t, 10*sim.evicted, c.Evicted)
			require.Equal(t, 10*sim.loaded, c.LoadedBack)
			require.Positive(t, c.Evicted)
			require.Equal(t, 10*sum(gotDevice), c.Device)
			require.Equal(t, 10*sum(gotHost), c.Host)
			if host == all {
				require.Equal(t, sum(seen(ts, 10)), sum(gotDevice)+sum(gotHost), "both tiers hold everything")
			}
		}
	}
}

func sum(n []int) (total int) {
	for _, v := range n {
		total += v
	}
	return total
}

// What comes from the host tier takes its time.
func TestLoadingBackTakesTime(t *testing.T) {
	p := caching(100, 1000)
	p.Cost.HostRate = 10_000 // 0.1 ms a token; prefill is 1 ms a token
	s := New(p)
	a := func() *Seq { return &Seq{Owner: "a", Prompt: 55, Output: 1, Hashes: []uint64{1, 2, 3, 4, 5}} }
	fill := &Seq{Owner: "b", Prompt: 95, Output: 1, Hashes: []uint64{11, 12, 13, 14, 15, 16, 17, 18, 19}}
	play(t, s, a())
	play(t, s, fill) // for which all of a's goes to the host
	s.FlushCache(false)
	again := a()
	got := play(t, s, again)
	assert.Equal(t, 50, again.FromHost)
	assert.Equal(t, ms(5+5), got[0].at, "50 tokens loaded, 5 computed")
	s.FlushCache(true)
	gone := a()
	play(t, s, gone)
	assert.Zero(t, gone.Cached)
}

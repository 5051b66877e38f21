package accuracy

import "math/bits"

// pyRandom is Python's random.Random: the Mersenne Twister MT19937 (Matsumoto
// and Nishimura, 1998), seeded by array as CPython does. lm-evaluation-harness
// draws its few-shot examples with it, so the same examples need the same
// generator.
type pyRandom struct {
	state [624]uint32
	next  int
}

// newNumpyRandom is numpy.random.RandomState, seeded by a number.
func newNumpyRandom(seed uint32) *pyRandom {
	r := &pyRandom{next: 624}
	r.state[0] = seed
	for i := uint32(1); i < 624; i++ {
		r.state[i] = 1812433253*(r.state[i-1]^r.state[i-1]>>30) + i
	}
	return r
}

// masked is uniform in [0, n), as numpy's randint draws it.
func (r *pyRandom) masked(n int) int {
	mask := uint32(1)<<bits.Len32(uint32(n-1)) - 1
	for {
		if v := int(r.uint32() & mask); v < n {
			return v
		}
	}
}

// choices is k letters, as random.choices draws them.
func (r *pyRandom) choices(letters string, k int) string {
	out := make([]byte, k)
	for i := range out {
		a, b := r.uint32()>>5, r.uint32()>>6
		out[i] = letters[int(float64(len(letters))*((float64(a)*67108864+float64(b))/9007199254740992))]
	}
	return string(out)
}

func newPyRandom(seed uint32) *pyRandom {
	r := &pyRandom{next: 624}
	mt := &r.state
	mt[0] = 19650218
	for i := uint32(1); i < 624; i++ {
		mt[i] = 1812433253*(mt[i-1]^mt[i-1]>>30) + i
	}
	// init_by_array with the one-element key [seed]
	i := 1
	wrap := func() {
		if i++; i >= 624 {
			mt[0] = mt[623]
			i = 1
		}
	}
	for range 624 {
		mt[i] = (mt[i] ^ (mt[i-1]^mt[i-1]>>30)*1664525) + seed
		wrap()
	}
	for range 623 {
		mt[i] = (mt[i] ^ (mt[i-1]^mt[i-1]>>30)*1566083941) - uint32(i)
		wrap()
	}
	mt[0] = 0x80000000
	return r
}

func (r *pyRandom) uint32() uint32 {
	if r.next == 624 {
		mt := &r.state
		for i := range 624 {
			y := mt[i]&0x80000000 | mt[(i+1)%624]&0x7fffffff
			v := mt[(i+397)%624] ^ y>>1
			if y&1 != 0 {
				v ^= 0x9908b0df
			}
			mt[i] = v
		}
		r.next = 0
	}
	y := r.state[r.next]
	r.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// below is uniform in [0, n), n above 0.
func (r *pyRandom) below(n int) int {
	width := bits.Len(uint(n))
	for {
		if v := int(r.uint32() >> (32 - width)); v < n {
			return v
		}
	}
}

// shuffle puts n things into a random order, as random.shuffle does.
func (r *pyRandom) shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, r.below(i+1))
	}
}

// sample draws k of n indices without replacement, k at most n, as random.sample
// does: from a shrinking pool where n is small, else by trying again.
func (r *pyRandom) sample(n, k int) []int {
	size := 21
	if k > 5 {
		table := 1 // 4^⌈log4(3k)⌉
		for table < 3*k {
			table *= 4
		}
		size += table
	}
	out := make([]int, k)
	if n <= size {
		pool := make([]int, n)
		for i := range pool {
			pool[i] = i
		}
		for i := range k {
			j := r.below(n - i)
			out[i] = pool[j]
			pool[j] = pool[n-i-1]
		}
		return out
	}
	taken := make(map[int]bool, k)
	for i := range k {
		j := r.below(n)
		for taken[j] {
			j = r.below(n)
		}
		taken[j] = true
		out[i] = j
	}
	return out
}

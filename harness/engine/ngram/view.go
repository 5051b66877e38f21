package ngram

import (
	"math"
	"slices"
	"sync/atomic"
)

// View is a model as seen through noise on its logits: what a quantisation or a
// faulty kernel does to a model. The noise is a fixed function of state and
// token, normal with standard deviation sigma (in nats), so a view is as
// deterministic as the model, and renormalised, so that its probabilities sum
// to one. With sigma 0 it is the model itself.
//
// A view remembers each state's normaliser and most likely token once it has
// computed them. It is safe for concurrent use.
type View struct {
	*Model
	sigma float64
	known []remembered
}

type remembered struct {
	logZ atomic.Uint64 // bits of a float64; 0 means not known
	best atomic.Uint32 // token+1; 0 means not known
	lp   atomic.Uint64 // bits of best's log-probability; 0 means not known
}

// View makes a view of the model. A negative sigma counts as 0.
func (m *Model) View(sigma float64) *View {
	return &View{Model: m, sigma: max(sigma, 0), known: make([]remembered, m.States())}
}

// Sigma returns the standard deviation of the noise, in nats.
func (v *View) Sigma() float64 { return v.sigma }

// LogProb returns the natural logarithm of the probability of token in state s.
func (v *View) LogProb(s State, token int32) float64 {
	lp := math.Log(v.Prob(s, token))
	if v.sigma == 0 {
		return lp
	}
	return lp + v.sigma*gauss(s, token) - v.logZ(s)
}

// Best returns the most likely token in state s, the lowest id among equals.
func (v *View) Best(s State) int32 {
	k := &v.known[s]
	if b := k.best.Load(); b != 0 {
		return int32(b) - 1
	}
	var p [Vocab]float64
	v.Dist(s, &p)
	best := 0
	for t := range p {
		if p[t] > p[best] {
			best = t
		}
	}
	k.best.Store(uint32(best) + 1)
	return int32(best)
}

// Recalled returns the most likely token of a model that also recalls a text, in
// which token comes next: four fifths of its mass are on that token, so that
// noise can still lead it astray.
func (v *View) Recalled(s State, token int32) int32 {
	var p [Vocab]float64
	v.Model.Dist(s, &p)
	best, most := 0, 0.0
	for t := range p {
		p[t] *= 0.2
		if t == int(token) {
			p[t] += 0.8
		}
		if v.sigma > 0 {
			p[t] *= math.Exp(v.sigma * gauss(s, int32(t)))
		}
		if p[t] > most {
			best, most = t, p[t]
		}
	}
	return int32(best)
}

// BestLogProb returns the most likely token in state s and its [View.LogProb].
func (v *View) BestLogProb(s State) (int32, float64) {
	best, k := v.Best(s), &v.known[s]
	if bits := k.lp.Load(); bits != 0 {
		return best, math.Float64frombits(bits)
	}
	lp := v.LogProb(s, best)
	k.lp.Store(math.Float64bits(lp)) // an exact 0 is computed again, no harm
	return best, lp
}

// Dist writes the probability of every token in state s.
func (v *View) Dist(s State, p *[Vocab]float64) {
	v.Model.Dist(s, p)
	if v.sigma == 0 {
		return
	}
	z := 0.0
	for t := range p {
		p[t] *= math.Exp(v.sigma * gauss(s, int32(t)))
		z += p[t]
	}
	for t := range p {
		p[t] /= z
	}
}

// Top lists the k most likely tokens in state s, the most likely first.
func (v *View) Top(s State, k int) []int32 {
	if k == 1 {
		return []int32{v.Best(s)}
	}
	var p [Vocab]float64
	v.Dist(s, &p)
	ids := make([]int32, Vocab)
	for t := range ids {
		ids[t] = int32(t)
	}
	slices.SortStableFunc(ids, func(a, b int32) int {
		switch {
		case p[a] > p[b]:
			return -1
		case p[a] < p[b]:
			return 1
		}
		return 0
	})
	return ids[:max(0, min(k, Vocab))]
}

func (v *View) logZ(s State) float64 {
	k := &v.known[s]
	if bits := k.logZ.Load(); bits != 0 {
		return math.Float64frombits(bits)
	}
	var p [Vocab]float64
	v.Model.Dist(s, &p)
	z := 0.0
	for t := range p {
		z += p[t] * math.Exp(v.sigma*gauss(s, int32(t)))
	}
	l := math.Log(z)
	k.logZ.Store(math.Float64bits(l)) // an exact 0 is computed again, no harm
	return l
}

// gauss returns a fixed draw for state and token, close to standard normal: the sum
// of four uniform numbers, scaled to variance 1. The hash is splitmix64's
// finaliser (G. Steele and others, 2014).
func gauss(s State, token int32) float64 {
	x := uint64(s)<<16 | uint64(token)
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	x ^= x >> 31
	sum := x&0xffff + x>>16&0xffff + x>>32&0xffff + x>>48
	return (float64(sum)/65535 - 2) * math.Sqrt(3)
}

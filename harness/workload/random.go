package workload

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// RandomIDs is the kind of [Random] prompts.
var RandomIDs = &Kind{Name: "random", What: "token ids", IDs: true, InWords: RandomText, Vocab: true,
	InChat: randomChat, Standard: true, Open: openRandom}

// randomChat is random ids as a user's message: their text, as long with the chat's
// template around it as ISL says.
var randomChat = &Kind{Name: "random", What: "text of token ids", Vocab: true, Counts: Needed, Texts: true,
	Standard: true, Open: newChat}

func openRandom(_ context.Context, s Spec) (Source, []string, error) {
	r := Random{N: s.N, ISL: s.ISL, OSL: s.OSL, RangeRatio: s.RangeRatio, Vocab: s.Vocab, Seed: s.Seed,
		SharedPrefix: s.SharedPrefix, Prefixes: s.Prefixes}
	return r, nil, r.Check()
}

// Random is prompts of uniformly random token ids, of a length that is exact
// without a tokenizer. With RangeRatio below 1, lengths are uniform in
// [⌊ratio·L⌋, L], input and output each.
type Random struct {
	N          int // requests
	ISL, OSL   int // tokens
	RangeRatio float64
	Vocab      int // size of the server's vocabulary; 0 where it is not known
	Seed       int64

	// SharedPrefix is the part of each prompt, 0 to 1, that it has in common
	// with others: with all of them, or with every Prefixes-th where there are
	// several prefixes. Prompts to warm up with have the same prefixes.
	SharedPrefix float64
	Prefixes     int
}

// prefixStream is where the random streams of shared prefixes begin, far from
// those of requests.
const prefixStream = 1 << 40

// assumedVocab stands in for a vocabulary that the server does not tell: the
// smallest in common use (Llama 2, Mistral 7B).
const assumedVocab = 32000

// IDs is the range [low, high) of ids that prompts are made of. A sixteenth of
// the vocabulary is left out at either end: that is where tokenizers keep
// their special tokens, and an image mark in a prompt is an error to some
// servers and a different workload to others.
func (r Random) IDs() (low, high int32) {
	v := r.Vocab
	if v <= 0 {
		v = assumedVocab
	}
	return int32(v / 16), int32(v - v/16)
}

// Check says what is wrong with the parameters, if anything.
func (r Random) Check() error {
	low, high := r.IDs()
	switch {
	case r.N < 1 || r.ISL < 1 || r.OSL < 1:
		return fmt.Errorf("random workload: want at least one request, input and output token (have %d, %d, %d)", r.N,
			r.ISL, r.OSL)
	case !(r.RangeRatio > 0 && r.RangeRatio <= 1):
		return fmt.Errorf("random workload: range ratio %v is not above 0 and at most 1", r.RangeRatio)
	case !(r.SharedPrefix >= 0 && r.SharedPrefix <= 1) || r.Prefixes < 0:
		return fmt.Errorf("random workload: shared prefix %v of %d is not a part from 0 to 1", r.SharedPrefix, r.Prefixes)
	case high-low < 2:
		return errors.New("random workload: the vocabulary is too small")
	}
	return nil
}

// Len is the number of requests.
func (r Random) Len() int { return r.N }

// Request is request i; negative ones warm up.
func (r Random) Request(i int) (Request, error) { return r.RequestInto(nil, i) }

// RequestInto is [Random.Request] with its prompt in tokens[:0], where that has
// room: a caller who is through with a prompt before the next saves memory.
func (r Random) RequestInto(tokens []int32, i int) (Request, error) {
	g := newGenerator(r.Seed, i)
	in := g.length(r.ISL, r.RangeRatio)
	out := g.length(r.OSL, r.RangeRatio)
	low, high := r.IDs()
	tokens = slices.Grow(tokens[:0], in)
	if n := int(r.SharedPrefix * float64(in)); n > 0 {
		tokens = prefixGenerator(r.Seed, i, r.Prefixes).ids(tokens, n, low, high)
	}
	return Request{Index: i, Tokens: g.ids(tokens, in, low, high), OutputLen: out}, nil
}

// generator draws the numbers of one request. The PCG of math/rand/v2 is fixed
// by its documentation; the reduction to a range is here because that of
// rand.Rand may change between Go releases.
type generator struct{ src *rand.PCG }

func newGenerator(seed int64, i int) generator { return newStream(seed, uint64(i)) }

func newStream(seed int64, i uint64) generator {
	const golden = 0x9e3779b97f4a7c15 // 2⁶⁴/φ: sets the streams of neighbouring requests far apart
	return generator{rand.NewPCG(uint64(seed), i*golden)}
}

// prefixGenerator draws the shared prefix of request i, one of several.
func prefixGenerator(seed int64, i, several int) generator {
	several = max(several, 1)
	return newStream(seed, prefixStream+uint64((i%several+several)%several))
}

// below is uniform in [0, n). The bias is below n/2⁶⁴.
func (g generator) below(n int) int {
	hi, _ := bits.Mul64(g.src.Uint64(), uint64(n))
	return int(hi)
}

// length is uniform in [⌊ratio·l⌋, l], and at least 1.
func (g generator) length(l int, ratio float64) int {
	least := max(int(ratio*float64(l)), 1)
	if least >= l {
		return l
	}
	return least + g.below(l-least+1)
}

// ids appends random ids in [low, high) to tokens until there are n.
func (g generator) ids(tokens []int32, n int, low, high int32) []int32 {
	for len(tokens) < n {
		tokens = append(tokens, low+int32(g.below(int(high-low))))
	}
	return tokens
}

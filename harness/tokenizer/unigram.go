package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// unigram cuts a piece into the tokens whose log-probabilities sum highest
// (Viterbi), SentencePiece's other model.
type unigram struct {
	ids        map[string]int32
	scores     []float64
	longest    int // bytes of the longest token
	unk        int32
	unkScore   float64
	byteTokens *[256]int32
}

// unkPenalty is how far an unknown character lies below the least likely token.
const unkPenalty = 10

func newUnigram(raw json.RawMessage) (*unigram, error) {
	var f struct {
		Vocab        []scoredToken `json:"vocab"`
		Unk          *int32        `json:"unk_id"`
		ByteFallback bool          `json:"byte_fallback"`
	}
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, fmt.Errorf("model Unigram: %w", err)
	}
	if f.Unk == nil || *f.Unk < 0 || int(*f.Unk) >= len(f.Vocab) {
		return nil, errors.New("model Unigram: unk_id is not in the vocabulary")
	}
	m := &unigram{ids: make(map[string]int32, len(f.Vocab)), unk: *f.Unk}
	least := math.Inf(1)
	for i, v := range f.Vocab {
		m.ids[v.token] = int32(i)
		m.scores = append(m.scores, v.score)
		m.longest = max(m.longest, len(v.token))
		least = min(least, v.score)
	}
	m.unkScore = least - unkPenalty
	if f.ByteFallback {
		m.byteTokens = byteTokens(m.ids)
	}
	return m, nil
}

// scoredToken is ["token", log-probability].
type scoredToken struct {
	token string
	score float64
}

func (v *scoredToken) UnmarshalJSON(b []byte) error {
	var score json.Number
	parts := []any{&v.token, &score}
	if err := json.Unmarshal(b, &parts); err != nil || len(parts) != 2 {
		return fmt.Errorf("%s is not [token, score]", b)
	}
	var err error
	v.score, err = serdeFloat(score.String())
	return err
}

// serdeFloat reads a number as Rust's serde_json does for Hugging Face: the
// digits as one whole number, as many as 64 bits hold, then one multiplication
// or division by a power of ten. It may be off by the last bit, and where two
// ways to cut a word tie, that bit decides.
func serdeFloat(s string) (float64, error) {
	exact, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0, err
	}
	mantissa, exponent, _ := strings.Cut(strings.ToLower(strings.TrimPrefix(s, "-")), "e")
	exp, _ := strconv.Atoi(exponent)
	var digits uint64
	fraction := false
	for _, c := range mantissa {
		switch {
		case c == '.':
			fraction = true
		case digits > (math.MaxUint64-9)/10: // no room: a fraction's digits are dropped
			if !fraction {
				return exact, nil
			}
		default:
			digits = digits*10 + uint64(c-'0')
			if fraction {
				exp--
			}
		}
	}
	if exp < -300 || exp > 300 {
		return exact, nil
	}
	f := float64(digits)
	if exp < 0 {
		f /= math.Pow10(-exp)
	} else {
		f *= math.Pow10(exp)
	}
	return math.Copysign(f, exact), nil
}

func (m *unigram) top() int32 { return int32(len(m.scores)) - 1 }

func (m *unigram) all() map[string]int32 { return m.ids }

func (m *unigram) id(name string) (int32, bool) {
	id, ok := m.ids[name]
	return id, ok
}

func (m *unigram) encode(ids []int32, s string) []int32 {
	type node struct {
		from    int
		score   float64
		id      int32
		reached bool
	}
	best := make([]node, len(s)+1) // of the ways that end here
	best[0].reached = true
	for from := 0; from < len(s); {
		_, char := utf8.DecodeRuneInString(s[from:])
		single := false
		for to := from + 1; to <= min(from+m.longest, len(s)); to++ {
			id, ok := m.ids[s[from:to]]
			if !ok {
				continue
			}
			if score := best[from].score + m.scores[id]; !best[to].reached || score > best[to].score {
				best[to] = node{from, score, id, true}
			}
			single = single || to == from+char
		}
		if to := from + char; !single {
			if score := best[from].score + m.unkScore; !best[to].reached || score > best[to].score {
				best[to] = node{from, score, m.unk, true}
			}
		}
		from += char
	}
	var back []node // from the end; a run of unknown characters is one
	for to := len(s); to > 0; to = best[to].from {
		n := best[to]
		if last := len(back) - 1; n.id == m.unk && last >= 0 && back[last].id == m.unk {
			back[last].from = n.from
			continue
		}
		back = append(back, n)
	}
	end := 0
	for i := len(back) - 1; i >= 0; i-- {
		begin := back[i].from
		if end = len(s); i > 0 {
			end = back[i-1].from
		}
		if back[i].id != m.unk {
			ids = append(ids, back[i].id)
		} else {
			ids = m.unknown(ids, s[begin:end])
		}
	}
	return ids
}

// unknown returns a run of characters that no token has: its bytes, or the unknown
// token.
func (m *unigram) unknown(ids []int32, s string) []int32 {
	if m.byteTokens != nil {
		start := len(ids)
		for i := range len(s) {
			if id := m.byteTokens[s[i]]; id >= 0 {
				ids = append(ids, id)
				continue
			}
			return append(ids[:start], m.unk)
		}
		return ids
	}
	return append(ids, m.unk)
}

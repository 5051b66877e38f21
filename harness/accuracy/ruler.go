package accuracy

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"inferbench/baselines"
	"inferbench/harness/corpus"
	"inferbench/harness/server"
)

// ruler is a task of RULER (Hsieh and others, 2024) whose prompts are made here:
// long texts in which something must be found, as lm-evaluation-harness makes
// and scores them. Each such task has a file of its own.
type ruler struct {
	name      string
	genTokens int
	drawn     int // random numbers that are drawn before the first prompt, by what the task imports
	// make lists rulerSamples prompts of so many tokens, with random numbers that
	// go on from one length to the next.
	make func(m *rulerMaker, length int) ([]rulerPrompt, error)
}

// rulerSamples is the number of prompts a length.
const rulerSamples = 500

// rulerLengths are the lengths that are asked where ACC_LENGTHS names none.
var rulerLengths = []int{4096}

// mostAhead bounds how many prompts are counted at once: each is a megabyte where
// they are long.
const mostAhead = 16

// rulerPrompt is a prompt, up to where the model goes on, and what its answer
// must hold.
type rulerPrompt struct {
	text string
	want []string
}

// rulerMaker makes prompts with the random numbers of a fresh run of
// lm-evaluation-harness, whose seeds are 0 and, for numpy, 1234.
type rulerMaker struct {
	random  *pyRandom
	numpy   *pyRandom
	count   func(text string) (int, error) // tokens
	cheap   bool                           // counting a word costs next to nothing: see [sizer]
	samples int                            // prompts a length
	words   *cweMaker                      // of ruler_cwe, once it is made
	known   map[string]int                 // tokens of parts of prompts

	foresight foresight // where counting costs a question
}

func (r ruler) Name() string         { return r.name }
func (r ruler) Needs() []corpus.File { return nil }
func (r ruler) measured() Measured   { return new(LongContext) }

func (r ruler) Ready(context.Context, Options, bool) error { return nil }

// LongContext is what a RULER task measured.
type LongContext struct {
	Score    float64            `json:"score"`     // mean over lengths of the share of expected strings that answers hold
	ByLength map[string]float64 `json:"by_length"` // by tokens of the prompt
	Samples  int                `json:"samples"`   // prompts a length
	StdErr   float64            `json:"score_stderr"`
}

func (r ruler) Measure(ctx context.Context, t *server.Server, o Options) (*Result, error) {
	if err := o.writes(); err != nil {
		return nil, err
	}
	lengths := o.Lengths
	if len(lengths) == 0 {
		lengths = rulerLengths
	}
	if most := slices.Max(lengths); t.MaxLen > 0 && most > t.MaxLen {
		return nil, fmt.Errorf("ACC_LENGTHS=%d is more than the %d tokens that the server takes", most, t.MaxLen)
	}
	tok, err := tokenizerFor(ctx, t, o)
	if err != nil {
		return nil, orChatOnly(ctx, t, o, err)
	}
	maker := r.makerFor(ctx, t, tok, o)
	m := &LongContext{ByLength: map[string]float64{}, Samples: rulerSamples}
	var id strings.Builder
	hits := 0.0
	for _, length := range lengths {
		prompts, err := r.make(maker, length)
		if err != nil {
			return nil, err
		}
		score, _, err := r.ask(ctx, t, tok, prompts, o)
		if err != nil {
			return nil, orChatOnly(ctx, t, o, err)
		}
		m.ByLength[strconv.Itoa(length)] = score
		hits += score
		for _, p := range prompts {
			id.WriteString(corpus.Digest([]byte(p.text)))
		}
	}
	m.Score = hits / float64(len(lengths))
	n := rulerSamples * len(lengths)
	_, m.StdErr = shareAndError(int(m.Score*float64(n)), n)
	text := TextID{Name: fmt.Sprintf("%s at %s", r.name, strings.Trim(strings.ReplaceAll(fmt.Sprint(lengths), " ",
		","), "[]")),
		SHA256: corpus.Digest([]byte(id.String())), Documents: n}
	return &Result{Measured: m, Text: text, Prefix: &tok.prefix, Tokenizer: tok.name, Path: "/v1/completions",
		AsText: t.TextOnly}, nil
}

// makerFor makes prompts for a server's tokenizer.
func (r ruler) makerFor(ctx context.Context, t *server.Server, tok *source, o Options) *rulerMaker {
	added := 0 // tokens that the tokenizer adds to a text of itself, as BOS
	if with, err := t.Tokenize(ctx, o.Retry, "a", true); err == nil {
		if bare, err := t.Tokenize(ctx, o.Retry, "a", false); err == nil {
			added = len(with) - len(bare)
		}
	}
	m := newRulerMaker(r, func(text string) (int, error) {
		ids, err := tok.encode(ctx, text)
		return len(ids) + added, err
	})
	m.cheap, m.foresight.atOnce = tok.local, min(o.Conc, mostAhead)
	return m
}

// ask gives the mean share of the expected strings that the answers hold, and the
// answers.
func (r ruler) ask(ctx context.Context, t *server.Server, tok *source, prompts []rulerPrompt, o Options) (float64,
	[]string, error) {
	wrote := make([]string, len(prompts))
	err := o.eachOf(ctx, len(prompts), func(ctx context.Context, i int) error {
		p, err := server.Prompt{Text: prompts[i].text}, error(nil)
		if !t.TextOnly {
			p.IDs, err = tok.encode(ctx, p.Text)
		}
		if err == nil {
			wrote[i], err = t.Complete(ctx, o.Retry, p, r.genTokens, []string{})
		}
		if err != nil {
			return fmt.Errorf("prompt %d of %d: %w", i+1, len(prompts), err)
		}
		return nil
	})
	sum := 0.0
	for i, p := range prompts {
		sum += rulerScore(wrote[i], p.want)
	}
	return sum / float64(len(prompts)), wrote, err
}

// rulerScore is the share of the wanted strings that a text holds, whatever their
// case; control characters count as line breaks.
func rulerScore(text string, want []string) float64 {
	text = strings.Map(func(r rune) rune {
		if r < 0x20 {
			return '\n'
		}
		return r
	}, strings.TrimFunc(text, isSpace))
	text = strings.ToLower(strings.TrimFunc(text, isSpace))
	hits := 0
	for _, w := range want {
		if strings.Contains(text, strings.ToLower(w)) {
			hits++
		}
	}
	return float64(hits) / float64(len(want))
}

func newRulerMaker(r ruler, count func(string) (int, error)) *rulerMaker {
	m := &rulerMaker{random: newPyRandom(0), numpy: newNumpyRandom(1234), count: count,
		samples: rulerSamples, known: map[string]int{}}
	for range r.drawn {
		m.random.uint32()
	}
	return m
}

// Figures lists the score, and that of each length.
func (m *LongContext) Figures() []Figure {
	out := []Figure{m.share().Figure}
	var lengths []int
	for l := range m.ByLength {
		n, _ := strconv.Atoi(l) // its own keys
		lengths = append(lengths, n)
	}
	slices.Sort(lengths)
	for _, l := range lengths {
		name := fmt.Sprintf("score_%d", l)
		out = append(out, Figure{Name: name, Value: m.ByLength[strconv.Itoa(l)], Better: "higher", Format: "%.4f",
			Limit: name})
	}
	return out
}

func (m *LongContext) share() Share {
	return Share{Figure{Name: "score", Value: m.Score, Better: "higher", Format: "%.4f", Limit: shareLimit("score")},
		m.StdErr}
}

// Differs compares the lengths, which the text's name holds.
func (m *LongContext) Differs(r *Result, b *baselines.Accuracy) []string {
	return append(otherText(r, b), otherShare([]Share{m.share()}, b)...)
}

// Judge holds the score to the baseline's.
func (r ruler) Judge(res *Result, b *baselines.Accuracy, tolerance float64) Verdict {
	m := res.Measured.(*LongContext)
	if v, ok := unjudged(res, b, fmt.Sprintf("%d prompts", res.Text.Documents)); ok {
		return v
	}
	return judgeShare(res, []Share{m.share()}, b, tolerance)
}

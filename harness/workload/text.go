package workload

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// RandomText is the kind of random words, of exact length by the server's count.
var RandomText = &Kind{Name: "text", What: "random words", Counts: Needed, Open: newText}

// words are what texts are made of: common, short, one token each in most
// vocabularies.
var words = strings.Fields(`the of and to in is you that it he was for on are as with his they at be this
have from or one had by word but not what all were we when your can said there use an each which she do
how their if will up other about out many then them these so some her would make like him into time has
look two more write go see number no way could people my than first water been call who oil its now find
long down day did get come made may part over new sound take only little work know place year live me
back give most very after thing our just name good sentence man think say great where help through much
before line right too mean old any same tell boy follow came want show also around form three small set
put end does another well large must big even such because turn here why ask went men read need land
different home us move try kind hand picture again change off play spell air away animal house point
page letter mother answer found study still learn should world high every near add food between own
below country plant last school father keep tree never start city earth eye light thought head under
story saw left few while along might close something seem next hard open example begin life always those`)

// openers are the words that a text begins with: of two letters at most, which a
// tokenizer makes much the same of whether a space is in front of them, as a chat's
// template may put it there, or not.
var openers = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return len(w) > 2 })

// Words are the words of random texts, each with before in front of it.
func Words(before string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = before + w
	}
	return out
}

// Letters are those that are a token each where a tokenizer has no words: of bytes.
func Letters() []string {
	return strings.Split("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "")
}

// fillers bring a text to its exact length: the first that adds just one token
// is taken, again and again.
var fillers = []string{" a", " the", ".", " I", "a", "!", " 1", ","}

// newText makes prompts of random words, each exactly as many tokens long as
// the server counts.
func newText(ctx context.Context, s Spec) (Source, []string, error) {
	return measured(ctx, s, "text", func(g generator, i int) texter {
		shared := prefixGenerator(s.Seed, i, s.Prefixes)
		var own, common []string
		draw := func(to []string, g generator, n int) []string {
			for len(to) < n {
				from := words
				if len(to) == 0 {
					from = openers
				}
				to = append(to, from[g.below(len(from))])
			}
			return to
		}
		// The first n words, of which the shared part is common.
		return func(_ context.Context, n int) (string, error) {
			pre := int(s.SharedPrefix * float64(n))
			common, own = draw(common, shared, pre), draw(own, g, n-pre)
			return strings.Join(append(common[:pre:pre], own[:n-pre]...), " "), nil
		}
	})
}

// newChat makes prompts of the text of random ids. Text seldom is the same tokens
// again, so that how many ids it takes is found out by counting.
func newChat(ctx context.Context, s Spec) (Source, []string, error) {
	low, high := Random{Vocab: s.Vocab}.IDs()
	return measured(ctx, s, "random in a chat", func(g generator, i int) texter {
		shared := prefixGenerator(s.Seed, i, s.Prefixes)
		var own, common []int32
		return func(ctx context.Context, n int) (string, error) {
			pre := int(s.SharedPrefix * float64(n))
			common = shared.ids(common, pre, low, high)
			own = g.ids(own, n-pre, low, high)
			return s.Text(ctx, append(common[:pre:pre], own[:n-pre]...))
		}
	})
}

// texter gives a text of n parts, which begins as those of fewer do.
type texter func(ctx context.Context, n int) (string, error)

// measured makes prompts out of texts, each exactly as many tokens long as the
// server counts. text gives those of request i, and draws by g.
func measured(ctx context.Context, s Spec, name string, text func(g generator, i int) texter) (Source, []string,
	error) {
	if s.ISL < 1 || s.OSL < 1 {
		return nil, nil, fmt.Errorf("workload %s: want an input and an output of at least one token", name)
	}
	if s.N == Endless {
		return nil, nil, fmt.Errorf("workload %s: every prompt is measured beforehand: give NUM_PROMPTS besides DURATION",
			name)
	}
	all := make([]Request, s.N+s.WarmUp)
	err := parallel(ctx, len(all), func(ctx context.Context, i int) error {
		g := newGenerator(s.Seed, i-s.WarmUp)
		want := g.length(s.ISL, s.RangeRatio)
		out := g.length(s.OSL, s.RangeRatio)
		exact, err := exactText(ctx, s.Count, text(g, i-s.WarmUp), want)
		all[i] = Request{Text: exact, TextLen: want, OutputLen: out}
		return err
	})
	if err != nil {
		return nil, nil, fmt.Errorf("workload %s: %w", name, err)
	}
	return &dataset{requests: all[s.WarmUp:], n: s.N, warm: all[:s.WarmUp]}, nil, nil
}

// exactText is a text of exactly want tokens by count: parts of it as far as they
// go, and fillers for the rest.
func exactText(ctx context.Context, count Counter, text texter, want int) (string, error) {
	const tries = 40
	n, best, bestLen := want, "", 0
	for range tries {
		t, err := text(ctx, n)
		if err != nil {
			return "", err
		}
		have, err := count(ctx, t)
		if err != nil {
			return "", err
		}
		if have <= want && have > bestLen {
			best, bestLen = t, have
		}
		if have == want {
			return t, nil
		}
		if have < want && want-have < 8 {
			break
		}
		// Step by what a part takes on average, at least one.
		step := int(float64(want-have) * float64(n) / float64(max(have, 1)))
		if step == 0 {
			step = 1
			if have > want {
				step = -1
			}
		}
		if n+step < 1 {
			if n == 1 {
				break
			}
			step = 1 - n
		}
		n += step
	}
	for range 64 {
		if bestLen == want {
			return best, nil
		}
		grew := false
		for _, f := range fillers {
			have, err := count(ctx, best+f)
			if err != nil {
				return "", err
			}
			if have > bestLen && have <= want {
				best, bestLen, grew = best+f, have, true
				break
			}
		}
		if !grew {
			break
		}
	}
	return "", fmt.Errorf("no text of exactly %d tokens was found (the nearest has %d): the server's tokenizer "+
		"adds up oddly; use DATASET=random", want, bestLen)
}

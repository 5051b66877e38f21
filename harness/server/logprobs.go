package server

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"

	"inferbench/harness/hint"
)

// What can be wrong with a server's log-probabilities, each by a name that
// errors.Is finds.
var (
	// ErrNoPromptLogprobs: the server answered, but without log-probabilities
	// of the prompt's tokens, or with too few of them. llama.cpp's server does
	// so: it takes echo and gives the generated token's alone.
	ErrNoPromptLogprobs = errors.New("the server gives no log-probabilities of the prompt")
	// ErrNullLogprob: a token that was to be scored has the log-probability
	// null. The prompt's first token has none and may be null; no other may.
	ErrNullLogprob = errors.New("the server gives null as a token's log-probability")
	// ErrNotFinite: NaN or an infinity stands where a log-probability should,
	// or the -9999 that vLLM writes for minus infinity. The model's output is
	// broken, and no sum over it means anything.
	ErrNotFinite = errors.New("the server gives a log-probability that is not finite")
	// ErrPositive: a log-probability above 0 is a probability above 1.
	ErrPositive = errors.New("the server gives a log-probability above 0")
	// ErrMaxTokensRefused: the server refuses the number of tokens to generate
	// that a scoring request asks for (1, or 0 where it refuses 1).
	ErrMaxTokensRefused = errors.New("the server refuses max_tokens of a scoring request")
	// ErrTooLong: the window does not fit the server's context.
	ErrTooLong = errors.New("the window is longer than the server's context")
	// ErrOtherTokens: the answer is about other tokens than those sent.
	ErrOtherTokens = errors.New("the server scored other tokens than those sent")
	// ErrCannotScore: no way of asking this server for prompt log-probabilities
	// worked.
	ErrCannotScore = errors.New("the server cannot score a prompt")
)

// Scorer asks one server for the log-probabilities of tokens given to it, in
// the way found to work there: see [Server.Scorer].
type Scorer struct {
	Path string // that is asked: see [Way]

	t         *Server
	way       Way
	retry     Retry
	maxTokens int            // what a request generates: 1 as lm-evaluation-harness does, 0 where 1 is refused
	sampling  map[string]any // neutral sampling that Greedy sends: see [Scorer.Neutralize]
}

// Scored is one token of a prompt with its log-probability, in nats, given all
// that stands before it.
type Scored struct {
	Logprob float64 // finite and at most 0
	Best    float64 // that of the likeliest token there, where it was asked for
}

// Greedy reports whether no token was likelier, to within the rounding of a
// 16-bit float's last place at that size.
func (s Scored) Greedy() bool { return s.Logprob >= s.Best-1e-6 }

// Scorer finds out how the server gives prompt log-probabilities by scoring
// probe, a few tokens (two or more) that the model knows, in each of its
// dialect's ways until one works.
//
// When none does the error is [ErrCannotScore] and names the reason of each.
func (t *Server) Scorer(ctx context.Context, probe []int32, r Retry) (*Scorer, error) {
	errs := []error{ErrCannotScore}
	for _, w := range t.Dialect.ways() {
		s := t.scorer(w, r)
		_, err := s.Score(ctx, probe, 1)
		if errors.Is(err, ErrMaxTokensRefused) {
			s.maxTokens = 0
			_, err = s.Score(ctx, probe, 1)
		}
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, err
		}
		errs = append(errs, fmt.Errorf("%s: %w", s.Path, err))
	}
	err := oneLineError(errs)
	return nil, hint.New(err, adviceOfPassing(errs))
}

// adviceOfPassing returns the advice of the first error that says nothing of
// what the server can do; that of the others is for a load, not for scoring.
func adviceOfPassing(errs []error) string {
	for _, err := range errs {
		if Passing(err) {
			return hint.For(err)
		}
	}
	return ""
}

func (t *Server) scorer(w Way, r Retry) *Scorer {
	return &Scorer{Path: w.Path, t: t, way: w, retry: r, maxTokens: 1}
}

// Score is the natural log-probability of each of tokens[from:], given all that
// stands before it; from is 1 or more. Every value is finite and at most 0.
func (s *Scorer) Score(ctx context.Context, tokens []int32, from int) ([]float64, error) {
	scored, err := s.score(ctx, tokens, from, false)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(scored))
	for i, sc := range scored {
		out[i] = sc.Logprob
	}
	return out, nil
}

// ScoreBest is [Scorer.Score] with the likeliest token's log-probability beside
// each.
func (s *Scorer) ScoreBest(ctx context.Context, tokens []int32, from int) ([]Scored, error) {
	return s.score(ctx, tokens, from, true)
}

func (s *Scorer) score(ctx context.Context, tokens []int32, from int, best bool) ([]Scored, error) {
	if from < 1 || from >= len(tokens) {
		return nil, fmt.Errorf("score tokens %d to %d: the first token has nothing to condition on", from, len(tokens))
	}
	scored, err := s.way.score(s, ctx, tokens, from, best)
	if err != nil {
		return nil, s.t.gate(fmt.Errorf("score %d tokens at %s%s: %w", len(tokens), s.t.BaseURL, s.Path, nameRefusal(err)))
	}
	for i, sc := range scored {
		err := checkLogprob(sc.Logprob)
		if err == nil && best {
			err = checkLogprob(sc.Best)
		}
		if err != nil {
			return nil, fmt.Errorf("score %d tokens at %s%s: token %d: %w", len(tokens), s.t.BaseURL, s.Path, from+i, err)
		}
	}
	return scored, nil
}

// checkLogprob names what makes a log-probability unusable; NaN stands for null.
func checkLogprob(lp float64) error {
	switch {
	case math.IsNaN(lp):
		return ErrNullLogprob
	case math.IsInf(lp, 0) || lp <= -9999:
		return ErrNotFinite
	case lp > 1e-6: // rounding may leave a certain token a hair above 0
		return ErrPositive
	}
	return nil
}

// nameRefusal gives an answer that cannot be used its name: a number that JSON
// does not have, or a 400 or 500 whose words say what was wrong.
func nameRefusal(err error) error {
	var malformed *MalformedError
	if errors.As(err, &malformed) && malformed.NotFinite {
		return fmt.Errorf("%w: %w", ErrNotFinite, err)
	}
	var h *HTTPError
	if !errors.As(err, &h) {
		return err
	}
	says := func(words ...string) bool {
		body := strings.ToLower(h.Body)
		for _, w := range words {
			if strings.Contains(body, w) {
				return true
			}
		}
		return false
	}
	switch {
	case saysNotFinite(h):
		return fmt.Errorf("%w: %w", ErrNotFinite, err)
	case h.Status != http.StatusBadRequest && h.Status != http.StatusUnprocessableEntity &&
		h.Status != http.StatusRequestEntityTooLarge:
		return err
	case says("context length", "context size", "maximum context", "longer than", "too long", "max_model_len"):
		return hint.New(fmt.Errorf("%w: %w", ErrTooLong, err),
			"set ACC_MAX_LENGTH to what the server takes, or start it with a longer context")
	case says("max_tokens", "max_new_tokens", "max tokens"):
		return fmt.Errorf("%w: %w", ErrMaxTokensRefused, err)
	}
	return err
}

// saysNotFinite recognises what Starlette, under vLLM and SGLang, says when it
// is asked to write a NaN: the model will give it again.
func saysNotFinite(h *HTTPError) bool {
	return strings.Contains(strings.ToLower(h.Body), "float values are not json compliant")
}

// oneLineError joins errors into one line; errors.Is finds each of them.
func oneLineError(errs []error) error {
	format := "%w" + strings.Repeat("; %w", len(errs)-1)
	args := make([]any, len(errs))
	for i, err := range errs {
		args[i] = err
	}
	return fmt.Errorf(strings.Replace(format, "; ", ": ", 1), args...)
}

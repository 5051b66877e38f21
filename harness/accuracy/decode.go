package accuracy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"inferbench/baselines"
	"inferbench/harness/corpus"
	"inferbench/harness/server"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// Decode is the decode audit as a task. It is not chosen by ACC_TASK: it looks
// at a timed pass, after it.
var Decode Task = decode{}

type decode struct{}

func (decode) Name() string                               { return "decode" }
func (decode) Needs() []corpus.File                       { return nil }
func (decode) Ready(context.Context, Options, bool) error { return nil }

func (decode) measured() Measured { return new(DecodeAudit) }

// Measure audits o.Workload at o.Conc. Where the server cannot be audited the
// result's audit is NOT_RUN and says why.
func (decode) Measure(ctx context.Context, t *server.Server, o Options) (*Result, error) {
	if o.Synthetic {
		return &Result{Measured: &DecodeAudit{Status: NotRun, Reason: NotTheModels}}, nil
	}
	a, err := auditDecode(ctx, t, o.Workload, o.Conc, decodeSample{Retry: o.Retry})
	if err != nil {
		return nil, err
	}
	return &Result{Measured: a}, nil
}

// Judge sets the audit's status by the floor that the accuracy baseline states.
// Without a floor there is nothing to pass or fail: it is RECORDED.
func (decode) Judge(r *Result, b *baselines.Accuracy, _ float64) Verdict {
	a := r.Measured.(*DecodeAudit)
	judgeDecode(a, b)
	return Verdict{Status: a.Status, Reason: a.Reason, Baseline: a.Baseline}
}

// Differs wants a baseline that states a floor; that belongs to the model, and
// holds whatever task, text or window its other figures are of.
func (a *DecodeAudit) Differs(_ *Result, b *baselines.Accuracy) []string {
	if b.DecodeArgmaxFloor > 0 {
		return nil
	}
	return []string{"it states no floor for the decode audit"}
}

// Figures lists what was measured; nothing where the audit was not run.
func (a *DecodeAudit) Figures() []Figure {
	var out []Figure
	for _, f := range []struct {
		name, better, format string
		value                *float64
	}{
		{"argmax_share", "higher", "%.4f", a.ArgmaxShare},
		{"mean_abs_logprob_diff", "lower", "%.4g", a.MeanAbsDiff},
		{"p99_abs_logprob_diff", "lower", "%.4g", a.P99AbsDiff},
	} {
		if f.value != nil {
			out = append(out, Figure{Name: f.name, Value: *f.value, Better: f.better, Format: f.format, Limit: f.name})
		}
	}
	return out
}

// Decoding audits o.Workload and judges it: by base, which the accuracy was
// judged by, where that states a floor, else by a shipped baseline of the model.
func Decoding(ctx context.Context, t *server.Server, base *baselines.Accuracy, o Options) (*Result, Verdict, error) {
	o.Task = Decode.Name()
	r, err := Score(ctx, t, o)
	if err != nil {
		return nil, Verdict{}, err
	}
	if base == nil || Comparable(r, base) != nil {
		if base, err = Baseline("", t.Model, r); err != nil {
			return nil, Verdict{}, err
		}
	}
	return r, Judge(r, base, 0), nil
}

// decodeSample says how much of the decode path to look at.
type decodeSample struct {
	Sample int          // continuations; 0 = twice conc, at least 8 and at most 64
	Tokens int          // of each continuation; 0 = 64, or the workload's output length where that is less
	Retry  server.Retry // of each request
}

// DecodeAudit says how far what a server decodes at some concurrency is what
// the same model says of those tokens when it reads them as a prompt.
//
// Rolling log-likelihood exercises prefill alone, so that a server with a wrong
// decode kernel, or one that accepts speculated tokens too freely, passes it.
type DecodeAudit struct {
	Status Status `json:"status"` // NOT_RUN where the server cannot be audited; else as the floor says
	Reason string `json:"reason"` // in words, on one line

	Conc      int `json:"conc,omitempty"`      // requests in flight while decoding
	Sequences int `json:"sequences,omitempty"` // continuations looked at
	Tokens    int `json:"tokens,omitempty"`    // in all of them

	// ArgmaxShare is the share of decoded tokens than which, when re-scored,
	// none is likelier (ties count as equal).
	ArgmaxShare *float64 `json:"argmax_share,omitempty"`
	// MeanAbsDiff and P99AbsDiff are of |logprob(decode) − logprob(prefill)| of
	// the decoded tokens, in nats.
	MeanAbsDiff *float64 `json:"mean_abs_logprob_diff,omitempty"`
	P99AbsDiff  *float64 `json:"p99_abs_logprob_diff,omitempty"`

	// NotNeutral lists the sampling keys that the server refuses to be sent with
	// the value that switches them off, so that its own defaults were in force.
	NotNeutral []string `json:"not_neutralised,omitempty"`

	FirstDivergence *Divergence `json:"first_divergence,omitempty"` // nil where every token is the argmax
	Floor           *float64    `json:"argmax_share_floor,omitempty"`
	Baseline        string      `json:"baseline,omitempty"`
}

// Divergence is a decoded token that the re-scored model would not have chosen.
type Divergence struct {
	Sequence        int     `json:"sequence"` // index of the request in the workload
	Position        int     `json:"position"` // of the token in the continuation, from 0
	Token           int32   `json:"token"`
	DecodeLogprob   float64 `json:"decode_logprob"`
	PrefillLogprob  float64 `json:"prefill_logprob"`
	LikeliestByThen float64 `json:"argmax_logprob"` // of the token that would have been chosen
}

// auditDecode takes a sample of greedy continuations of the workload's prompts
// with conc of them in flight, then scores the same tokens as prompts and lays
// the two side by side. Run it after a timed pass, never during one.
//
// A server that cannot give what this takes (prompts it can score, token ids,
// log-probabilities) yields NOT_RUN and the reason; so does a workload of chats,
// whose prompt tokens are the server's own affair. The error is for what went
// wrong on the way: a request that failed, a model that gives NaN, or ctx.
func auditDecode(ctx context.Context, t *server.Server, src workload.Source, conc int, o decodeSample) (*DecodeAudit,
	error) {
	if o.Sample == 0 {
		o.Sample = min(max(2*conc, 8), 64)
	}
	if o.Tokens == 0 {
		o.Tokens = 64
	}
	notRun := func(err error) (*DecodeAudit, error) {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("decode audit: %w", ctx.Err())
		}
		if server.Passing(err) || errors.Is(err, server.ErrNotFinite) {
			return nil, fmt.Errorf("decode audit: %w", err)
		}
		return &DecodeAudit{Status: NotRun, Reason: err.Error()}, nil
	}
	seqs, err := decodePrompts(ctx, t, src, o)
	if err != nil {
		return notRun(err)
	}
	scorer, err := t.Scorer(ctx, seqs[0].prompt[:min(8, len(seqs[0].prompt))], o.Retry)
	if err != nil {
		return notRun(err)
	}
	refused, err := scorer.Neutralize(ctx, seqs[0].prompt)
	if err != nil {
		return notRun(err)
	}
	err = each(ctx, conc, seqs, func(ctx context.Context, s *sequence) (err error) {
		s.decoded, err = scorer.Greedy(ctx, s.prompt, s.tokens)
		return err
	})
	if err == nil {
		err = each(ctx, conc, seqs, func(ctx context.Context, s *sequence) (err error) {
			s.again, err = scorer.ScoreBest(ctx, slices.Concat(s.prompt, s.decoded.IDs), len(s.prompt))
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("decode audit: %w", err)
	}
	a := compareDecoded(seqs)
	a.Conc, a.NotNeutral = conc, refused
	return a, nil
}

// sequence is one continuation on its way through the audit.
type sequence struct {
	index   int
	prompt  []int32
	tokens  int
	decoded *server.Continuation
	again   []server.Scored // the decoded tokens, read as a prompt
}

// decodePrompts takes the sample's prompts from the workload's first requests:
// those that were timed. A text is tokenized as the server would.
func decodePrompts(ctx context.Context, t *server.Server, src workload.Source, o decodeSample) ([]*sequence, error) {
	var seqs []*sequence
	for i := range min(o.Sample, src.Len()) {
		r, err := src.Request(i)
		if err != nil {
			return nil, err
		}
		s := &sequence{index: r.Index, prompt: r.Tokens, tokens: min(o.Tokens, max(r.OutputLen, 1))}
		switch {
		case len(s.prompt) > 0:
		case r.Text != "":
			if s.prompt, err = t.Tokens(ctx, o.Retry, r.Text, true); err != nil {
				return nil, err
			}
		default:
			return nil, errors.New("the workload is chats: the tokens of their prompts are the server's own affair")
		}
		if t.MaxLen > 0 { // scoring a continuation generates one token more
			s.tokens = min(s.tokens, t.MaxLen-len(s.prompt)-1)
		}
		if len(s.prompt) < 2 || s.tokens < 1 {
			continue // nothing to find out how to score with, or nothing to score
		}
		seqs = append(seqs, s)
	}
	if len(seqs) == 0 {
		return nil, errors.New("the workload has no prompt of two tokens or more that leaves room for two in the " +
			"server's context")
	}
	return seqs, nil
}

// each does one thing to every sequence, conc at a time.
func each(ctx context.Context, conc int, seqs []*sequence, do func(context.Context, *sequence) error) error {
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(max(conc, 1))
	for _, s := range seqs {
		if gctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if err := do(gctx, s); err != nil {
				return fmt.Errorf("request %d: %w", s.index, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// compareDecoded lays decode beside prefill, token by token.
func compareDecoded(seqs []*sequence) *DecodeAudit {
	a := &DecodeAudit{Sequences: len(seqs)}
	var diffs []float64
	agree, sum := 0, 0.0
	for _, s := range seqs {
		for i, again := range s.again {
			d := math.Abs(s.decoded.Logprobs[i] - again.Logprob)
			diffs = append(diffs, d)
			sum += d
			if again.Greedy() {
				agree++
			} else if a.FirstDivergence == nil || i < a.FirstDivergence.Position {
				a.FirstDivergence = &Divergence{Sequence: s.index, Position: i, Token: s.decoded.IDs[i],
					DecodeLogprob: s.decoded.Logprobs[i], PrefillLogprob: again.Logprob, LikeliestByThen: again.Best}
			}
		}
	}
	slices.Sort(diffs)
	a.Tokens = len(diffs)
	share, mean, p99 := float64(agree)/float64(a.Tokens), sum/float64(a.Tokens), stats.Percentile(diffs, 99)
	a.ArgmaxShare, a.MeanAbsDiff, a.P99AbsDiff = &share, &mean, &p99
	return a
}

// judgeDecode sets the audit's status by the floor that the accuracy baseline
// states. Without a floor there is nothing to pass or fail: it is RECORDED.
func judgeDecode(a *DecodeAudit, b *baselines.Accuracy) {
	if a.Status == NotRun {
		return
	}
	if len(a.NotNeutral) > 0 {
		defer func() {
			a.Reason += fmt.Sprintf("; the server refuses to have %s switched off, so its own defaults of these "+
				"were in force", strings.Join(a.NotNeutral, ", "))
		}()
	}
	if b == nil || b.DecodeArgmaxFloor == 0 {
		a.Status, a.Reason = Recorded, "no floor is stated for this model: the figures are recorded, not judged"
		return
	}
	floor := b.DecodeArgmaxFloor
	a.Floor, a.Baseline = &floor, b.Name
	words := fmt.Sprintf("%.2f %% of %d decoded tokens are the argmax when re-scored; the floor of %s is %.2f %%",
		100**a.ArgmaxShare, a.Tokens, b.Name, 100*floor)
	if *a.ArgmaxShare >= floor {
		a.Status, a.Reason = Passed, words
		return
	}
	a.Status, a.Reason = Failed, words
	if d := a.FirstDivergence; d != nil {
		a.Reason += fmt.Sprintf("; the first to differ is token %d of request %d", d.Position, d.Sequence)
	}
}

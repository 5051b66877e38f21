// Package accuracy measures whether a server's model is still right, with
// lm-evaluation-harness's definitions, and judges it against a baseline.
//
// Each way to ask is a [Task] in a file of its own: wikitext is the rolling
// log-likelihood of a text, gsm8k are word problems, and the decode audit looks
// at what was written under load. How a server is asked over HTTP is package
// server's.
package accuracy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"inferbench/baselines"
	"inferbench/harness/corpus"
	"inferbench/harness/server"
	"inferbench/harness/workload"
)

// DefaultMaxLength is the model length, in tokens, that the windows follow from
// unless told otherwise: that of lm-evaluation-harness's API models.
const DefaultMaxLength = 2048

// Options says what to measure and how.
type Options struct {
	Task string // by its name, see [Names]; "" = the default

	// Paths of data files by the setting that names them (WIKITEXT, GSM8K, …); without one, what fits the server
	Files     map[string]string
	Cache     corpus.Cache // where fetched data files are kept, and come from
	MaxLength int          // tokens that a window and the generated token take at most; 0 = DefaultMaxLength
	Conc      int          // requests in flight; 0 = 1
	Tokenizer string       // path of the model's tokenizer.json, for a server that has no /tokenize
	Prefix    *int32       // token that the first one of a document is conditioned on; nil = ask
	Retry     server.Retry // of each request

	Shots     int   // worked examples before each question; 0 = those of Baseline, else DefaultShots
	Lengths   []int // tokens of the prompts of a RULER task; none = 4096
	GenTokens int   // most tokens of an answer; 0 = the task's own

	Baseline *baselines.Accuracy // that the user names; nil = the shipped one for the model

	Synthetic bool // the server accepts speculated tokens unseen: what it writes is not the model's

	Workload workload.Source // what was timed, for the decode audit

	// OnProgress is told after each answer, never from two goroutines at once.
	OnProgress func(done, total int)
	// OnFetch is told how many bytes of a data file have come, of how many (-1
	// where that is not known).
	OnFetch func(f corpus.File, got, total int64)
}

// Score measures a task on a server. An error means that there is no figure: a
// document that cannot be scored is never left out of the sum.
func Score(ctx context.Context, t *server.Server, o Options) (*Result, error) {
	begin := time.Now()
	task, err := Lookup(o.Task)
	if err != nil {
		return nil, fmt.Errorf("accuracy: %w", err)
	}
	o.defaults()
	r, err := task.Measure(ctx, t, o)
	if err != nil {
		return nil, fmt.Errorf("accuracy: %w", err)
	}
	r.Task = task.Name()
	r.DurationS = time.Since(begin).Seconds()
	return r, nil
}

// defaults fills in what is not given.
func (o *Options) defaults() {
	fill := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	fill(&o.MaxLength, DefaultMaxLength)
	o.Conc = max(o.Conc, 1)
}

// fits refuses a model length that leaves no window, or that the server does
// not take.
func (o *Options) fits(t *server.Server) error {
	switch {
	case WindowLength(o.MaxLength) < 2:
		return fmt.Errorf("ACC_MAX_LENGTH=%d leaves no room for a window: want 4 or more", o.MaxLength)
	case t.MaxLen > 0 && o.MaxLength > t.MaxLen:
		return fmt.Errorf("ACC_MAX_LENGTH=%d is more than the %d tokens that the server takes: set it to that or "+
			"less (a baseline holds for its own length alone)", o.MaxLength, t.MaxLen)
	}
	return nil
}

// eachOf does one thing to each of n, o.Conc at a time, and tells the progress.
// The first error ends it.
func (o *Options) eachOf(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	var mu sync.Mutex
	done := 0
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(o.Conc)
	for i := range n {
		if gctx.Err() != nil {
			break
		}
		group.Go(func() error {
			if err := do(gctx, i); err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			if done++; o.OnProgress != nil {
				o.OnProgress(done, n)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return ctx.Err()
}

// Package accuracy measures whether a server's model is still right, with
// lm-evaluation-harness's definitions, and judges it against a baseline.
//
// The main task is wikitext: the rolling log-likelihood of a text, asked for
// over HTTP from the same server that is timed, as bits per byte and as
// perplexities per byte and per word. The arithmetic here (documents, windows,
// metrics) is pure; how a server is asked is package target's.
package accuracy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"inferbench/harness/corpus"
	"inferbench/harness/server"
)

// DefaultMaxLength is the model length, in tokens, that the windows follow from
// unless told otherwise: that of lm-evaluation-harness's API models.
const DefaultMaxLength = 2048

// The tasks, by lm-evaluation-harness's names.
const (
	TaskWikitext = "wikitext" // rolling log-likelihood: see [Score]
	TaskGSM8K    = "gsm8k"    // word problems, answered in writing
)

// Options says what to score and how.
type Options struct {
	Task string // TaskWikitext or TaskGSM8K; "" = TaskWikitext

	Wikitext  string       // path of a WikiText file, raw, zip or parquet; "" = the text that fits the server
	CacheDir  string       // where fetched data files are kept; "" = inferbench in the user's cache folder
	MaxLength int          // tokens that a window and the generated token take at most; 0 = DefaultMaxLength
	Conc      int          // requests in flight; 0 = 1
	Tokenizer string       // path of the model's tokenizer.json, for a server that has no /tokenize
	Prefix    *int32       // token that the first one of a document is conditioned on; nil = ask
	Retry     server.Retry // of each request

	// Of gsm8k alone.
	GSM8K, GSM8KTrain string // paths of the questions and of the examples (JSON lines); "" = those that fit the server
	Shots             int    // worked examples before each question; 0 = DefaultShots
	GenTokens         int    // most tokens of an answer; 0 = DefaultGenTokens

	// OnProgress is told after each scored window, never from two goroutines
	// at once.
	OnProgress func(done, total int)
	// OnFetch is told how many bytes of a data file have come, of how many (-1
	// where that is not known).
	OnFetch func(f corpus.File, got, total int64)
}

// Result is what a task measured: the metrics, and what they depend on.
type Result struct {
	Task        string  `json:"task"`
	*Metrics            // of wikitext; nil for another task
	*ExactMatch         // of gsm8k; nil for another task
	Text        TextID  `json:"text"`
	MaxLength   int     `json:"max_length"`        // tokens
	Windows     int     `json:"windows,omitempty"` // requests that were scored, of wikitext
	Prefix      int32   `json:"prefix_token"`
	Tokenizer   string  `json:"tokenizer"` // where the tokens came from
	Path        string  `json:"scored_by"` // the endpoint that gave the log-probabilities
	DurationS   float64 `json:"duration_s"`
}

// Score measures a task on a server: wikitext unless told otherwise. An error
// means that there is no figure: a document that cannot be scored is never left
// out of the sum.
func Score(ctx context.Context, t *server.Server, o Options) (*Result, error) {
	begin := time.Now()
	o, err := o.ready(t)
	var r *Result
	switch {
	case err != nil:
	case o.Task == TaskGSM8K:
		r, _, err = gsm8k(ctx, t, o)
	default:
		r, _, err = score(ctx, t, o)
	}
	if err != nil {
		return nil, fmt.Errorf("accuracy: %w", err)
	}
	r.DurationS = time.Since(begin).Seconds()
	return r, nil
}

// ready fills in the defaults and refuses what cannot be.
func (o Options) ready(t *server.Server) (Options, error) {
	fill := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	fill(&o.MaxLength, DefaultMaxLength)
	fill(&o.Shots, DefaultShots)
	fill(&o.GenTokens, DefaultGenTokens)
	o.Conc = max(o.Conc, 1)
	switch {
	case o.Task == "":
		o.Task = TaskWikitext
	case o.Task != TaskWikitext && o.Task != TaskGSM8K:
		return o, fmt.Errorf("ACC_TASK=%q: want %s or %s", o.Task, TaskWikitext, TaskGSM8K)
	}
	switch {
	case WindowLength(o.MaxLength) < 2:
		return o, fmt.Errorf("ACC_MAX_LENGTH=%d leaves no room for a window: want 4 or more", o.MaxLength)
	case t.MaxLen > 0 && o.MaxLength > t.MaxLen:
		return o, fmt.Errorf("ACC_MAX_LENGTH=%d is more than the %d tokens that the server takes: set it to that or less (a baseline holds for its own length alone)", o.MaxLength, t.MaxLen)
	}
	return o, nil
}

// score is the wikitext task; the second result is what each document gave.
func score(ctx context.Context, t *server.Server, o Options) (*Result, []scored, error) {
	length := WindowLength(o.MaxLength)
	text, err := loadText(ctx, t, o)
	if err != nil {
		return nil, nil, err
	}
	tok, err := tokenizerFor(ctx, t, o)
	if err != nil {
		return nil, nil, err
	}
	tokens, err := tok.encodeAll(ctx, text.Documents, o.Conc)
	if err != nil {
		return nil, nil, err
	}
	scorer, err := t.Scorer(ctx, append([]int32{tok.prefix}, tokens[0][:min(8, len(tokens[0]))]...), o.Retry)
	if err != nil {
		return nil, nil, err
	}
	docs, err := scoreDocuments(ctx, scorer, text.Documents, tokens, tok.prefix, length, o)
	if err != nil {
		return nil, nil, err
	}
	m, err := measure(docs)
	if err != nil {
		return nil, nil, err
	}
	r := &Result{Task: TaskWikitext, Metrics: m, Text: text.ID, MaxLength: o.MaxLength,
		Prefix: tok.prefix, Tokenizer: tok.name, Path: scorer.Path}
	for _, d := range docs {
		r.Text.Tokens += d.Tokens
		r.Windows += d.Windows
	}
	return r, docs, nil
}

// scoreDocuments asks for every window of every document, o.Conc at a time, and
// sums each document in the order of its tokens, so that the figures do not
// depend on which answer came first.
func scoreDocuments(ctx context.Context, s *server.Scorer, docs []Document, tokens [][]int32, prefix int32, length int, o Options) ([]scored, error) {
	type job struct {
		doc, window int
		Window
	}
	var jobs []job
	sums := make([][]float64, len(docs))
	for d := range docs {
		windows := RollingWindows(tokens[d], prefix, length)
		sums[d] = make([]float64, len(windows))
		for w := range windows {
			jobs = append(jobs, job{d, w, windows[w]})
		}
	}
	var mu sync.Mutex
	done := 0
	progress := func() {
		mu.Lock()
		defer mu.Unlock()
		if done++; o.OnProgress != nil {
			o.OnProgress(done, len(jobs))
		}
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(o.Conc)
	for _, j := range jobs {
		if gctx.Err() != nil {
			break
		}
		group.Go(func() error {
			lps, err := s.Score(gctx, j.Tokens, j.From)
			if err != nil {
				return fmt.Errorf("document %d of %d, window %d: %w", j.doc+1, len(docs), j.window+1, err)
			}
			for _, lp := range lps {
				sums[j.doc][j.window] += lp
			}
			progress()
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	out := make([]scored, len(docs))
	for d := range docs {
		out[d] = scored{Document: docs[d], Tokens: len(tokens[d]), Windows: len(sums[d])}
		for _, s := range sums[d] {
			out[d].LogLikelihood += s
		}
	}
	return out, nil
}

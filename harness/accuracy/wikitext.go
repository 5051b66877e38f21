package accuracy

import (
	"context"
	"fmt"
	"math"
	"strings"

	"inferbench/baselines"
	"inferbench/harness/corpus"
	"inferbench/harness/server"
)

// wikitext is the rolling log-likelihood of a text: lm-evaluation-harness's
// task of that name, version 2.0.
type wikitext struct{}

func (wikitext) Name() string         { return "wikitext" }
func (wikitext) Needs() []corpus.File { return []corpus.File{corpus.WikiText2} }
func (wikitext) measured() Measured   { return new(Metrics) }

func (wikitext) Ready(ctx context.Context, o Options, own bool) error {
	_, err := loadText(ctx, &server.Server{Loopback: own}, o)
	return err
}

func (wikitext) Measure(ctx context.Context, t *server.Server, o Options) (*Result, error) {
	r, _, err := scoreText(ctx, t, o)
	return r, orChatOnly(ctx, t, o, err)
}

// scoreText measures; the second result is what each document gave.
func scoreText(ctx context.Context, t *server.Server, o Options) (*Result, []scored, error) {
	if err := o.fits(t); err != nil {
		return nil, nil, err
	}
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
	docs, err := scoreDocuments(ctx, scorer, text.Documents, tokens, tok.prefix, o)
	if err != nil {
		return nil, nil, err
	}
	m, err := measure(docs)
	if err != nil {
		return nil, nil, err
	}
	r := &Result{Measured: m, Text: text.ID, MaxLength: o.MaxLength, Prefix: &tok.prefix, Tokenizer: tok.name,
		Path: scorer.Path}
	for _, d := range docs {
		r.Text.Tokens += d.Tokens
	}
	return r, docs, nil
}

// scoreDocuments asks for every window of every document, o.Conc at a time, and
// sums each document in the order of its tokens, so that the figures do not
// depend on which answer came first.
func scoreDocuments(ctx context.Context, s *server.Scorer, docs []Document, tokens [][]int32, prefix int32,
	o Options) ([]scored, error) {
	type job struct {
		doc, window int
		Window
	}
	var jobs []job
	sums := make([][]float64, len(docs))
	for d := range docs {
		windows := RollingWindows(tokens[d], prefix, WindowLength(o.MaxLength))
		sums[d] = make([]float64, len(windows))
		for w := range windows {
			jobs = append(jobs, job{d, w, windows[w]})
		}
	}
	err := o.eachOf(ctx, len(jobs), func(ctx context.Context, i int) error {
		j := jobs[i]
		lps, err := s.Score(ctx, j.Tokens, j.From)
		if err != nil {
			return fmt.Errorf("document %d of %d, window %d: %w", j.doc+1, len(docs), j.window+1, err)
		}
		for _, lp := range lps {
			sums[j.doc][j.window] += lp
		}
		return nil
	})
	if err != nil {
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

// Figures lists the three perplexities; of a section that lacks one, those that
// it has.
func (m *Metrics) Figures() []Figure {
	var out []Figure
	for _, f := range []struct {
		name  string
		value float64
	}{{"bits_per_byte", m.BitsPerByte}, {"byte_perplexity", m.BytePerplexity}, {"word_perplexity", m.WordPerplexity}} {
		if f.value > 0 {
			out = append(out, Figure{Name: f.name, Value: f.value, Better: "lower", Format: "%.4f", Limit: f.name})
		}
	}
	return out
}

// Differs compares the text and the windows.
func (m *Metrics) Differs(r *Result, b *baselines.Accuracy) []string {
	diffs := otherText(r, b)
	if b.MaxLength != r.MaxLength {
		diffs = append(diffs, fmt.Sprintf("its max_length is %d, the run's is %d (ACC_MAX_LENGTH)", b.MaxLength, r.MaxLength))
	}
	return diffs
}

// Judge wants bits_per_byte and byte_perplexity within ±tolerance of the
// baseline's. Far below is as wrong as far above, since then either the
// measurement or the model is not what it claims to be. word_perplexity is the
// same log-likelihood over the text's words, so that it adds nothing; it is
// recorded beside what is stated of it.
func (wikitext) Judge(r *Result, b *baselines.Accuracy, tolerance float64) Verdict {
	m := r.Measured.(*Metrics)
	if v, ok := unjudged(r, b, fmt.Sprintf("max_length %d", r.MaxLength)); ok {
		return v
	}
	if tolerance == 0 {
		tolerance = b.Tolerance
	}
	v := Verdict{Status: Passed, Baseline: b.Name, Tolerance: tolerance, Limits: map[string]Limit{}}
	var se StdErr
	if m.StdErr != nil {
		se = *m.StdErr
	}
	within := fmt.Sprintf("±%g %%", math.Round(tolerance*1e4)/100)
	var outside []string
	for _, m := range []struct {
		name                   string
		value, baseline, error float64
	}{
		{"bits_per_byte", m.BitsPerByte, b.BitsPerByte, se.BitsPerByte},
		{"byte_perplexity", m.BytePerplexity, b.BytePerplexity, se.BytePerplexity},
	} {
		lower, upper := m.baseline*(1-tolerance), m.baseline*(1+tolerance)
		ok := m.value >= lower && m.value <= upper
		v.Limits[m.name] = Limit{Value: m.value, Baseline: m.baseline, StdErr: m.error, Lower: &lower, Upper: &upper, OK: &ok}
		off := m.value/m.baseline - 1
		switch {
		case ok:
		case off > 0:
			outside = append(outside, fmt.Sprintf("%s %.4f is %.1f %% above the baseline %.4f (upper limit %.4f)",
				m.name, m.value, 100*off, m.baseline, upper))
		default:
			outside = append(outside, fmt.Sprintf("%s %.4f is %.1f %% below the baseline %.4f (lower limit %.4f): "+
				"the measurement or the model is not what it claims", m.name, m.value, -100*off, m.baseline, lower))
		}
		limit := min(math.Abs(m.value-lower), math.Abs(m.value-upper))
		if limit < 2*m.error && limit < math.Abs(m.value-m.baseline) && v.Warnings == nil {
			v.Warnings = []string{fmt.Sprintf("the verdict on %s is a close one: it lies within two standard "+
				"errors over documents of a limit (%s), so another text might have given another verdict; score a "+
				"longer text (WIKITEXT), or state a tolerance that the text can tell (ACC_TOLERANCE)", r.Text.Name, within)}
		}
	}
	v.Reason = fmt.Sprintf("bits_per_byte and byte_perplexity within %s of %s", within, b.Name)
	if outside != nil {
		v.Status, v.Reason = Failed, strings.Join(outside, "; ")
	}
	if b.WordPerplexity > 0 {
		v.Limits["word_perplexity"] = Limit{Value: m.WordPerplexity, Baseline: b.WordPerplexity,
			StdErr: se.WordPerplexity, Note: b.WordPerplexityNote}
		if b.WordPerplexityNote != "" {
			v.Reason += fmt.Sprintf("; word_perplexity %.4f is recorded beside the stated %.4f and not judged: %s",
				m.WordPerplexity, b.WordPerplexity, b.WordPerplexityNote)
		}
	}
	return v
}

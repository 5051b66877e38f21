package accuracy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"inferbench/baselines"
	"inferbench/harness/corpus"
	"inferbench/harness/hint"
	"inferbench/harness/server"
	"inferbench/harness/sums"
	"inferbench/harness/textfile"
)

// gsm8k is grade-school word problems: lm-evaluation-harness's task of that
// name, version 3.0, with its prompt, its examples and its two ways to find the
// answer in what a model writes.
type gsm8k struct{}

func (gsm8k) Name() string         { return "gsm8k" }
func (gsm8k) Needs() []corpus.File { return []corpus.File{corpus.GSM8KTest, corpus.GSM8KTrain} }
func (gsm8k) measured() Measured   { return new(ExactMatch) }

func (gsm8k) Ready(ctx context.Context, o Options, own bool) error {
	if o.GenTokens > 0 && o.GenTokens+2 > o.MaxLength {
		return fmt.Errorf("ACC_GEN_TOKENS=%d leaves no room for a question in ACC_MAX_LENGTH=%d", o.GenTokens, o.MaxLength)
	}
	_, err := gsm8kRows(ctx, &server.Server{Loopback: own}, o)
	return err
}

func (gsm8k) Measure(ctx context.Context, t *server.Server, o Options) (*Result, error) {
	r, _, err := solve(ctx, t, o)
	return r, orChatOnly(ctx, t, o, err)
}

func (gsm8k) Judge(r *Result, b *baselines.Accuracy, tolerance float64) Verdict {
	m := r.Measured.(*ExactMatch)
	if v, ok := unjudged(r, b, fmt.Sprintf("%d worked examples", m.Shots)); ok {
		return v
	}
	return judgeShare(r, m.shares(), b, tolerance).inGSM8K()
}

// inGSM8K says a verdict on the flexible share under the competition's keys too.
func (v Verdict) inGSM8K() Verdict {
	if l, ok := v.Limits[shareLimit("flexible-extract")]; ok && l.Lower != nil {
		v.GSM8KGate = &GSM8KGate{Baseline: l.Baseline, Tolerance: v.Tolerance, Least: *l.Lower}
	}
	return v
}

// GSM8KGate is the verdict under the competition's keys.
type GSM8KGate struct {
	Baseline  float64 `json:"baseline_gsm8k_metric"`
	Tolerance float64 `json:"gsm8k_tol"`        // how far the share may fall short
	Least     float64 `json:"minimum_accepted"` // baseline less tolerance
}

// Question is a row of the data set: the answer ends in "#### 72".
type Question struct {
	Question string `json:"question"`
	Answer   string `json:"answer"`
}

// ExactMatch is the share of questions answered right, by either extraction.
type ExactMatch struct {
	Strict         float64 `json:"exact_match_strict"`   // the number after "#### ", as the examples write it
	Flexible       float64 `json:"exact_match_flexible"` // the last number there is
	StrictStdErr   float64 `json:"exact_match_strict_stderr"`
	FlexibleStdErr float64 `json:"exact_match_flexible_stderr"`
	Shots          int     `json:"shots"`      // worked examples before each question
	Examples       TextID  `json:"examples"`   // what they are drawn from
	GenTokens      int     `json:"gen_tokens"` // most tokens that an answer may take

	// GSM8K is Flexible under the competition's name for it.
	GSM8K float64 `json:"gsm8k_metric"`
}

func (m *ExactMatch) shares() []Share {
	share := func(name, filter string, v, stderr float64) Share {
		return Share{Figure{Name: name, Value: v, Better: "higher", Format: "%.4f", Limit: shareLimit(filter)}, stderr}
	}
	return []Share{share("exact_match_strict", "strict-match", m.Strict, m.StrictStdErr),
		share("exact_match_flexible", "flexible-extract", m.Flexible, m.FlexibleStdErr)}
}

// Figures lists the share of right answers by either extraction.
func (m *ExactMatch) Figures() []Figure {
	var out []Figure
	for _, s := range m.shares() {
		out = append(out, s.Figure)
	}
	return out
}

// Differs compares the questions, the examples, their number and the
// extraction.
func (m *ExactMatch) Differs(r *Result, b *baselines.Accuracy) []string {
	diffs := append(otherText(r, b), otherShare(m.shares(), b)...)
	if b.Shots != m.Shots {
		diffs = append(diffs, fmt.Sprintf("it has %d worked examples a question, the run has %d (ACC_SHOTS)", b.Shots,
			m.Shots))
	}
	if b.ExamplesSHA256 != "" && b.ExamplesSHA256 != m.Examples.SHA256 {
		diffs = append(diffs, fmt.Sprintf("its examples are drawn from SHA-256 %.8s…, the run's from %s (%.8s…)",
			b.ExamplesSHA256, m.Examples.Name, m.Examples.SHA256))
	}
	return diffs
}

const (
	// DefaultShots is the number of examples before each question where no
	// baseline says otherwise: lm-evaluation-harness's.
	DefaultShots = 5
	// DefaultGenTokens is lm-evaluation-harness's for API models. A model that
	// reasons before it answers needs more.
	DefaultGenTokens = 256
	// fewShotSeed is lm-evaluation-harness's default --seed for few-shot
	// sampling.
	fewShotSeed = 1234
)

// until ends an answer: the model has begun a question of its own, or is done.
var until = []string{"Question:", "</s>", "<|im_end|>"}

// prompt is the question after its worked examples.
func prompt(examples []Question, q Question) string {
	var b strings.Builder
	for _, e := range examples {
		fmt.Fprintf(&b, "Question: %s\nAnswer: %s\n\n", e.Question, strings.TrimSuffix(e.Answer, "\n"))
	}
	fmt.Fprintf(&b, "Question: %s\nAnswer:", q.Question)
	return b.String()
}

// gsm8kSet is the questions and the rows that examples are drawn from.
type gsm8kSet struct {
	test, train     []Question
	testID, trainID TextID
}

// gsm8kRows reads both files and refuses a number of examples that there are not.
func gsm8kRows(ctx context.Context, t *server.Server, o Options) (s gsm8kSet, err error) {
	if s.test, s.testID, err = questions(ctx, t, o, corpus.GSM8KTest, sums.Test); err != nil {
		return s, err
	}
	if s.train, s.trainID, err = questions(ctx, t, o, corpus.GSM8KTrain, sums.Train); err != nil {
		return s, err
	}
	if o.Shots < 0 || o.Shots > len(s.train) {
		return s, fmt.Errorf("ACC_SHOTS=%d: there are %d examples to draw from", o.Shots, len(s.train))
	}
	return s, nil
}

// examples lists the worked examples of every question. They are drawn anew for
// each, from one generator, so that question i has the same ones everywhere.
func (s gsm8kSet) examples(shots int) [][]Question {
	random := newPyRandom(fewShotSeed)
	out := make([][]Question, len(s.test))
	for i := range s.test {
		if shots > 0 {
			for _, at := range random.sample(len(s.train), shots) {
				out[i] = append(out[i], s.train[at])
			}
		}
	}
	return out
}

// prompts is every question's prompt.
func (s gsm8kSet) prompts(shots int) []string {
	out := make([]string, len(s.test))
	for i, examples := range s.examples(shots) {
		out[i] = prompt(examples, s.test[i])
	}
	return out
}

// match compares what was written with the answers, strict being the way to find
// the number that the examples' form asks for.
func (s gsm8kSet) match(wrote []string, strict func(string) string) (m ExactMatch) {
	hits, flexible := 0, 0
	for i, text := range wrote {
		if right(strict(text), s.test[i].Answer) {
			hits++
		}
		if right(extractFlexible(text), s.test[i].Answer) {
			flexible++
		}
	}
	m.Strict, m.StrictStdErr = shareAndError(hits, len(wrote))
	m.Flexible, m.FlexibleStdErr = shareAndError(flexible, len(wrote))
	m.GSM8K = m.Flexible
	return m
}

var (
	strictPattern   = regexp.MustCompile(`#### (-?[0-9.,]+)`)
	flexiblePattern = regexp.MustCompile(`(-?[$0-9.,]{2,})|(-?[0-9]+)`)
	ignored         = []*regexp.Regexp{
		regexp.MustCompile(`,`), regexp.MustCompile(`\$`), regexp.MustCompile(`(?s).*#### `), regexp.MustCompile(`\.$`),
	}
)

// noAnswer stands where no answer was found.
const noAnswer = "[invalid]"

// extractStrict is the first number after "#### ".
func extractStrict(text string) string {
	if m := strictPattern.FindStringSubmatch(text); m != nil {
		return strings.TrimFunc(m[1], isSpace)
	}
	return noAnswer
}

// extractLast is the last number after "#### ", as InferenceX takes it.
func extractLast(text string) string {
	all := strictPattern.FindAllStringSubmatch(text, -1)
	if all == nil {
		return noAnswer
	}
	return strings.TrimFunc(all[len(all)-1][1], isSpace)
}

// extractFlexible is the last number.
func extractFlexible(text string) string {
	all := flexiblePattern.FindAllStringSubmatch(text, -1)
	if all == nil {
		return noAnswer
	}
	last := all[len(all)-1]
	if last[1] != "" {
		return strings.TrimFunc(last[1], isSpace)
	}
	return strings.TrimFunc(last[2], isSpace)
}

// right compares an extracted answer with a row's, without commas, dollar signs,
// a last full stop and the working before "#### ".
func right(extracted, answer string) bool {
	for _, re := range ignored {
		extracted, answer = re.ReplaceAllString(extracted, ""), re.ReplaceAllString(answer, "")
	}
	//lint:ignore SA6005 it is lm-evaluation-harness's lower() on both sides, which folds less
	return strings.ToLower(extracted) == strings.ToLower(answer)
}

// shareAndError is the mean of n results of which hits are right, and its
// standard error (the sample's deviation over √n, as lm-evaluation-harness's
// mean_stderr).
func shareAndError(hits, n int) (share, stderr float64) {
	share = float64(hits) / float64(n)
	if n > 1 {
		stderr = math.Sqrt(share * (1 - share) / float64(n-1))
	}
	return share, stderr
}

// stateShots fills in the number of examples where none is asked for: that of
// the baseline that the result will be judged by, else [DefaultShots].
func (o *Options) stateShots(task, model string) error {
	if o.Shots != 0 {
		return nil
	}
	all := []*baselines.Accuracy{o.Baseline}
	if o.Baseline == nil {
		var err error
		if all, err = baselines.AccuracyFor(model); err != nil {
			return err
		}
	}
	o.Shots = DefaultShots
	if i := slices.IndexFunc(all, func(b *baselines.Accuracy) bool { return b.Task == task && b.Shots > 0 }); i >= 0 {
		o.Shots = all[i].Shots
	}
	return nil
}

// answersOf asks for every prompt's continuation, o.Conc at a time. A question
// without an answer from the server fails the task; one with a wrong answer
// does not.
func answersOf(ctx context.Context, t *server.Server, tok *source, prompts []string, o Options) ([]string, error) {
	if err := o.writes(); err != nil {
		return nil, err
	}
	out := make([]string, len(prompts))
	return out, o.eachOf(ctx, len(prompts), func(ctx context.Context, i int) error {
		p, err := fitted(ctx, t, tok, prompts[i], o)
		if err == nil {
			out[i], err = t.Complete(ctx, o.Retry, p, o.GenTokens, until)
		}
		if err != nil {
			return fmt.Errorf("question %d of %d: %w", i+1, len(prompts), err)
		}
		return nil
	})
}

// fitted is a prompt as it is sent. One token fewer than the model length, and
// what may be generated, are kept free; ids that are too many lose their
// beginning. Of a text nothing is cut, and without a tokenizer nothing is known.
func fitted(ctx context.Context, t *server.Server, tok *source, text string, o Options) (server.Prompt, error) {
	var ids []int32
	if tok != nil {
		var err error
		if ids, err = tok.encode(ctx, text); err != nil {
			return server.Prompt{}, err
		}
	}
	room := max(o.MaxLength-1-o.GenTokens, 1)
	switch {
	case !t.TextOnly:
		return server.Prompt{IDs: ids[max(0, len(ids)-room):]}, nil
	case len(ids) > room:
		return server.Prompt{}, hint.New(fmt.Errorf("its prompt has %d tokens, and ACC_MAX_LENGTH=%d with "+
			"ACC_GEN_TOKENS=%d leaves %d: the server takes text alone, of which nothing is cut", len(ids), o.MaxLength,
			o.GenTokens, room), "raise ACC_MAX_LENGTH, or lower ACC_SHOTS")
	}
	return server.Prompt{Text: text}, nil
}

// solve runs the task. The second result is what the model wrote, by question.
func solve(ctx context.Context, t *server.Server, o Options) (*Result, []string, error) {
	if err := o.fits(t); err != nil {
		return nil, nil, err
	}
	if err := o.stateShots(gsm8k{}.Name(), t.Model); err != nil {
		return nil, nil, err
	}
	if o.GenTokens == 0 {
		o.GenTokens = DefaultGenTokens
	}
	if o.GenTokens < 1 || o.GenTokens+2 > o.MaxLength {
		return nil, nil, fmt.Errorf("ACC_GEN_TOKENS=%d leaves no room for a question in ACC_MAX_LENGTH=%d",
			o.GenTokens, o.MaxLength)
	}
	rows, err := gsm8kRows(ctx, t, o)
	if err != nil {
		return nil, nil, err
	}
	tok, err := tokenizerFor(ctx, t, o)
	if t.TextOnly && (errors.Is(err, server.ErrNoTokenizer) || errors.Is(err, server.ErrNoPrefix)) {
		tok, err = nil, nil // none is needed for a text
	}
	if err != nil {
		return nil, nil, err
	}
	wrote, err := answersOf(ctx, t, tok, rows.prompts(o.Shots), o)
	if err != nil {
		return nil, nil, err
	}
	m := rows.match(wrote, extractStrict)
	m.Shots, m.Examples, m.GenTokens = o.Shots, rows.trainID, o.GenTokens
	r := &Result{Measured: &m, Text: rows.testID, MaxLength: o.MaxLength, Path: "/v1/completions", AsText: t.TextOnly}
	if !t.TextOnly {
		r.Prefix, r.Tokenizer = &tok.prefix, tok.name
	}
	return r, wrote, nil
}

// questions reads the rows that the user names, else those that fit the server:
// the suite's own for the embedded engine, the public ones for every other.
func questions(ctx context.Context, t *server.Server, o Options, f corpus.File, own string) ([]Question, TextID,
	error) {
	path := o.Files[f.Setting]
	id := TextID{Name: f.Name}
	var b []byte
	var err error
	switch {
	case path != "":
		id.Name = filepath.Base(path)
		if b, err = textfile.Read(path); err != nil {
			return nil, id, fmt.Errorf("%s: %w", f.Setting, err)
		}
		if f.Check(b) == nil {
			id.Name = f.Name
		}
	case t.Loopback:
		id.Name, b = "inferbench sums", []byte(own)
	default:
		if b, err = o.cache().Get(ctx, f); err != nil {
			return nil, id, fmt.Errorf("the questions to ask: %w", err)
		}
	}
	id.SHA256, id.Bytes = corpus.Digest(b), len(b)
	var rows []Question
	for dec := json.NewDecoder(bytes.NewReader(b)); ; {
		var q Question
		switch err := dec.Decode(&q); {
		case errors.Is(err, io.EOF):
			if len(rows) == 0 {
				return nil, id, fmt.Errorf("%s: it has no question", id.Name)
			}
			id.Documents = len(rows)
			return rows, id, nil
		case err != nil:
			return nil, id, fmt.Errorf(`%s: row %d: %w: want JSON lines, {"question": …, "answer": "… #### number"}`, id.Name, len(rows)+1, err)
		case q.Question == "" || !strings.Contains(q.Answer, "#### "):
			return nil, id, fmt.Errorf(`%s: row %d: want {"question": …, "answer": "… #### number"}`, id.Name, len(rows)+1)
		}
		rows = append(rows, q)
	}
}

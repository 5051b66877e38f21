package accuracy

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"inferbench/baselines"
	"inferbench/harness/corpus"
	"inferbench/harness/server"
	"inferbench/harness/textfile"
)

// gpqa is multiple choice by experts: gpqa_diamond in a chat, worded as InferenceX
// words it, its choices shuffled as lm-evaluation-harness shuffles them (task
// version 2.2). Its data set is gated, so that the user brings the file.
type gpqa struct{}

func (gpqa) Name() string         { return "gpqa_diamond" }
func (gpqa) Needs() []corpus.File { return nil }
func (gpqa) measured() Measured   { return new(ChoiceMatch) }

// ChoiceMatch is the share of questions whose letter is right, by two ways to
// find the letter in what a model writes.
type ChoiceMatch struct {
	Strict         float64 `json:"exact_match_strict"`   // the letter after the last "answer is"
	Flexible       float64 `json:"exact_match_flexible"` // the last letter A to D that stands alone
	StrictStdErr   float64 `json:"exact_match_strict_stderr"`
	FlexibleStdErr float64 `json:"exact_match_flexible_stderr"`
	GenTokens      int     `json:"gen_tokens"` // most tokens that an answer may take
	Unanswered
}

// gpqaQuestions is the number of questions of gpqa_diamond, and gpqaName what a
// file with so many is called in a result.
const (
	gpqaQuestions = 198
	gpqaName      = "gpqa diamond"
)

func (gpqa) Ready(_ context.Context, o Options, _ bool) error {
	_, _, err := gpqaRows(o)
	return err
}

func (gpqa) Measure(ctx context.Context, t *server.Server, o Options) (*Result, error) {
	if o.GenTokens == 0 {
		o.GenTokens = chatTokens(t.MaxLen)
	}
	rows, id, err := gpqaRows(o)
	if err != nil {
		return nil, err
	}
	wrote, unanswered, err := askAll(ctx, t, gpqaChats(rows), o)
	if err != nil {
		return nil, err
	}
	m := gpqaMatch(wrote, rows)
	m.GenTokens, m.Unanswered = o.GenTokens, unanswered
	return &Result{Measured: m, Text: id, Path: "/v1/chat/completions"}, nil
}

// gpqaChats are the rows as they are put.
func gpqaChats(rows []gpqaRow) (questions []chatQuestion) {
	for _, row := range rows {
		questions = append(questions, chatQuestion{row.chat(), []string{"</s>"}, map[string]any{"top_p": 1}})
	}
	return questions
}

// gpqaMatch counts the right letters.
func gpqaMatch(wrote []string, rows []gpqaRow) *ChoiceMatch {
	m := new(ChoiceMatch)
	strict, flexible := 0, 0
	for i, text := range wrote {
		if lastLetter(saidLetter, false, text) == rows[i].answer {
			strict++
		}
		if lastLetter(aloneLetter, true, text) == rows[i].answer {
			flexible++
		}
	}
	m.Strict, m.StrictStdErr = shareAndError(strict, len(rows))
	m.Flexible, m.FlexibleStdErr = shareAndError(flexible, len(rows))
	return m
}

// What a letter may be found by, as Python's regular expressions have it: where a
// word ends is Unicode's matter there.
var (
	saidLetter  = regexp.MustCompile(`(?i:answer is)[^A-D\n]{0,4}([A-D])`)
	aloneLetter = regexp.MustCompile(`([A-D])`)
)

// lastLetter is the last letter that the pattern finds and with which a word ends,
// and with alone begins too; "" where it finds none.
func lastLetter(pattern *regexp.Regexp, alone bool, text string) (last string) {
	for at := 0; ; {
		m := pattern.FindStringSubmatchIndex(text[at:])
		if m == nil {
			return last
		}
		begin, end := at+m[2], at+m[3]
		before, _ := utf8.DecodeLastRuneInString(text[:begin])
		after, _ := utf8.DecodeRuneInString(text[end:])
		if at += m[0] + 1; !inWord(after) && !(alone && inWord(before)) {
			last, at = text[begin:end], end
		}
	}
}

// inWord reports whether a character is of a word, as \w has it in Python.
func inWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

// gpqaRow is a question with its choices in the order in which they are shown.
type gpqaRow struct {
	question string
	choices  [4]string
	answer   string // the right one's letter
}

func (r gpqaRow) chat() []server.Message {
	ask := "Question: " + r.question + "\nChoices:"
	for i, c := range r.choices {
		ask += fmt.Sprintf("\n(%c) %s", 'A'+i, c)
	}
	return []server.Message{{Role: "system", Content: "Here are some example questions from experts. Answer the " +
		"final question yourself. " +
		"You must follow the format of the previous questions exactly: 'The answer is (X).', where X is your " +
		"answer.\n"}, {Role: "user", Content: ask}}
}

// gpqaRows reads the file that GPQA names. Choices are shuffled by one generator,
// Python's with the seed 0 that lm-evaluation-harness begins with.
func gpqaRows(o Options) ([]gpqaRow, TextID, error) {
	path := o.Files["GPQA"]
	if path == "" {
		return nil, TextID{}, errors.New("GPQA is not set: the questions are gated " +
			"(huggingface.co/datasets/Idavidrein/gpqa); accept their terms there, and set GPQA to the path of gpqa_diamond.csv")
	}
	b, err := textfile.Read(path)
	if err != nil {
		return nil, TextID{}, fmt.Errorf("GPQA: %w", err)
	}
	id := TextID{Name: filepath.Base(path), SHA256: corpus.Digest(b), Bytes: len(b)}
	r := csv.NewReader(bytes.NewReader(b))
	r.FieldsPerRecord = -1
	records, err := r.ReadAll()
	if err != nil {
		return nil, id, fmt.Errorf("GPQA=%s: want gpqa_diamond.csv: %w", path, err)
	}
	rows, err := gpqaShuffled(records)
	if err != nil {
		return nil, id, fmt.Errorf("GPQA=%s: %w", path, err)
	}
	if id.Documents = len(rows); len(rows) == gpqaQuestions {
		id.Name = gpqaName
	}
	return rows, id, nil
}

var gpqaColumns = []string{"Question", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3",
	"Correct Answer"}

func gpqaShuffled(records [][]string) ([]gpqaRow, error) {
	if len(records) < 2 {
		return nil, errors.New("it has no question")
	}
	var at []int
	for _, name := range gpqaColumns {
		i := slices.Index(records[0], name)
		if i < 0 {
			return nil, fmt.Errorf("it has no column %q: want gpqa_diamond.csv", name)
		}
		at = append(at, i)
	}
	random := newPyRandom(0)
	var rows []gpqaRow
	for n, rec := range records[1:] {
		if len(rec) <= slices.Max(at) {
			return nil, fmt.Errorf("row %d has %d of %d columns", n+1, len(rec), len(records[0]))
		}
		row := gpqaRow{question: rec[at[0]]}
		for i := range row.choices {
			row.choices[i] = gpqaChoice(rec[at[1+i]])
		}
		right := row.choices[3]
		random.shuffle(len(row.choices), func(i, j int) { row.choices[i], row.choices[j] = row.choices[j], row.choices[i] })
		row.answer = string(rune('A' + slices.Index(row.choices[:], right)))
		rows = append(rows, row)
	}
	return rows, nil
}

// gpqaChoice is a choice as lm-evaluation-harness tidies it.
func gpqaChoice(s string) string {
	s = strings.TrimFunc(s, isSpace)
	s = strings.ReplaceAll(s, " [title]", ". ")
	return strings.ReplaceAll(s, "  ", " ")
}

func (m *ChoiceMatch) shares() []Share {
	e := ExactMatch{Strict: m.Strict, StrictStdErr: m.StrictStdErr, Flexible: m.Flexible, FlexibleStdErr: m.FlexibleStdErr}
	return e.shares()
}

// Figures lists the share of right letters by either extraction.
func (m *ChoiceMatch) Figures() []Figure {
	return []Figure{m.shares()[0].Figure, m.shares()[1].Figure}
}

// Differs compares the questions and the extraction.
func (m *ChoiceMatch) Differs(r *Result, b *baselines.Accuracy) []string {
	return append(otherText(r, b), otherShare(m.shares(), b)...)
}

// Judge holds the share to the baseline's and tells what was not answered.
func (gpqa) Judge(r *Result, b *baselines.Accuracy, tolerance float64) Verdict {
	m := r.Measured.(*ChoiceMatch)
	v, done := unjudged(r, b, fmt.Sprintf("%d questions", r.Text.Documents))
	if !done {
		v = judgeShare(r, m.shares(), b, tolerance)
	}
	return m.tell(v, r.Text.Documents)
}

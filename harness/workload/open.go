package workload

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"inferbench/harness/textfile"
)

// Counter is how many tokens the server counts in a prompt of this text,
// those included that its tokenizer adds.
type Counter func(ctx context.Context, text string) (int, error)

// Texter is the text of token ids.
type Texter func(ctx context.Context, ids []int32) (string, error)

// Spec says which requests a run shall send.
type Spec struct {
	Kind *Kind  // nil means the first of Kinds
	Path string // of the file, for the kinds that have one

	N          int     // requests; Endless where a duration bounds the run
	ISL, OSL   int     // tokens. Of a file's prompts, OSL is the output length where a line gives none
	RangeRatio float64 // 0 means 1
	Seed       int64
	WarmUp     int // how many prompts to warm up with will be asked for

	// SharedPrefix is the part of each prompt, 0 to 1, that it has in common
	// with others: all of them, or every Prefixes-th where there are several.
	SharedPrefix float64
	Prefixes     int

	Chat      bool          // the chat endpoint is asked: it takes text and messages, the other one text and ids
	Trace     bool          // requests carry the times at which they are to be sent
	TraceUnit time.Duration // of their timestamps; 0: told by their size
	Vocab     int           // size of the server's vocabulary, 0 where not known
	MaxLen    int           // context length of the server in tokens, 0 where not known
	Count     Counter       // of a chat, with its template
	Text      Texter
}

// Open makes the source that s describes. The notes say what a reader of the
// run's figures should know of it, a line each: lines of a file that could not
// be used, prompts that repeat.
func Open(ctx context.Context, s Spec) (Source, []string, error) {
	if s.RangeRatio == 0 {
		s.RangeRatio = 1
	}
	if s.Kind == nil {
		s.Kind = Kinds[0]
	}
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	return s.Kind.Open(ctx, s)
}

func (s Spec) check() error {
	k := s.Kind
	switch {
	case s.N < 1:
		return errors.New("workload: want at least one request")
	case k.File && s.Path == "":
		return fmt.Errorf("workload %s: DATASET_PATH names no file", k)
	case !k.File && s.Path != "":
		return fmt.Errorf("workload %s reads no file: DATASET_PATH=%q wants DATASET=%s",
			k, s.Path, KindNames(func(k *Kind) bool { return k.File }))
	case k.File && (s.SharedPrefix != 0 || s.RangeRatio != 1):
		return fmt.Errorf("workload %s: prompts come from the file as they are, without range ratio or shared prefix", k)
	case s.Trace && !k.Times:
		return fmt.Errorf("workload %s has no times: a trace is of DATASET=%s", k,
			KindNames(func(k *Kind) bool { return k.Times }))
	case !k.File && s.MaxLen > 0 && s.ISL+s.OSL > s.MaxLen:
		return fmt.Errorf("ISL %d + OSL %d is more than the server's context of %d tokens", s.ISL, s.OSL, s.MaxLen)
	case k.Texts && (s.Count == nil || s.Text == nil):
		return fmt.Errorf("workload %s in a chat: token ids are sent as their text, and the server has no tokenizer "+
			"for that (/tokenize and /detokenize): name the model's tokenizer.json with TOKENIZER", k)
	case k.Counts == Needed && s.Count == nil:
		return fmt.Errorf("workload %s: the server has no tokenizer to measure text with (/tokenize): name the "+
			"model's tokenizer.json with TOKENIZER", k)
	case !(s.SharedPrefix >= 0 && s.SharedPrefix <= 1):
		return fmt.Errorf("workload: shared prefix %v is not from 0 to 1", s.SharedPrefix)
	}
	return nil
}

// fromFile opens a kind's file and has it read.
func fromFile(read func(context.Context, io.Reader, Spec) (Source, []string, error)) opener {
	return func(ctx context.Context, s Spec) (Source, []string, error) {
		f, err := os.Open(s.Path)
		if err != nil {
			return nil, nil, fmt.Errorf("open the data set: %w", err)
		}
		defer f.Close()
		text, err := textfile.NewReader(f)
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", s.Path, err)
		}
		return read(ctx, text, s)
	}
}

// unused gathers the lines of a file that could not be used.
type unused struct {
	what  string // line or entry
	n     int
	first []string
}

const unusedShown = 3

func (u *unused) add(line int, why string) {
	u.n++
	if len(u.first) < unusedShown {
		u.first = append(u.first, fmt.Sprintf("%s %d: %s", u.what, line, why))
	}
}

// note is nil where every line could be used.
func (u *unused) note(of int) []string {
	if u.n == 0 {
		return nil
	}
	more := ""
	if u.n > len(u.first) {
		more = "; …"
	}
	return []string{fmt.Sprintf("%d of %d %s could not be used: %s%s",
		u.n, of, plural(u.what), strings.Join(u.first, "; "), more)}
}

func plural(what string) string {
	if what == "entry" {
		return "entries"
	}
	return what + "s"
}

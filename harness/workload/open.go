package workload

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Kind is a kind of workload.
type Kind string

const (
	KindRandom   Kind = "random"   // random token ids of exact length
	KindText     Kind = "text"     // random English words, of exact length by the server's tokenizer
	KindShareGPT Kind = "sharegpt" // a file in ShareGPT's format
	KindJSONL    Kind = "jsonl"    // a file of prompts, or of a trace, one JSON object a line
)

// Kinds are all kinds, in order.
var Kinds = []Kind{KindRandom, KindText, KindShareGPT, KindJSONL}

// Counter is how many tokens the server counts in a prompt of this text,
// those included that its tokenizer adds.
type Counter func(ctx context.Context, text string) (int, error)

// Spec says which requests a run shall send.
type Spec struct {
	Kind Kind   // empty means random
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

	Chat   bool // the chat endpoint is asked: it takes text and messages, the other one text and ids
	Trace  bool // requests carry the times at which they are to be sent
	Vocab  int  // size of the server's vocabulary, 0 where not known
	MaxLen int  // context length of the server in tokens, 0 where not known
	Count  Counter
}

// Open makes the source that s describes. The notes say what a reader of the
// run's figures should know of it, a line each: lines of a file that could not
// be used, prompts that repeat.
func Open(ctx context.Context, s Spec) (Source, []string, error) {
	if s.RangeRatio == 0 {
		s.RangeRatio = 1
	}
	if err := s.check(); err != nil {
		return nil, nil, err
	}
	switch s.Kind {
	case KindShareGPT, KindJSONL:
		f, err := os.Open(s.Path)
		if err != nil {
			return nil, nil, fmt.Errorf("open the data set: %w", err)
		}
		defer f.Close()
		read := readJSONL
		if s.Kind == KindShareGPT {
			read = readShareGPT
		}
		return read(ctx, f, s)
	case KindText:
		return newText(ctx, s)
	}
	r := Random{N: s.N, ISL: s.ISL, OSL: s.OSL, RangeRatio: s.RangeRatio, Vocab: s.Vocab, Seed: s.Seed,
		SharedPrefix: s.SharedPrefix, Prefixes: s.Prefixes}
	return r, nil, r.Check()
}

func (s Spec) check() error {
	file := s.Kind == KindShareGPT || s.Kind == KindJSONL
	switch {
	case s.N < 1:
		return errors.New("workload: want at least one request")
	case file && s.Path == "":
		return fmt.Errorf("workload %s: DATASET_PATH names no file", s.Kind)
	case !file && s.Path != "":
		return fmt.Errorf("workload %s reads no file: DATASET_PATH=%q wants DATASET=sharegpt or jsonl", s.Kind, s.Path)
	case file && (s.SharedPrefix != 0 || s.RangeRatio != 1):
		return fmt.Errorf("workload %s: prompts come from the file as they are, without range ratio or shared prefix", s.Kind)
	case s.Trace && s.Kind != KindJSONL:
		return fmt.Errorf("workload %s has no times: a trace is a JSONL file whose lines have a timestamp", s.Kind)
	case !file && s.MaxLen > 0 && s.ISL+s.OSL > s.MaxLen:
		return fmt.Errorf("ISL %d + OSL %d is more than the server's context of %d tokens", s.ISL, s.OSL, s.MaxLen)
	case (s.Kind == KindText) && s.Count == nil:
		return errors.New("workload text: the server has no tokenizer to measure text with (/tokenize); use DATASET=random")
	case !(s.SharedPrefix >= 0 && s.SharedPrefix <= 1):
		return fmt.Errorf("workload: shared prefix %v is not from 0 to 1", s.SharedPrefix)
	}
	for _, k := range Kinds {
		if s.Kind == k || s.Kind == "" {
			return nil
		}
	}
	return fmt.Errorf("workload %q is not one of %v", s.Kind, Kinds)
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
	return []string{fmt.Sprintf("%d of %d %s could not be used: %s%s", u.n, of, plural(u.what), strings.Join(u.first, "; "), more)}
}

func plural(what string) string {
	if what == "entry" {
		return "entries"
	}
	return what + "s"
}

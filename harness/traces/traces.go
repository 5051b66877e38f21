// Package traces reads recorded sessions: a file a format. What it reads it checks
// whole, so that a replay meets nothing that it cannot follow.
package traces

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"inferbench/harness/session"
	"inferbench/harness/textfile"
	"inferbench/harness/workload"
)

// format reads the sessions of one file.
type format struct {
	ends []string // of the names of its files in a folder
	read func(context.Context, *source) error
}

// formats are those of the kinds of sessions that are files.
var formats = map[*session.Kind]format{
	session.Weka:     {[]string{".json", ".jsonl", ".parquet"}, readWeka},
	session.Mooncake: {[]string{".jsonl", ".json"}, readMooncake},
	session.Turns:    {[]string{".json", ".jsonl"}, readTurns},
	session.Agent:    {[]string{".json"}, readAgenticTrace},
	session.Multi:    {[]string{".jsonl", ".json"}, readMultiTurn},
	session.DAG:      {[]string{".jsonl", ".json"}, readDAG},
}

// source is a file that is read, and what has been read of all.
type source struct {
	Options
	file   string
	in     *bufio.Reader
	traces []session.Trace
	ids    map[string]string // of traces, by id: the file each is in
	odd    oddities
}

// oddities counts what the reader of the figures is told of the traces.
type oddities struct {
	noOutput   int // answers of no tokens, which are asked for one
	backwards  int // requests that stand behind one that was recorded later
	shrunk     int // turns whose prompt keeps less of the one before than all of it
	background int // sub-agents that nothing waits for
	empty      int // sub-agents without a request
	orphans    int // sub-agents that stand before every request of their parent
	chains     int // agents that were found among the requests of another

	unusable int    // conversations that cannot be sent
	example  string // why the first of them cannot
	open     int    // conversations whose last turn has no answer
	guessed  bool   // tokens of texts were estimated
	unsaid   int    // turns that do not say how long their answer is
	models   int    // turns that name a model
}

// Options say what to read.
type Options struct {
	Kind  *session.Kind
	Path  string           // a file, or a folder of files
	Most  int              // of sessions of texts, which have to be counted; 0: all
	Count workload.Counter // tokens of a text; nil: they are estimated
}

// Open reads sessions from a file, or from all files of a folder, in order of their
// names. The notes say what the reader of the figures should know.
func Open(ctx context.Context, o Options) ([]session.Trace, []string, error) {
	f := formats[o.Kind]
	files, err := filesOf(o.Path, f.ends)
	if err != nil {
		return nil, nil, err
	}
	s := &source{Options: o, ids: map[string]string{}}
	for _, file := range files {
		if err := s.open(ctx, file, f); err != nil {
			return nil, nil, err
		}
	}
	if len(s.traces) == 0 {
		return nil, nil, fmt.Errorf("%s: it has no sessions%s", o.Path, s.odd.why())
	}
	return s.traces, s.odd.notes(), nil
}

// enough reports whether as many sessions have been read as are wanted.
func (s *source) enough() bool { return s.Most > 0 && len(s.traces) >= s.Most }

// filesOf lists the files that path stands for.
func filesOf(path string, ends []string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the data set: %w", err)
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(file string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && slices.Contains(ends, strings.ToLower(filepath.Ext(file))) {
			files = append(files, file)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s: there is no file in it that ends with %s", path, strings.Join(ends, ", "))
	}
	return files, err
}

func (s *source) open(ctx context.Context, file string, f format) error {
	in, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("open the data set: %w", err)
	}
	defer in.Close()
	s.file, s.in = file, bufio.NewReaderSize(in, 1<<20)
	return f.read(ctx, s)
}

// add takes in a trace that has been read, unless something is wrong with it. The
// error names file and trace.
func (s *source) add(t session.Trace) error {
	if err := s.take(t); err != nil {
		return fmt.Errorf("%s: trace %s: %w", s.file, printable(t.ID), err)
	}
	return nil
}

// take is add, with an error that names neither.
func (s *source) take(t session.Trace) error {
	if other, twice := s.ids[t.ID]; twice {
		return fmt.Errorf("%s has one of that id, too", other)
	}
	if err := t.Check(); err != nil {
		return err
	}
	s.ids[t.ID] = s.file
	s.traces = append(s.traces, t)
	return nil
}

// text makes the file one of UTF-8 without a mark at its beginning.
func (s *source) text() error {
	r, err := textfile.NewReader(s.in)
	if err != nil {
		return fmt.Errorf("read %s: %w", s.file, err)
	}
	s.in = bufio.NewReaderSize(r, 1<<20)
	return nil
}

// mostTokens is the longest prompt or answer that is believed, so that a slip in a file
// does not cost all memory.
const mostTokens = 1 << 24

// bySession gathers lines by their session, in the order in which sessions begin. A
// line that names none is a session of its own.
type bySession[S any] struct {
	known map[string]*S
	all   []*S
}

// of is the session of line n; begin makes one that is not known yet.
func (b *bySession[S]) of(name *string, n int, begin func(id string) *S) *S {
	id := fmt.Sprintf("line-%d", n)
	if name != nil {
		id = *name
	}
	if b.known[id] == nil {
		if b.known == nil {
			b.known = map[string]*S{}
		}
		b.known[id] = begin(id)
		b.all = append(b.all, b.known[id])
	}
	return b.known[id]
}

// maxLine is the longest line that is read: a trace of a long session with the ids of
// all its prompts has some 100 MB.
const maxLine = 1 << 30

// lines calls do with each line of the file that is not blank, and its number. An error
// of do is told with the line, and says which key it is in.
func (s *source) lines(ctx context.Context, do func(n int, line []byte) error) error {
	var line []byte
	for n := 1; ; n++ {
		line = line[:0]
		for {
			part, err := s.in.ReadSlice('\n')
			if line = append(line, part...); len(line) > maxLine {
				return fmt.Errorf("read %s: line %d is longer than %d MiB", s.file, n, maxLine>>20)
			}
			if err == nil || errors.Is(err, io.EOF) {
				if len(bytes.TrimSpace(line)) > 0 {
					if err := do(n, line); err != nil {
						return fmt.Errorf("%s: line %d: %w", s.file, n, inWords(err))
					}
				}
				if err != nil {
					return nil
				}
				break
			}
			if !errors.Is(err, bufio.ErrBufferFull) {
				return fmt.Errorf("read %s: line %d: %w", s.file, n, err)
			}
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
}

// why says why there may be no sessions at all.
func (o oddities) why() string {
	if o.example == "" {
		return ""
	}
	return ": " + o.example
}

func (o oddities) notes() (out []string) {
	say := func(n int, format string) {
		if n > 0 {
			out = append(out, fmt.Sprintf(format, n))
		}
	}
	say(o.noOutput, "%d recorded answers have no tokens: they are asked for one")
	say(o.backwards, "%d requests stand in their file behind ones that were recorded later: they are sent in order of "+
		"time")
	say(o.shrunk, "%d turns leave out part of what their stream had said before (a compaction, or another branch)")
	say(o.background, "%d sub-agents have no end that a request of their parent comes after: nothing waits for them")
	if o.unusable > 0 {
		out = append(out, fmt.Sprintf("%d conversations cannot be sent: %s", o.unusable, o.example))
	}
	say(o.open, "%d conversations end with a turn that nobody answered: that turn is left out")
	if o.guessed {
		out = append(out, "lengths of texts are estimated at four characters a token: the server has no tokenizer "+
			"(/tokenize), and TOKENIZER names none")
	}
	say(o.unsaid, fmt.Sprintf("%%d turns do not say how long their answer is: %d tokens are asked for", defaultOutput))
	say(o.models, "%d turns name a model of their own: all are asked of MODEL")
	say(o.chains, "%d agents were recorded among the requests of another: they are streams of their own, by the blocks "+
		"that their prompts share")
	say(o.empty, "%d sub-agents have no request of their own: they are left out")
	say(o.orphans, "%d sub-agents stand before every request of their parent: nobody spawns them, and they are left out")
	return out
}

package batch

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"inferbench/harness/hint"
	"inferbench/harness/matrix"
	"inferbench/harness/textfile"
)

// Folder is a batch folder read back: what its summary says, and the result
// file of every cell that has one.
type Folder struct {
	Dir     string
	Summary Summary
	Cells   []ReadCell // those of the summary, in its order, then any that only have a file
}

// ReadCell is one cell of a folder.
type ReadCell struct {
	matrix.Cell
	Status Status        // empty where the summary does not speak of it
	Took   time.Duration // to the second, as the summary has it
	File   string        // path of the result file; empty where there is none
	Result *Result       // nil where there is no file
}

// Again reports whether a resumed sweep runs the cell again unasked: see
// [Unfinished].
func (c ReadCell) Again() bool {
	switch c.Status {
	case Imported:
		return false
	case Passed:
		return c.Result == nil // nothing stands behind it: its file is gone
	case Failed:
		return c.Result == nil || c.Result.RunAgain
	}
	return true
}

// Summary is what the batch says of itself: plan.json or, before that did,
// summary.txt.
type Summary struct {
	matrix.Combination
	Mode  string
	Time  time.Time // local
	Cells int       // how many cells the batch was to run
	Ended bool      // the last block is there: nothing is being written any more
	lines []ReadCell
}

// Open reads a batch folder. The error names the file, and the line of an older
// batch's summary.txt, that could not be read.
func Open(dir string) (*Folder, error) {
	f := &Folder{Dir: dir}
	var err error
	if f.Summary, err = readState(dir); err != nil {
		return nil, err
	}
	f.Cells = slices.Clone(f.Summary.lines)
	names, err := fs.Glob(os.DirFS(dir), "*.json") // dir itself may hold [ or *
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "server_") || strings.HasPrefix(name, "power_") {
			continue
		}
		p := filepath.Join(dir, name)
		r, err := ReadResult(p)
		if err != nil {
			return nil, err
		}
		if r.Args.MaxConcurrency == 0 { // another file of the folder: a submission, a note
			continue
		}
		f.add(p, r)
	}
	return f, nil
}

// readState reads how far a batch has come: from its plan or, where that does
// not tell (an imported batch, or one of an older version), from its summary.
func readState(dir string) (s Summary, err error) {
	if p, err := ReadPlan(dir); err == nil {
		if s, ok := p.summary(); ok {
			return s, nil
		}
	}
	file := filepath.Join(dir, "summary.txt")
	text, err := textfile.Read(file)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return s, fmt.Errorf("%s: there is no such folder", dir)
		}
		return s, fmt.Errorf("%s: not a batch folder: it has no summary.txt", dir)
	}
	if err != nil {
		return s, err
	}
	if s, err = parseSummary(string(text)); err != nil {
		return s, fmt.Errorf("%s: %w", file, err)
	}
	return s, nil
}

// OpenAll reads several batch folders, named with commas or spaces between
// them. A folder whose own name holds such is taken whole where it stands alone.
func OpenAll(list string) ([]*Folder, error) {
	dirs := strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
	if _, err := os.Stat(list); err == nil {
		dirs = []string{list}
	}
	var out []*Folder
	for _, dir := range dirs {
		f, err := Open(dir)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(out, f.Same); i >= 0 {
			return nil, fmt.Errorf("%s and %s are one folder: a batch counts once", dirs[i], dir)
		}
		out = append(out, f)
	}
	return out, nil
}

// Status returns how the cell of a CONC ended; empty for one that has not.
func (f *Folder) Status(conc int) Status {
	for _, c := range f.Cells {
		if c.Conc == conc {
			return c.Status
		}
	}
	return ""
}

// Same reports whether f and g are one folder, however each is named. One that
// has gone meanwhile is no other's.
func (f *Folder) Same(g *Folder) bool {
	a, errA := os.Stat(f.Dir)
	b, errB := os.Stat(g.Dir)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// add joins a result file to its cell, found by its arguments, not by its
// name: RESULT_FILENAME may have named it.
func (f *Folder) add(file string, r *Result) {
	cell := matrix.Cell{
		Combination: matrix.Combination{ISL: r.Args.RandomInputLen, OSL: r.Args.RandomOutputLen, Scenario: r.Args.Scenario},
		Conc:        r.Args.MaxConcurrency, NumPrompts: r.Args.NumPrompts,
	}
	i := slices.IndexFunc(f.Cells, func(c ReadCell) bool {
		return c.Result == nil && c.Combination == cell.Combination && c.Conc == cell.Conc &&
			(c.Rate == 0 || c.Rate == float64(r.Args.RequestRate))
	})
	if i < 0 {
		f.Cells = append(f.Cells, ReadCell{Cell: cell, Status: r.Status})
		i = len(f.Cells) - 1
	}
	cell.Rate = f.Cells[i].Rate
	f.Cells[i].Cell, f.Cells[i].File, f.Cells[i].Result = cell, file, r
}

// Requests reads the requests of a cell; [fs.ErrNotExist] where none were kept.
func (f *Folder) Requests(cell matrix.Cell) (*Requests, error) {
	return ReadRequests(filepath.Join(f.Dir, RequestsFileName(cell)))
}

// Server reads the looks at the server's metrics of a cell, as they are;
// [fs.ErrNotExist] where none were kept.
func (f *Folder) Server(cell matrix.Cell) ([]byte, error) {
	return os.ReadFile(filepath.Join(f.Dir, ServerFileName(cell)))
}

// Power reads what the GPUs drew in a cell, second by second, likewise.
func (f *Folder) Power(cell matrix.Cell) ([]byte, error) {
	return os.ReadFile(filepath.Join(f.Dir, PowerFileName(cell)))
}

var (
	lengths  = regexp.MustCompile(`^(?:ISL: (\d+), OSL: (\d+)|Scenario: (\S+))$`)
	cellLine = regexp.MustCompile(`^\[(\d+)/(\d+)\] (?:ISL=(\d+) OSL=(\d+)|SCENARIO=(\S+)) ` +
		`CONC=(\d+)(?: REQUEST_RATE=(\S+))?: (PASSED|FAILED|INCOMPLETE|IMPORTED)(?: \((\d+)s\))?$`)
)

// parseSummary reads the text of a summary.txt.
func parseSummary(text string) (Summary, error) {
	var s Summary
	scan := bufio.NewScanner(strings.NewReader(text))
	for n := 1; scan.Scan(); n++ {
		line := scan.Text()
		bad := func(want string) error { return fmt.Errorf("line %d: %q: want %s", n, line, want) }
		switch {
		case n == 1 && line != "Multi-Concurrency Test Results":
			return s, bad("the head line of a batch summary")
		case n == 2:
			m := lengths.FindStringSubmatch(line)
			if m == nil {
				return s, bad("ISL: n, OSL: n")
			}
			s.ISL, s.OSL, s.Scenario = number(m[1]), number(m[2]), m[3]
		case strings.HasPrefix(line, "Mode: "):
			s.Mode = strings.TrimPrefix(line, "Mode: ")
		case strings.HasPrefix(line, "Time: "):
			t, err := time.ParseInLocation(time.ANSIC, strings.TrimPrefix(line, "Time: "), time.Local)
			if err != nil {
				return s, bad("a time such as Tue Nov 25 15:00:00 2025")
			}
			s.Time = t
		case strings.HasPrefix(line, "["):
			m := cellLine.FindStringSubmatch(line)
			if m == nil {
				return s, bad("[1/5] ISL=n OSL=n CONC=n: PASSED (ns)")
			}
			s.Cells = number(m[2])
			s.lines = append(s.lines, ReadCell{
				Cell: matrix.Cell{Conc: number(m[6]), Rate: rateOf(m[7]),
					Combination: matrix.Combination{ISL: number(m[3]), OSL: number(m[4]), Scenario: m[5]}},
				Status: Status(m[8]), Took: time.Duration(number(m[9])) * time.Second,
			})
		case strings.HasPrefix(line, "Total tests: "):
			s.Ended = true
		}
	}
	if s.ISL == 0 && s.Scenario == "" {
		return s, fmt.Errorf("line 2: the file is cut off")
	}
	return s, nil
}

// rateOf reads a request rate; none is 0.
func rateOf(text string) float64 {
	v, _ := strconv.ParseFloat(text, 64)
	return v
}

// number reads digits that a pattern has matched; none is 0.
func number(digits string) int {
	n, _ := strconv.Atoi(digits)
	return n
}

// WriteFile writes a page of the report into the folder, whole or not at all.
func (f *Folder) WriteFile(name string, content []byte) error {
	err := write(f.Dir, name, content)
	if diskFull(err) {
		return hint.New(err, "free some space, then write it anew with make report BATCH="+f.Dir)
	}
	return hint.Folder(err, "RESULTS_DIR")
}

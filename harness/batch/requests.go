package batch

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"

	"inferbench/harness/matrix"
	"inferbench/harness/stats"
)

// A result file holds summary statistics only. What comparing, the report's
// distributions and charts over time need beyond that, every request of a cell,
// lies beside it in requests_isl…_osl…_conc….jsonl.gz: gzipped lines of JSON,
// first a [RequestsHead], then one [requestRow] a request in the order in which
// they were sent. `zcat FILE | jq` or pandas' read_json(lines=True) read it.

// RequestsFormat names the layout of a requests file, in its first line.
const RequestsFormat = "inferbench-requests/1"

// RequestsHead is the first line of a requests file.
type RequestsHead struct {
	Format     string `json:"format"` // RequestsFormat
	ISL        int    `json:"isl"`
	OSL        int    `json:"osl"`
	Conc       int    `json:"conc"`
	DurationNS int64  `json:"duration_ns"` // of the measured run
	Requests   int    `json:"requests"`    // how many lines follow; a file with fewer was cut off
}

// requestRow is one request. Instants are nanoseconds from the start of the
// measured run. Gaps between token chunks are whole microseconds (a chunk's
// arrival is not known better, and a long cell has ten million of them),
// rounded so that their running sum is never off by more than half of one.
type requestRow struct {
	Index    int    `json:"i"`
	SentNS   int64  `json:"sent_ns"`
	WaitedNS int64  `json:"waited_ns,omitempty"` // how long before sent_ns the load shape wanted it sent
	FirstNS  int64  `json:"first_ns"`
	LastNS   int64  `json:"last_ns"`
	DoneNS   int64  `json:"done_ns"`
	Chunks   int    `json:"chunks"`            // that carried tokens
	Bundled  int    `json:"bundled,omitempty"` // of those, chunks that share the instant of the one before
	Input    *int   `json:"input_tokens"`      // null where nobody counted them
	Output   int    `json:"output_tokens"`
	NoUsage  bool   `json:"no_usage,omitempty"` // the token counts are the client's
	Err      string `json:"error,omitempty"`
	Cached   *int   `json:"cached_tokens,omitempty"` // of the input, from the server's prefix cache; absent where it does not tell

	Tiers *stats.Tiers `json:"cached_by_tier,omitempty"` // where those were

	Turn  *stats.Turn `json:"turn,omitempty"`   // its place in a session
	ITLUS []int64     `json:"itl_us,omitempty"` // empty where the run was too large to keep them
}

// RequestsFileName returns the name of the cell's requests file:
// requests_isl1024_osl1024_conc16.jsonl.gz.
func RequestsFileName(cell matrix.Cell) string {
	return "requests_" + cell.FilePart() + ".jsonl.gz"
}

// ServerFileName returns the name of the cell's file of looks at the server's own
// metrics: server_isl1024_osl1024_conc16.json.
func ServerFileName(cell matrix.Cell) string {
	return "server_" + cell.FilePart() + ".json"
}

// PowerFileName returns the name of the cell's file of what its GPUs drew, second
// by second: power_isl1024_osl1024_conc16.json.
func PowerFileName(cell matrix.Cell) string {
	return "power_" + cell.FilePart() + ".json"
}

// WriteRequests writes the cell's requests file from what the load generator
// recorded: every request, failed ones too, and the measured run's duration.
// It streams, so that it needs little memory beyond the timings themselves.
// A cell that is measured again (-count) replaces the file.
func (b *Batch) WriteRequests(cell matrix.Cell, ts []stats.Timing, duration time.Duration) error {
	file := filepath.Join(b.Dir, RequestsFileName(cell))
	if err := writeRequests(file, cell, ts, duration); err != nil {
		return b.advise(fmt.Errorf("write %s: %w", file, err))
	}
	return nil
}

func writeRequests(file string, cell matrix.Cell, ts []stats.Timing, duration time.Duration) error {
	pending, err := renameio.NewPendingFile(file, renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer pending.Cleanup()
	buf := bufio.NewWriterSize(pending, 1<<16)
	zip := gzip.NewWriter(buf)
	enc := json.NewEncoder(zip)
	head := RequestsHead{RequestsFormat, cell.ISL, cell.OSL, cell.Conc, duration.Nanoseconds(), len(ts)}
	if err := enc.Encode(head); err != nil {
		return err
	}
	for _, t := range ts {
		var input, cached *int
		if !t.Prompt.Unknown {
			input = &t.InputTokens
		}
		if t.Prompt.CachedTold {
			cached = &t.Prompt.Cached
		}
		row := requestRow{
			t.Index, t.Sent.Nanoseconds(), t.Waited.Nanoseconds(),
			t.First.Nanoseconds(), t.Last.Nanoseconds(), t.Done.Nanoseconds(),
			t.Chunks, t.Bundled, input, t.OutputTokens, t.NoUsage, t.Err, cached, t.Prompt.Tiers, t.Turn, toMicros(t.ITL),
		}
		if err := enc.Encode(row); err != nil {
			return err
		}
	}
	if err := errors.Join(zip.Close(), buf.Flush()); err != nil {
		return err // a full disk: nothing takes the file's name
	}
	return pending.CloseAtomicallyReplace()
}

// toMicros rounds each gap's end, not the gap, so that errors do not add up.
func toMicros(gaps stats.Gaps) []int64 {
	out := make([]int64, 0, gaps.Len())
	var sum time.Duration
	var told int64
	for g := range gaps.All() {
		sum += g
		now := sum.Round(time.Microsecond).Microseconds()
		out, told = append(out, now-told), now
	}
	return out
}

// Requests are the requests of one cell, read back.
type Requests struct {
	RequestsHead
	Timings []stats.Timing
}

// Duration returns the length of the measured run.
func (r *Requests) Duration() time.Duration { return time.Duration(r.DurationNS) }

// ReadRequests reads a requests file. The error names the line it stopped at
// and satisfies errors.Is(err, fs.ErrNotExist) where there is no such file.
func ReadRequests(file string) (*Requests, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, line, err := readRequests(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: line %d: %w", file, line, err)
	}
	return r, nil
}

func readRequests(f io.Reader) (r *Requests, line int, err error) {
	line = 1
	zip, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		return nil, line, err
	}
	dec := json.NewDecoder(zip)
	r = new(Requests)
	if err := dec.Decode(&r.RequestsHead); err != nil {
		return nil, line, err
	}
	if r.Format != RequestsFormat {
		return nil, line, fmt.Errorf("format is %q: want %s", r.Format, RequestsFormat)
	}
	for line = 2; ; line++ {
		var row requestRow
		err := dec.Decode(&row)
		if err == io.EOF && len(r.Timings) == r.Requests {
			return r, line, nil
		}
		if err == io.EOF {
			err = fmt.Errorf("the file ends after %d of %d requests", len(r.Timings), r.Requests)
		}
		if err != nil {
			return nil, line, err
		}
		r.Timings = append(r.Timings, row.timing())
	}
}

func (row requestRow) timing() stats.Timing {
	t := stats.Timing{
		Index: row.Index, Sent: time.Duration(row.SentNS), Waited: time.Duration(row.WaitedNS),
		First: time.Duration(row.FirstNS), Last: time.Duration(row.LastNS), Done: time.Duration(row.DoneNS),
		Chunks: row.Chunks, Bundled: row.Bundled,
		OutputTokens: row.Output, NoUsage: row.NoUsage, Err: row.Err, Turn: row.Turn,
	}
	if t.Prompt.Unknown = row.Input == nil; row.Input != nil {
		t.InputTokens = *row.Input
	}
	if row.Cached != nil {
		t.Prompt.Cached, t.Prompt.CachedTold = *row.Cached, true
	}
	t.Prompt.Tiers = row.Tiers
	t.ITL.Reserve(len(row.ITLUS))
	for _, us := range row.ITLUS {
		t.ITL.Append(time.Duration(us) * time.Microsecond)
	}
	return t
}

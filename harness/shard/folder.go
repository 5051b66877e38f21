package shard

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/renameio/v2"

	"inferbench/harness/clock"
	"inferbench/harness/hint"
	"inferbench/harness/load"
	"inferbench/harness/stats"
)

// folder is what the shards say to each other: small files in a folder that all
// of them see, each written once and whole. It needs no open port and no
// service, and what happened can be read afterwards.
type folder struct{ Place }

const (
	pollEvery  = 50 * time.Millisecond // a shared folder is asked this often
	beatEvery  = time.Second           // a shard says this often that it lives
	aliveFile  = "alive-%d"            // of shard i: this machine's time, in Unix nanoseconds
	orderFile  = "order-%d.json"       // pass n: what to run, or that the run is over
	readyFile  = "ready-%d-%d"         // pass n, shard i is warmed up
	startFile  = "start-%d"            // pass n: the agreed instant, Unix nanoseconds
	partFile   = "part-%d-%d.gob.gz"   // pass n, shard i: what it recorded
	failedFile = "failed-%d-%d"        // pass n, shard i: why it has none
)

func (f folder) path(name string, of ...any) string {
	return filepath.Join(f.Dir, fmt.Sprintf(name, of...))
}

func (f folder) write(content string, name string, of ...any) error {
	return renameio.WriteFile(f.path(name, of...), []byte(content), 0o644)
}

// claim takes a shard's place. There is no second taker, and none after a first
// that died: the others wait for a run that began with everybody.
func (f folder) claim() error {
	alive, err := os.OpenFile(f.path(aliveFile, f.Index), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("SHARD_DIR=%s has a shard %d already: give each process an index of its own, and each run a "+
			"folder of its own", f.Dir, f.Index)
	}
	if err != nil {
		return hint.Folder(fmt.Errorf("SHARD_DIR: %w", err), "SHARD_DIR")
	}
	return alive.Close()
}

// refresh has the folder looked at anew: a network file system remembers for
// half a minute that a file was not there, and asks again when its folder is
// opened.
func (f folder) refresh() {
	if d, err := os.Open(f.Dir); err == nil {
		d.Close()
	}
}

// read returns a file's content; false where it is not there yet.
func (f folder) read(name string, of ...any) (string, bool, error) {
	b, err := os.ReadFile(f.path(name, of...))
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	return string(b), err == nil, err
}

// beat says that this shard lives, and what its clock shows, until ctx ends.
func (f folder) beat(ctx context.Context, now func() time.Time) {
	for {
		f.write(strconv.FormatInt(now().UnixNano(), 10), aliveFile, f.Index)
		if clock.Sleep(ctx, beatEvery) != nil {
			return
		}
	}
}

// offset returns how far a shard's clock is behind that of the folder, which
// dates a sign of life when it is written. False is a folder that does not tell.
func (f folder) offset(shard int) (time.Duration, bool) {
	file, err := os.Open(f.path(aliveFile, shard))
	if err != nil {
		return 0, false
	}
	defer file.Close()
	info, serr := file.Stat() // of this sign of life, not of the next
	text, rerr := io.ReadAll(file)
	ns, perr := strconv.ParseInt(string(text), 10, 64)
	if errors.Join(serr, rerr, perr) != nil {
		return 0, false
	}
	return info.ModTime().Sub(time.Unix(0, ns)), true
}

// offsets returns how far each shard's clock is behind the leader's; nil where
// that of one is not known.
func (f folder) offsets() []time.Duration {
	out := make([]time.Duration, f.Count)
	for shard := range out {
		var ok bool
		if out[shard], ok = f.offset(shard); !ok {
			return nil
		}
	}
	for shard := range out[1:] {
		out[1+shard] -= out[0]
	}
	out[0] = 0
	return out
}

// pulse watches another shard's signs of life by this process's own clock, so
// that the clocks of two machines need not agree.
type pulse struct {
	last  string
	since time.Time
}

// silent returns how long the shard has given no new sign.
func (p *pulse) silent(f folder, shard int) time.Duration {
	now, _, _ := f.read(aliveFile, shard)
	if now != p.last || p.since.IsZero() {
		p.last, p.since = now, time.Now()
	}
	return time.Since(p.since)
}

// order is what the leader tells the others to do next.
type order struct {
	Over     bool              `json:"over,omitempty"` // no pass follows
	Cell     json.RawMessage   `json:"cell,omitempty"`
	Settings map[string]string `json:"settings,omitempty"` // of the leader, which every shard must have too
}

func (f folder) order(n int) (o order, ok bool, err error) {
	s, ok, err := f.read(orderFile, n)
	if err != nil || !ok {
		return o, false, err
	}
	return o, true, json.Unmarshal([]byte(s), &o)
}

// head is the start of a part's file.
type head struct {
	Rows      int            // timings that follow, one by one
	Recording load.Recording // without them
}

// writePart leaves what this shard recorded: every timing to the nanosecond.
func (f folder) writePart(n int, p Part) error {
	out, err := renameio.NewPendingFile(f.path(partFile, n, p.Index), renameio.WithPermissions(0o644))
	if err != nil {
		return err
	}
	defer out.Cleanup()
	buf := bufio.NewWriter(out)
	zip, _ := gzip.NewWriterLevel(buf, gzip.BestSpeed)
	enc := gob.NewEncoder(zip)
	r := p.Recording
	timings := r.Timings
	r.Timings = nil
	if err := enc.Encode(head{len(timings), r}); err != nil {
		return err
	}
	for _, t := range timings {
		if err := enc.Encode(t); err != nil {
			return err
		}
	}
	if err := errors.Join(zip.Close(), buf.Flush()); err != nil {
		return err // a full disk: nothing takes the file's name
	}
	return out.CloseAtomicallyReplace()
}

func (f folder) readPart(n, shard int) (p Part, err error) {
	file, err := os.Open(f.path(partFile, n, shard))
	if err != nil {
		return p, err
	}
	defer file.Close()
	zip, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return p, fmt.Errorf("%s: %w", file.Name(), err)
	}
	dec := gob.NewDecoder(zip)
	var h head
	if err := dec.Decode(&h); err != nil {
		return p, fmt.Errorf("%s: %w", file.Name(), err)
	}
	p = Part{Index: shard, Recording: h.Recording}
	for i := range h.Rows {
		var t stats.Timing
		if err := dec.Decode(&t); err != nil {
			return p, fmt.Errorf("%s: request %d of %d: %w", file.Name(), i+1, h.Rows, err)
		}
		p.Recording.Timings = append(p.Recording.Timings, t)
	}
	return p, nil
}

package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/settings"
	"inferbench/harness/submit"
	"inferbench/harness/sweep"
	"inferbench/leaderboard/local"
)

// submissions send the cells that pass to the leaderboard while the sweep goes
// on. Nothing that happens to this process loses one: it is on the disk before it
// is sent, and `make resubmit` sends what no board has confirmed.
type submissions struct {
	client *submit.Client
	queue  *submit.Background
	team   string
	said   *words                    // what the client says meanwhile
	given  map[matrix.Cell]bool      // cells that were queued
	passes map[matrix.Cell]int       // that passed so far
	known  map[string]submit.Outcome // by cell's name, once all are dealt with
	err    error                     // of the disk
}

// words keeps lines until there is a place for them: between a benchmark's name
// and its figures there is none.
type words struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

// String is what was said so far.
func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// openSubmissions is nil where the mode asks for none, or for a dry run, which
// is shown at the end. When ctx ends, what is not confirmed stays pending.
func openSubmissions(ctx context.Context, mode settings.Mode, set settings.Settings) (*submissions, error) {
	if mode != settings.ModeSubmit || set.Board.DryRun {
		return nil, nil
	}
	s := &submissions{team: set.Team, said: &words{}, given: map[matrix.Cell]bool{}, passes: map[matrix.Cell]int{}}
	var err error
	if s.client, err = local.Client(set, s.said); err != nil {
		return nil, err
	}
	s.queue = s.client.Background(ctx)
	return s, nil
}

// passed queues a cell whose passes have all passed.
func (s *submissions) passed(sw *sweep.Sweep, c matrix.Cell, count int) {
	if s == nil {
		return
	}
	if s.passes[c]++; s.passes[c] == max(count, 1) {
		s.submit(sw.Batch(c), c)
	}
}

func (s *submissions) submit(b *batch.Batch, c matrix.Cell) {
	if s.given[c] {
		return
	}
	s.given[c] = true
	f, err := figuresOf(b.Dir, s.team, func(r batch.ReadCell) bool { return r.Conc == c.Conc })
	if err == nil && len(f) == 1 {
		_, err = s.queue.Submit(b.Dir, f[0])
	}
	s.err = errors.Join(s.err, err)
}

// finish queues what passed in an earlier run of a resumed batch, waits for what
// is under way, and says what was said meanwhile on w. The error is what a board
// refused or did not confirm.
func (s *submissions) finish(w io.Writer, sw *sweep.Sweep) error {
	if s == nil {
		return nil
	}
	for _, b := range sw.Batches() {
		for _, c := range b.Cells() {
			if b.Status(c) == batch.Passed {
				s.submit(b, c)
			}
		}
	}
	s.queue.Close()
	report, err := s.queue.Wait()
	s.known = map[string]submit.Outcome{}
	for _, o := range report {
		s.known[o.Name()] = o
	}
	err = errors.Join(s.err, err, s.client.Close(), report.Err())
	fmt.Fprint(w, s.said)
	return err
}

// standing is a cell's word for the table and, where it is not confirmed, why.
func (s *submissions) standing(c matrix.Cell) (word, why string) {
	if s == nil {
		return "", ""
	}
	o, ok := s.known[c.Name()]
	if !ok {
		return "", ""
	}
	if o.Reason != "" {
		why = fmt.Sprintf("leaderboard: %s: %s", o.Status, o.Reason)
	}
	return string(o.Status), why
}

// dryRun shows what would be sent of the sweep's batches.
func dryRun(ctx context.Context, sw *sweep.Sweep) error {
	if sw.Mode != settings.ModeSubmit || !sw.Settings.Board.DryRun {
		return nil
	}
	client, err := local.Client(sw.Settings, os.Stdout)
	if err != nil {
		return err
	}
	defer client.Close()
	var all submit.Report
	for _, b := range sw.Batches() {
		report, err := send(ctx, client, b.Dir, sw.Settings.Team)
		if err != nil {
			return err
		}
		all = append(all, report...)
	}
	return all.Err()
}

// SubmitBatch sends a finished batch: the folder is all it needs.
func SubmitBatch(ctx context.Context, client *submit.Client, dir, team string) error {
	report, err := send(ctx, client, dir, team)
	if err != nil {
		return err
	}
	if len(report) == 0 {
		return fmt.Errorf("%s: no cell with performance figures has PASSED: there is nothing to submit", dir)
	}
	return report.Err()
}

func send(ctx context.Context, client *submit.Client, dir, team string) (submit.Report, error) {
	passed, err := figuresOf(dir, team, func(batch.ReadCell) bool { return true })
	if err != nil {
		return nil, err
	}
	return client.Submit(ctx, dir, passed)
}

// figuresOf are the figures of those cells of a batch that passed with some.
func figuresOf(dir, team string, of func(batch.ReadCell) bool) (out []submit.Figures, err error) {
	folder, err := batch.Open(dir)
	if err != nil {
		return nil, err
	}
	for _, c := range folder.Cells {
		if r := c.Result; of(c) && c.Status == batch.Passed && r != nil && r.Performance != nil {
			f, err := submission(c)
			if err != nil {
				return nil, err
			}
			f.Team = team
			out = append(out, f)
		}
	}
	return out, nil
}

// submission is what a cell that passed submits. What its accuracy lacks is zero,
// which no board takes.
func submission(c batch.ReadCell) (f submit.Figures, err error) {
	r := c.Result
	f = submit.Figures{ISL: c.ISL, OSL: c.OSL, Conc: c.Conc,
		E2EMs: value(r.Performance.E2EL.Median), TputPerGPU: value(r.Performance.TputPerGPU),
		BaselineE2EMs: value(r.Baseline.MedianE2E), BaselineTputPerGPU: value(r.Baseline.TputPerGPU),
		Embedded: r.Args.Embedded(), ClientLimited: r.ClientLimited, Marks: marks(r), ResultFile: filepath.Base(c.File)}
	var measured accuracy.Result
	var verdict accuracy.Verdict
	for _, part := range []struct {
		key string
		raw json.RawMessage
		to  any
	}{{"accuracy", r.Accuracy, &measured}, {"accuracy_validation", r.Validation, &verdict}} {
		if err := json.Unmarshal(part.raw, part.to); err != nil {
			return f, fmt.Errorf("%s: %s: %w", c.File, part.key, err)
		}
	}
	f.Interactivity, f.BaselineInteractivity = value(r.Performance.Interactivity), value(r.Baseline.Interactivity)
	if strings.HasPrefix(measured.Task, "gsm8k") {
		share := measured.Figure("exact_match_flexible")
		f.GSM8K = &share
	}
	for name, to := range map[string]*float64{"bits_per_byte": &f.BitsPerByte, "byte_perplexity": &f.BytePerplexity,
		"word_perplexity": &f.WordPerplexity} {
		*to = measured.Figure(name)
	}
	f.Passed = verdict.Status == accuracy.Passed
	return f, nil
}

// marks are the words of a result's marks.
func marks(r *batch.Result) []string {
	var out []string
	for _, m := range r.Marks {
		out = append(out, string(m))
	}
	return out
}

func value(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

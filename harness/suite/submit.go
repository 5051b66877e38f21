package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/settings"
	"inferbench/harness/submit"
	"inferbench/harness/sweep"
	"inferbench/leaderboard/local"
)

// submitAll sends what the sweep's batches hold to the leaderboard, batch by
// batch, where the mode asks for it. Cells that did not pass are left out here,
// with their reason in the table; what a board refuses or never confirms is an
// error.
func submitAll(ctx context.Context, sw *sweep.Sweep) error {
	if sw.Mode != settings.ModeSubmit {
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
	folder, err := batch.Open(dir)
	if err != nil {
		return nil, err
	}
	var passed []submit.Figures
	for _, c := range folder.Cells {
		if r := c.Result; c.Status == batch.Passed && r != nil && r.Performance != nil {
			f, err := submission(c)
			if err != nil {
				return nil, err
			}
			f.Team = team
			passed = append(passed, f)
		}
	}
	return client.Submit(ctx, dir, passed)
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
	for name, to := range map[string]*float64{"bits_per_byte": &f.BitsPerByte, "byte_perplexity": &f.BytePerplexity, "word_perplexity": &f.WordPerplexity} {
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

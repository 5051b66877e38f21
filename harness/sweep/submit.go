package sweep

import (
	"context"

	"inferbench/harness/accuracy"
	"inferbench/harness/batch"
	"inferbench/harness/board"
	"inferbench/harness/matrix"
)

// Submit sends what the sweep measured to the leaderboard, batch by batch. Cells
// that did not pass are left out here, with their reason in the table; what a
// board refuses or never confirms is an error.
func (sw *Sweep) Submit(ctx context.Context, client *board.Client) error {
	byCombination := map[matrix.Combination][]board.Figures{}
	for _, c := range sw.cells {
		if f, ok := sw.figures(c); ok {
			byCombination[c.Combination] = append(byCombination[c.Combination], f)
		}
	}
	var all board.Report
	for _, combo := range sw.Settings.Selection.Combinations() {
		if len(byCombination[combo]) == 0 {
			continue
		}
		report, err := client.Submit(ctx, sw.batches[combo].Dir, byCombination[combo])
		if err != nil {
			return err
		}
		all = append(all, report...)
	}
	return all.Err()
}

// figures is what the cell submits; false where it did not pass.
func (sw *Sweep) figures(c matrix.Cell) (board.Figures, bool) {
	st := sw.states[c]
	r := st.result
	if r == nil || r.Status != batch.Passed || r.Performance == nil || st.accuracy.Result == nil || st.accuracy.Result.Metrics == nil { // a board takes perplexities
		return board.Figures{}, false
	}
	f := board.Figures{Team: sw.Settings.Team, ISL: c.ISL, OSL: c.OSL, Conc: c.Conc,
		E2EMs: value(r.Performance.E2EL.Median), TputPerGPU: r.Performance.TputPerGPU,
		BaselineE2EMs: value(r.Baseline.MedianE2E), BaselineTputPerGPU: value(r.Baseline.TputPerGPU),
		BitsPerByte: st.accuracy.Result.BitsPerByte, BytePerplexity: st.accuracy.Result.BytePerplexity, WordPerplexity: st.accuracy.Result.WordPerplexity,
		Passed: st.accuracy.Verdict.Status == accuracy.Passed, Embedded: sw.Target.Loopback,
		ClientLimited: r.ClientLimited, ResultFile: sw.Settings.ResultFilename}
	if f.ResultFile == "" {
		f.ResultFile = c.FileName()
	}
	return f, true
}

func value(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

package sweep

import (
	"inferbench/harness/batch"
	"inferbench/harness/scrape"
	"inferbench/harness/server"
)

// speculationOf completes what a result says of speculation. A server that
// accepts guesses at a set length writes a text that is not the model's, and is
// marked.
func speculationOf(r *batch.Result, about server.About, seen *scrape.Report) {
	sum := r.Performance
	if about.Synthetic {
		r.Mark(batch.Synthetic)
	}
	if seen == nil || seen.Speculation == nil {
		return
	}
	sum.Speculation = seen.Speculation
	sum.Speculation.Synthetic = about.Synthetic
	if about.SyntheticLength > 0 {
		sum.Speculation.SyntheticLength = &about.SyntheticLength
	}
	steps := sum.OutputThroughput / float64(max(r.Args.TP, 1)) / *sum.Speculation.AcceptanceLength
	sum.StepsPerGPU = &steps
}

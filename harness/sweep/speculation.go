package sweep

import (
	"inferbench/harness/batch"
	"inferbench/harness/scrape"
)

// speculationOf completes what a result says of speculation.
func (sw *Sweep) speculationOf(r *batch.Result, seen *scrape.Report) {
	sum := r.Performance
	if seen == nil || seen.Speculation == nil {
		return
	}
	sum.Speculation = seen.Speculation
	sum.Speculation.Synthetic = sw.synthetic()
	if n := sw.Target.About.SyntheticLength; n > 0 {
		sum.Speculation.SyntheticLength = &n
	}
	if length := sum.Speculation.AcceptanceLength; length != nil {
		steps := sum.OutputThroughput / float64(max(r.Args.TP, 1)) / *length
		sum.StepsPerGPU = &steps
	}
}

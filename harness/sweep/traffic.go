package sweep

import (
	"net/http"

	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/workload"
)

// plan is what the settings ask to send in a cell, and how.
func (sw *Sweep) plan(c matrix.Cell) load.Plan {
	s, tr := sw.Settings, sw.Settings.Traffic
	n := c.NumPrompts
	if tr.Duration > 0 && s.Selection.NumPrompts == 0 {
		n = workload.Endless
	}
	warm := 2 * c.Conc
	if s.WarmUp != nil {
		warm = *s.WarmUp
	}
	return load.Plan{
		Workload: workload.Spec{Kind: tr.Dataset, Path: tr.DatasetPath, N: n, ISL: c.ISL, OSL: c.OSL,
			RangeRatio: sw.rangeRatio(), Seed: s.Seed, SharedPrefix: tr.SharedPrefix, Prefixes: tr.Prefixes},
		Options: load.Options{Conc: c.Conc, WarmUp: warm, RequestTimeout: s.RequestTimeout,
			Shape: load.Shape{Rate: tr.Rate, Burstiness: tr.Burstiness, Uncapped: tr.Uncapped,
				RampUp: tr.RampUp, Duration: tr.Duration, Trace: tr.Trace, Seed: s.Seed},
			Chat: tr.Chat, Headers: http.Header(tr.Headers), ExtraBody: tr.ExtraBody, SLO: tr.SLO,
			OnProgress: func(p load.Progress) { sw.Watch.Serving(c, p) }},
	}
}

// rangeRatio is 1 where prompts come from a file as they are.
func (sw *Sweep) rangeRatio() float64 {
	if sw.Settings.Traffic.DatasetPath != "" {
		return 1
	}
	return sw.Settings.RandomRangeRatio
}

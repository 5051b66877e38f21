package sweep

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"

	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// pass is one run of a cell: with -count a cell has several.
type pass struct {
	Cell     matrix.Cell
	Number   int       // from 0
	Canaries *Canaries `json:",omitempty"` // nil: none
}

// seed is what the pass's prompts are drawn with. No two passes of a sweep
// share a prompt: a server that keeps a prefix cache would answer the later one
// from it, and its prefill would look faster than it is.
func (p pass) seed(seed int64) int64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "%d %s %d", seed, p.Cell.Name(), p.Number)
	return int64(h.Sum64() >> 1)
}

// plan is what the settings ask to send in a pass, and how.
func (sw *Sweep) plan(p pass) load.Plan {
	c, s := p.Cell, sw.Settings
	w, shape := s.Workload, s.Shape
	seed := w.Seed
	if !sw.kind().OneSeed {
		seed = p.seed(seed)
	}
	n := c.NumPrompts
	if sw.Settings.Endless() {
		n = workload.Endless
	}
	warm := 2 * c.Conc
	if w.WarmUp != nil {
		warm = *w.WarmUp
	}
	var enough func(int, func() []stats.Timing) bool
	if pr := sw.probing; pr != nil && pr.cell == c && s.Replay.Kind == nil {
		enough = pr.enough(shape.Limits, shape.SLO)
	}
	return load.Plan{
		Workload: workload.Spec{Kind: sw.kind(), Path: w.Path, N: n, ISL: c.ISL, OSL: c.OSL,
			RangeRatio: sw.rangeRatio(), Seed: seed, TraceUnit: shape.TraceUnit,
			SharedPrefix: w.SharedPrefix, Prefixes: w.Prefixes},
		Options: load.Options{Conc: c.Conc, WarmUp: warm, RequestTimeout: s.Server.RequestTimeout,
			Shape: load.Shape{Rate: cmp.Or(c.Rate, shape.Rate), Burstiness: shape.Burstiness, Uncapped: shape.Uncapped,
				RampUp: shape.RampUp, Duration: shape.Duration, Trace: shape.Trace, Seed: w.Seed},
			Chat: w.Chat, Temperature: w.Temperature, ExtraBody: w.ExtraBody, SLO: shape.SLO, Enough: enough,
			LiveITL:    s.Results.Metrics.Asked(),
			OnProgress: func(p load.Progress) { sw.Watch.Serving(c, p) }},
	}
}

// kind is the kind of data set that is sent. To a server that takes no token ids
// the random ones are sent as random words.
func (sw *Sweep) kind() *workload.Kind {
	k := sw.Settings.Workload.Dataset
	if k == nil {
		k = workload.Kinds[0]
	}
	if sw.Target.TextOnly && !sw.Settings.Workload.Chat && k.InWords != nil {
		return k.InWords
	}
	return k
}

// inWords is the note on prompts that are sent in words, not as the settings have
// it; "" where they are.
func (sw *Sweep) inWords() string {
	if k := sw.kind(); k != sw.Settings.Workload.Dataset && sw.Settings.Workload.Dataset != nil {
		return fmt.Sprintf("the server takes prompts as text alone: DATASET=%s is sent in its place", k)
	}
	return ""
}

// rangeRatio is 1 where prompts come from a file as they are.
func (sw *Sweep) rangeRatio() float64 {
	if sw.Settings.Workload.Path != "" {
		return 1
	}
	return sw.Settings.Workload.RangeRatio
}

// unlike says in what the traffic differs from a closed loop of random prompts.
func (sw *Sweep) unlike(c matrix.Cell) []string {
	var out []string
	w, shape := sw.Settings.Workload, sw.Settings.Shape
	rate := cmp.Or(c.Rate, shape.Rate)
	for what, differs := range map[string]bool{
		"DATASET is " + sw.kind().Name:                                 !sw.kind().Standard,
		fmt.Sprintf("TEMPERATURE is %g", w.Temperature):                w.Temperature > 0,
		"ENDPOINT is chat":                                             w.Chat,
		fmt.Sprintf("SHARED_PREFIX is %g", w.SharedPrefix):             w.SharedPrefix > 0,
		fmt.Sprintf("REQUEST_RATE is %g", rate):                        rate > 0,
		"the load follows a TRACE":                                     shape.Trace,
		fmt.Sprintf("the run is bound by DURATION=%s", shape.Duration): shape.Duration > 0,
		fmt.Sprintf("the load takes %s to RAMP_UP", shape.RampUp):      shape.RampUp > 0,
	} {
		if differs {
			out = append(out, what)
		}
	}
	slices.Sort(out)
	return out
}

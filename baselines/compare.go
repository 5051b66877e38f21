package baselines

import "strings"

// Comparison is one cell's figures beside a hardware baseline's. The ratios are
// ours / theirs: throughput above 1 is better, latency below 1 is better. The
// pointers are nil where the baseline has no point for the cell, or where we
// have no figure.
type Comparison struct {
	Name          string   `json:"name"` // of the baseline
	Hardware      string   `json:"hardware"`
	MedianE2E     *float64 `json:"median_e2e_ms"`
	Interactivity *float64 `json:"median_interactivity_tok_s_user"`
	TputPerGPU    *float64 `json:"tput_per_gpu_tok_s"`
	E2ERatio      *float64 `json:"median_e2e_ratio"`
	TputRatio     *float64 `json:"tput_per_gpu_ratio"`
	IntvtyRatio   *float64 `json:"interactivity_ratio"`

	// WorkloadMatch is false where the two were not measured on the same
	// lengths or divided by the same number of GPUs; Differences says what
	// differs. It is nil where the baseline has no point for the cell.
	WorkloadMatch *bool    `json:"baseline_workload_match"`
	Differences   []string `json:"baseline_workload_differences,omitempty"`

	of *Hardware // for [Comparison.Flat]; nil in a comparison that was read back
}

// Run is what a cell was and what it measured, as far as a hardware baseline
// has something to say about it. Figures of 0 or below count as not measured.
type Run struct {
	ISL, OSL, Conc   int
	RandomRangeRatio float64
	GPUs             int
	MedianE2E        float64 // ms
	TputPerGPU       float64 // input and output tokens, tok/s
	Interactivity    float64 // tok/s/user

	// Models are the names that the server gives its model; none where that says nothing.
	Models []string

	// Unlike says in what else, besides lengths and GPUs, the run differs from
	// the closed loop of random prompts that hardware baselines are measured
	// with.
	Unlike []string
}

// Compare lays a run beside the baseline.
func (h *Hardware) Compare(r Run) Comparison {
	c := Comparison{Name: h.Name, Hardware: h.Hardware, of: h}
	p, ok := h.Point(r.ISL, r.OSL, r.Conc)
	if !ok {
		return c
	}
	c.MedianE2E, c.TputPerGPU = &p.MedianE2E, &p.TputPerGPU
	if p.Interactivity > 0 {
		c.Interactivity = &p.Interactivity
	}
	c.Differences = append(h.Differences(r.RandomRangeRatio, r.GPUs), r.Unlike...)
	if len(r.Models) > 0 && !h.IsModel(r.Models...) {
		c.Differences = append(c.Differences, h.OtherModel(r.Models[0]))
	}
	match := len(c.Differences) == 0
	c.WorkloadMatch = &match
	if Positive(r.MedianE2E) {
		ratio := r.MedianE2E / p.MedianE2E
		c.E2ERatio = &ratio
	}
	if Positive(r.TputPerGPU) {
		ratio := r.TputPerGPU / p.TputPerGPU
		c.TputRatio = &ratio
	}
	if Positive(r.Interactivity) && c.Interactivity != nil {
		ratio := r.Interactivity / p.Interactivity
		c.IntvtyRatio = &ratio
	}
	return c
}

// Flat returns the comparison under the keys of the competition, in both of its
// forms: the first, named after the hardware (b200_baseline_nv1126,
// tput_per_gpu_ratio_vs_b200_1126), and the later one, which says "baseline" in
// its place and has interactivity too. Where the baseline has no such cell the
// sections and ratios are null. It is for writing: a comparison that was read
// back has no keys.
func (c Comparison) Flat() map[string]any {
	h := c.of
	if h == nil {
		return nil
	}
	flat := map[string]any{
		"tput_per_gpu_ratio_vs_" + h.KeyPrefix + "_" + h.KeySuffix: c.TputRatio,
		"median_e2e_ratio_vs_" + h.KeyPrefix + "_" + h.KeySuffix:   c.E2ERatio,
		"tput_per_gpu_ratio_vs_baseline_" + h.KeySuffix:            c.TputRatio,
		"median_e2e_ratio_vs_baseline_" + h.KeySuffix:              c.E2ERatio,
		"interactivity_ratio_vs_baseline_" + h.KeySuffix:           c.IntvtyRatio,
		"baseline_workload_match":                                  c.WorkloadMatch,
	}
	first, later := h.ResultKey, strings.TrimPrefix(h.ResultKey, h.KeyPrefix+"_")
	flat[first], flat[later] = nil, nil
	if c.MedianE2E != nil {
		flat[later] = map[string]any{"baseline_median_e2e_" + h.KeySuffix: c.MedianE2E,
			"baseline_tput_pergpu_" + h.KeySuffix: c.TputPerGPU, "baseline_median_intvty_" + h.KeySuffix: c.Interactivity}
		flat[first] = map[string]any{h.KeyPrefix + "_median_e2e_" + h.KeySuffix: c.MedianE2E, h.KeyPrefix + "_tput_pergpu_" +
			h.KeySuffix: c.TputPerGPU}
	}
	return flat
}

package baselines_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
)

func TestCompare(t *testing.T) {
	h, err := baselines.LoadHardware(baselines.DefaultHardware)
	require.NoError(t, err)
	c := h.Compare(baselines.Run{ISL: 1024, OSL: 1024, Conc: 16, RandomRangeRatio: 1, GPUs: 8, MedianE2E: 2 * 10407, TputPerGPU: 344.564, Interactivity: 2 * 83.567, Unlike: []string{"DATASET is text"}})
	assert.Equal(t, 2.0, *c.E2ERatio)
	assert.Equal(t, 1.0, *c.TputRatio)
	assert.False(t, *c.WorkloadMatch)
	assert.Equal(t, []string{"RANDOM_RANGE_RATIO is 1, the baseline's is 0.8", "DATASET is text"}, c.Differences)

	flat, err := json.Marshal(c.Flat())
	require.NoError(t, err)
	assert.JSONEq(t, `{"b200_baseline_nv1126": {"b200_median_e2e_1126": 10407, "b200_tput_pergpu_1126": 344.564},
		"tput_per_gpu_ratio_vs_b200_1126": 1, "median_e2e_ratio_vs_b200_1126": 2, "baseline_workload_match": false,
		"baseline_nv1126": {"baseline_median_e2e_1126": 10407, "baseline_tput_pergpu_1126": 344.564, "baseline_median_intvty_1126": 83.567},
		"tput_per_gpu_ratio_vs_baseline_1126": 1, "median_e2e_ratio_vs_baseline_1126": 2, "interactivity_ratio_vs_baseline_1126": 2}`, string(flat))

	c = h.Compare(baselines.Run{ISL: 1024, OSL: 1024, Conc: 16, RandomRangeRatio: 0.8, GPUs: 8})
	assert.True(t, *c.WorkloadMatch)
	assert.Nil(t, c.E2ERatio, "no figure, no ratio")

	c = h.Compare(baselines.Run{ISL: 5, OSL: 5, Conc: 5, MedianE2E: 1, TputPerGPU: 1})
	assert.Nil(t, c.WorkloadMatch)
	flat, err = json.Marshal(c.Flat())
	require.NoError(t, err)
	assert.JSONEq(t, `{"b200_baseline_nv1126": null, "baseline_nv1126": null,
		"tput_per_gpu_ratio_vs_b200_1126": null, "median_e2e_ratio_vs_b200_1126": null, "baseline_workload_match": null,
		"tput_per_gpu_ratio_vs_baseline_1126": null, "median_e2e_ratio_vs_baseline_1126": null, "interactivity_ratio_vs_baseline_1126": null}`, string(flat))
}

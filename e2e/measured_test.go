package e2e

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// sampler stands for nvidia-smi, with so many GPUs that draw 500 W each, and returns
// the folder that it lies in.
func sampler(t *testing.T, gpus int) string {
	t.Helper()
	dir := t.TempDir()
	rows := ""
	for gpu := range gpus {
		rows += fmt.Sprintf(`echo "$now, %d, 500.00 W, 61, 1980 MHz, 2619 MHz, 98 %%, 45 %%"; `, gpu)
	}
	script := "#!/bin/sh\necho 'timestamp, index, power.draw [W], temperature.gpu, clocks.current.sm [MHz], " +
		"clocks.current.memory [MHz], utilization.gpu [%], utilization.memory [%]'\n" +
		`while :; do now=$(date +"%Y/%m/%d %H:%M:%S.%3N"); ` + rows + "sleep 0.2; done\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "nvidia-smi"), []byte(script), 0o755))
	return dir
}

// A sweep with all that is known of the server beside it: power, ranks, a profile,
// prompts through the chat template.
func TestWhatTheServerDidIsMeasured(t *testing.T) {
	for _, gpus := range []int{8, 2} {
		env := []string{"PATH=" + sampler(t, gpus) + ":" + os.Getenv("PATH"), "ENDPOINT=chat", "PROFILE=2", "ENGINE_RANKS=2",
			"SCRAPE_EVERY=20ms"}
		exit, dir, out := finish(t, env, "-isl", "64", "-osl", "8", "-conc", "2", "-num-prompts", "200", "-acc-task", "none")
		require.Zero(t, exit, out)
		r := result(t, dir, "result_isl64_osl8_conc2.json")
		assert.EqualValues(t, 200, r["successful_requests"], "those of the profile are not among them")
		assert.EqualValues(t, 200*64, r["server_input_tokens"])
		assert.EqualValues(t, 0, r["input_token_offset"])
		args := r["benchmark_args"].(map[string]any)
		assert.Equal(t, "/v1/chat/completions", args["endpoint"])
		assert.EqualValues(t, 2, args["server"].(map[string]any)["dp"])
		assert.Len(t, r["server_metrics"].(map[string]any)["ranks"], 2)
		notes := fmt.Sprint(r["notes"])
		assert.Contains(t, notes, "a profile was taken of 2 requests")

		power := r["power"].(map[string]any)
		assert.EqualValues(t, gpus, power["gpus"])
		if gpus != 8 {
			assert.Equal(t, false, power["valid"])
			assert.Nil(t, power["joules_per_output_token"])
			assert.Contains(t, notes, "power was not measured (nvidia-smi): 2 GPUs were sampled, but TP is 8")
			continue
		}
		require.Equal(t, true, power["valid"], power)
		assert.InDelta(t, 500, power["avg_power_w"], 1e-6)
		joules := 8 * 500 * r["benchmark_duration"].(float64)
		assert.InEpsilon(t, joules, power["total_gpu_energy_j"], 1e-6)
		assert.InEpsilon(t, joules/(200*8), power["joules_per_output_token"], 1e-6)
		assert.Contains(t, batchFile(t, dir, "summary.md"), "J/token")

		export := exec.Command(command, "export", theBatch(t, dir))
		export.Dir = dir
		table, err := export.Output()
		require.NoError(t, err)
		rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
		require.NoError(t, err)
		assert.True(t, slices.Contains(rows[0], "power.joules_per_output_token"), rows[0])
	}
}

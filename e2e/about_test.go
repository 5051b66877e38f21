package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
)

// A result says whose server it was, and throughput is divided by the GPUs that
// the server has, not by a default.
func TestWhoseServerItWas(t *testing.T) {
	for _, dialect := range []engine.Dialect{engine.Both, engine.VLLM} {
		e, err := engine.Start(engine.Config{GPUs: 2, Dialect: dialect})
		require.NoError(t, err)
		defer e.Close()
		env := []string{"BASE_URL=" + e.URL(), "LABEL=two GPUs, cold", "NOTES=after the driver's update"}
		exit, dir, out := finish(t, env, append(small, "-test.run=TestServing")...)
		require.Zero(t, exit, out)
		r := result(t, dir, "result_isl16_osl8_conc1.json")
		args := r["benchmark_args"].(map[string]any)
		about := args["server"].(map[string]any)
		assert.EqualValues(t, 2, about["gpus"], "dialect %q", dialect)
		assert.EqualValues(t, 2, args["tp"], "the default of 8 does not survive")
		assert.InEpsilon(t, r["total_token_throughput"].(float64)/2, r["tput_per_gpu"], 1e-9)
		assert.NotEmpty(t, about["flags"])
		assert.Equal(t, []any{"two GPUs, cold", "after the driver's update"}, []any{args["label"], args["notes"]})
		for _, shown := range []string{out, batchFile(t, dir, "summary.md"), batchFile(t, dir, "report.html")} {
			assert.Contains(t, shown, "two GPUs, cold")
		}

		exit, _, out = finish(t, env, append(small, "-test.run=TestServing", "-tp=4")...)
		assert.NotZero(t, exit)
		assert.Contains(t, out, "TP=4, but the server says that it runs on 2 GPUs: set TP=2, or leave TP out\n")
	}
}

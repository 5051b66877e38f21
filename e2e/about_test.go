package e2e

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
	"inferbench/harness/engine/schedule"
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

// What the engine guessed ahead is in the result, by either server's counters,
// and agrees with what came in the stream: a chunk a step.
func TestSpeculationIsInTheResult(t *testing.T) {
	for _, dialect := range []engine.Dialect{engine.VLLM, engine.Both, engine.SGLang} {
		e, err := engine.Start(engine.Config{Dialect: dialect, Tune: func(p *schedule.Profile) { p.Limits.SpecTokens, p.Limits.SpecAccept = 3, 0.6 }})
		require.NoError(t, err)
		defer e.Close()
		exit, dir, out := finish(t, []string{"BASE_URL=" + e.URL(), "ACC_TASK=none"},
			"-test.run=TestServing", "-isl", "16", "-osl", "64", "-conc", "4", "-num-prompts", "100")
		require.Zero(t, exit, out)
		r := result(t, dir, "result_isl16_osl64_conc4.json")
		spec := r["spec_decode"].(map[string]any)
		assert.Greater(t, spec["acceptance_length"], 1.5)
		assert.Less(t, spec["acceptance_length"], 3.0)
		assert.InDelta(t, r["tokens_per_chunk"], spec["acceptance_length"], 0.25, "dialect %q: but for first tokens and those cut off at the end", dialect)
		assert.InEpsilon(t, r["output_throughput"].(float64)/r["benchmark_args"].(map[string]any)["tp"].(float64)/spec["acceptance_length"].(float64), r["steps_per_s_per_gpu"], 1e-9)
		assert.Equal(t, false, spec["synthetic"])
		assert.Contains(t, batchFile(t, dir, "report.html"), "acceptance length")
		if dialect != engine.SGLang {
			assert.Len(t, spec["per_position"], 3)
			assert.InDelta(t, 0.6, spec["per_position"].([]any)[0], 0.1)
		}
	}
}

// The pages of several workers are read as one server's, each rank keeps its own
// series, and a page that is not there is said.
func TestSeveralMetricsPages(t *testing.T) {
	busy, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	defer busy.Close()
	idle, err := engine.Start(engine.Config{})
	require.NoError(t, err)
	defer idle.Close()
	run := func(urls string) map[string]any {
		exit, dir, out := finish(t, []string{"BASE_URL=" + busy.URL(), "ACC_TASK=none", "METRICS_URLS=" + urls},
			"-test.run=TestServing", "-isl", "64", "-osl", "64", "-conc", "4", "-num-prompts", "200", "-scrape-every", "20ms")
		require.Zero(t, exit, out)
		return result(t, dir, "result_isl64_osl64_conc4.json")
	}
	r := run(busy.URL() + "/metrics, " + idle.URL() + "/metrics")
	seen := r["server_metrics"].(map[string]any)
	assert.EqualValues(t, 4, seen["max_running"])
	assert.Len(t, seen["ranks"], 2)
	assert.EqualValues(t, 2, seen["balance"], "one of two did all the work")
	assert.Equal(t, r["successful_requests"], seen["server_ttft_requests"])

	r = run(busy.URL() + "/metrics," + idle.URL() + "/no-metrics")
	assert.Len(t, r["server_metrics"].(map[string]any)["missing"], 1, "the page that answers is read all the same")
	assert.Contains(t, fmt.Sprint(r["notes"]), "these did not answer, and no figure has theirs: GET "+idle.URL()+"/no-metrics: HTTP 404")
}

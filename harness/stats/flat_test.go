package stats_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
)

// A summary's text is the contract of result files: keys, their order, and that
// what is written is read back whole.
func TestSummaryIsFlat(t *testing.T) {
	var ts []stats.Timing
	for i := range 4 { // two at a time, so that there is a steady part
		at := time.Duration(i/2) * 40 * msec
		ts = append(ts, stats.Timing{Index: i, Sent: at, Waited: msec, First: at + 10*msec, Last: at + 40*msec, Done: at + 40*msec,
			ITL: stats.NewGaps(10*msec, 20*msec), Chunks: 3, InputTokens: 100, OutputTokens: 4,
			Prompt: stats.Prompt{Sent: 100, Counted: true, Server: 101}, Known: stats.Known{First: 1, ITL: stats.NewGaps(10*msec, 10*msec, 10*msec)}})
	}
	s := stats.Run{Timings: ts, Duration: 80 * msec, GPUs: 2, SLO: stats.SLO{"ttft": 500}, InputOffset: stats.Offset{Known: true, Tokens: 1}}.Summary()
	require.NotNil(t, s.Steady)
	b, err := json.Marshal(s)
	require.NoError(t, err)

	latency := func(name string) string {
		return strings.ReplaceAll("mean_X_ms median_X_ms std_X_ms p90_X_ms p95_X_ms p99_X_ms p99.9_X_ms max_X_ms", "X", name)
	}
	inOrder(t, keysOf(t, b), "successful_requests failed_requests benchmark_duration total_input_tokens total_generated_tokens "+
		"request_throughput output_throughput total_token_throughput tput_per_gpu interactivity "+
		latency("ttft")+" "+latency("tpot")+" "+latency("itl")+" "+latency("e2el")+" "+latency("itl_per_token")+
		" itl_percentiles token_counts_from input_tokens_from server_input_tokens input_token_offset tokens_per_chunk untimed_tokens "+
		"mean_client_wait_ms median_client_wait_ms p99_client_wait_ms max_client_wait_ms "+
		"goodput_slos_ms request_goodput slo_attainment slo_attainment_by_metric steady_state")
	var sections map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(b, &sections))
	inOrder(t, keysOf(t, sections["steady_state"]), "in_flight requests start_s duration_s output_throughput total_token_throughput tput_per_gpu "+
		latency("ttft")+" "+latency("tpot")+" "+latency("e2el")+" head tail")

	var back stats.Summary
	require.NoError(t, json.Unmarshal(b, &back))
	assert.Equal(t, s, back)
}

// inOrder requires keys to hold those that users have known since the first
// version, in their order; later ones may stand between them.
func inOrder(t *testing.T, keys []string, known string) {
	t.Helper()
	want := strings.Fields(known)
	assert.Equal(t, want, slices.DeleteFunc(keys, func(k string) bool { return !slices.Contains(want, k) }))
}

func keysOf(t *testing.T, object []byte) (keys []string) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(object)))
	_, err := dec.Token()
	require.NoError(t, err)
	for dec.More() {
		key, err := dec.Token()
		require.NoError(t, err)
		keys = append(keys, key.(string))
		var value json.RawMessage
		require.NoError(t, dec.Decode(&value))
	}
	return keys
}

package convert

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
)

// Whatever a file holds, reading it ends in an error at a line of it, or in
// runs whose results can be written and read back.
func FuzzImport(f *testing.F) {
	samples, err := filepath.Glob("testdata/*.json*")
	require.NoError(f, err)
	for _, s := range samples {
		b, err := os.ReadFile(s)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte("{\"x\":[NaN,NaN,NaN,NaN,NaN]}\n{}"))
	f.Add([]byte(`{"request_throughput":{"avg":1},"request_latency":{"unit":"ms","p50":3},"request_count":{"avg":9},"total_isl":{"avg":576},"benchmark_duration":{"avg":2},"total_osl":{"avg":99},"input_config":{"phases":[{"kind":"profiling","concurrency":4}],"datasets":[{"prompts":{"isl":{"mean":64}}}]}}`))
	f.Add([]byte("benchmarks:\n- config: {strategy: {streams: 3}}\n  metrics: {request_latency: {successful: {count: 2, mean: .inf}}, tokens_per_second: {total: {mean: 7}}}\nmetadata: {}\n"))
	f.Add([]byte("Metric,avg,p50\nRequest Latency (ms),1,2\n\nMetric,Value\nRequest Throughput (requests/sec),3\nOutput Token Throughput (tokens/sec),4\n"))
	f.Add([]byte("Run Info,Benchmark,Request Latency\nBackend,Strategy,Successful Sec\n,,Percentiles\n{},poisson@2,\"[1,2,3,4,5,6,7,8,9,10,11]\"\n"))
	f.Add([]byte("benchmarks:\n-\nmetadata:"))
	f.Fuzz(func(t *testing.T, b []byte) {
		runs, _, line, err := content(b, Hints{Model: "m", ISL: 64, OSL: 16, TP: 8, RangeRatio: 1, Conc: 2})
		require.GreaterOrEqual(t, line, 1)
		if err != nil {
			return
		}
		for _, r := range runs {
			j, err := json.Marshal(r.Result)
			require.NoError(t, err)
			var back batch.Result
			require.NoError(t, json.Unmarshal(j, &back))
			require.NotNil(t, back.Performance)
			require.Positive(t, r.cell().Conc)
			require.GreaterOrEqual(t, r.Duration, time.Duration(0))
		}
	})
}

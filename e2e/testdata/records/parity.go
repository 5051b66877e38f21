package records

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/aclements/go-moremath/stats"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/require"

	"inferbench/harness/load"
	"inferbench/harness/server"
	"inferbench/harness/workload"
)

// Cell is a closed loop of random ids that is run again and again.
type Cell struct {
	N, ISL, OSL, Conc int
	Text              bool // words in place of ids
}

// Means is what a client measured, mean by figure, and what the engine counted of
// the same requests: milliseconds.
type Means struct{ Client, Server map[string]float64 }

// Figures are those that engines count too, under vLLM's names.
var Figures = map[string]string{
	"mean_ttft_ms": "vllm:time_to_first_token_seconds",
	"mean_tpot_ms": "vllm:request_time_per_output_token_seconds",
	"mean_e2el_ms": "vllm:e2e_request_latency_seconds",
}

// within are parts of TTFT that vLLM counts besides.
var within = map[string]string{
	"queue_ms":   "vllm:request_queue_time_seconds",
	"prefill_ms": "vllm:request_prefill_time_seconds",
}

// Run runs the cell with the suite's client at s and reads the counters of the
// engines at these addresses before and after; those that are warm-up's are
// counted to neither. All of the summary's figures are among the client's.
func (c Cell) Run(t testing.TB, s *server.Server, seed int, engines ...string) Means {
	t.Helper()
	kind := workload.RandomIDs
	if c.Text {
		kind = kind.InWords
	}
	src, o, _, err := load.Open(t.Context(), s, load.Plan{
		Workload: workload.Spec{Kind: kind, N: c.N, ISL: c.ISL, OSL: c.OSL, RangeRatio: 1, Seed: int64(seed)},
		Options:  load.Options{Conc: c.Conc, WarmUp: c.Conc, RequestTimeout: time.Minute}})
	require.NoError(t, err)
	var before Counters
	o.Gate = func(context.Context) error {
		before = Count(t, engines...)
		return nil
	}
	rec, err := load.Run(t.Context(), s, src, o)
	require.NoError(t, err)
	sum := rec.Summary(1)
	require.Equal(t, c.N, sum.Successful, "%v", sum.Errors)
	b, err := json.Marshal(sum)
	require.NoError(t, err)
	time.Sleep(200 * time.Millisecond) // an engine counts a request after its answer
	return Means{Client: Numbers(t, b), Server: Count(t, engines...).Since(before)}
}

// Numbers are an object's numbers by key.
func Numbers(t testing.TB, b []byte) map[string]float64 {
	t.Helper()
	var all map[string]any
	require.NoError(t, json.Unmarshal(b, &all))
	out := map[string]float64{}
	for k, v := range all {
		if f, ok := v.(float64); ok {
			out[k] = f
		}
	}
	return out
}

// Counters is how far the histograms of [Figures], and of what is within them, have
// come: sum and count.
type Counters map[string][2]float64

// Count reads the /metrics of engines and adds them up.
func Count(t testing.TB, engines ...string) Counters {
	t.Helper()
	out := Counters{}
	for _, url := range engines {
		resp, err := http.Get(url + "/metrics")
		require.NoError(t, err)
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(resp.Body)
		resp.Body.Close()
		require.NoError(t, err)
		names := maps.Clone(Figures)
		maps.Copy(names, within)
		for figure, name := range names {
			for _, m := range families[name].GetMetric() {
				out.add(figure, m.GetHistogram().GetSampleSum(), float64(m.GetHistogram().GetSampleCount()))
			}
		}
		seconds, tokens := families["llamacpp:tokens_predicted_seconds_total"], families["llamacpp:tokens_predicted_total"]
		if seconds != nil && tokens != nil {
			out.add("mean_tpot_ms", seconds.GetMetric()[0].GetCounter().GetValue(),
				tokens.GetMetric()[0].GetCounter().GetValue())
		}
	}
	return out
}

func (c Counters) add(figure string, sum, n float64) {
	c[figure] = [2]float64{c[figure][0] + sum, c[figure][1] + n}
}

// Beside is a record: our figures beside the counters of the engine of the same
// requests, over paired rounds. A gateway's are beside those of the engines behind
// it, and of the same rounds sent to the engine itself.
type Beside struct {
	Name    string           `json:"name"`
	Version string           `json:"version"`
	Date    string           `json:"date"`
	Order   int              `json:"order"`
	Rounds  int              `json:"rounds"`
	Ratios  map[string]Ratio `json:"ours_to_the_engines_count"` // by figure
	Beyond  *float64         `json:"ttft_beyond_ms,omitempty"`  // mean TTFT, ours less the engine's
	Direct  map[string]Ratio `json:"through_to_direct,omitempty"`
}

// Compare makes the ratios of a record from its rounds.
func (b *Beside) Compare(through, direct []Means) {
	of := func(rounds []Means, value func(Means) float64) (out []float64) {
		for _, m := range rounds {
			out = append(out, value(m))
		}
		return out
	}
	b.Rounds, b.Ratios = len(through), map[string]Ratio{}
	for figure := range Figures {
		client := of(through, func(m Means) float64 { return m.Client[figure] })
		if counted := of(through, func(m Means) float64 { return m.Server[figure] }); counted[0] > 0 {
			b.Ratios[figure] = RatioOf(client, counted)
			if figure == "mean_ttft_ms" {
				beyond := Mean(client) - Mean(counted)
				b.Beyond = &beyond
			}
		}
		if len(direct) == 0 {
			continue
		}
		if b.Direct == nil {
			b.Direct = map[string]Ratio{}
		}
		b.Direct[figure] = RatioOf(client, of(direct, func(m Means) float64 { return m.Client[figure] }))
	}
}

// Since is the mean, in milliseconds, of what was counted after before.
func (c Counters) Since(before Counters) map[string]float64 {
	out := map[string]float64{}
	for figure, now := range c {
		if n := now[1] - before[figure][1]; n > 0 {
			out[figure] = 1e3 * (now[0] - before[figure][0]) / n
		}
	}
	return out
}

// Ratio is the geometric mean of the ratios of paired rounds, with Student's 95 %
// interval of its logarithm.
type Ratio struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// RatioOf is that of a to b, round by round.
func RatioOf(a, b []float64) Ratio {
	logs := make([]float64, len(a))
	for i := range a {
		logs[i] = math.Log(a[i] / b[i])
	}
	sample := stats.Sample{Xs: logs}
	t := stats.InvCDF(stats.TDist{V: float64(len(logs) - 1)})(0.975)
	half := t * sample.StdDev() / math.Sqrt(float64(len(logs)))
	return Ratio{math.Exp(sample.Mean()), math.Exp(sample.Mean() - half), math.Exp(sample.Mean() + half)}
}

func (r Ratio) String() string { return fmt.Sprintf("%.3f (%.3f to %.3f)", r.Mean, r.Low, r.High) }

// Mean is that of xs.
func Mean(xs []float64) float64 { return stats.Sample{Xs: xs}.Mean() }

package convert

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

// agentic completes the row of a cell of sessions, as InferenceX's aggregation of
// AgentX runs has it (utils/agentic/aggregation): latencies in seconds with
// percentiles, speeds by the slow tail, throughput from the first request's start to
// the last one's end, cache hits beside those of an infinite cache.
func (id Identity) agentic(row map[string]any, f *batch.Folder, c batch.ReadCell, gpus, prefill, decode int) error {
	kept, err := f.Requests(c.Cell)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("its requests were not kept, which its percentiles are taken of")
	}
	if err != nil {
		return err
	}
	delete(row, "isl")
	delete(row, "osl")
	row["scenario_type"] = "agentic-coding"
	row["kv_offloading"], row["kv_offload_backend"] = first(id.KVOffloading, "none"), id.KVOffloadBackend
	row["allocated_cpu_dram_gb"] = id.CPUDRAM
	p := c.Result.Performance
	row["dataset"] = map[string]any{"loader": c.Result.Args.DatasetName, "entries": traces(p.BySession)}
	total := p.Successful + p.Failed
	row["num_requests_total"], row["num_requests_successful"] = total, p.Successful
	errorKinds := map[string]int{}
	for _, e := range p.Errors {
		errorKinds[e.Error] = e.Requests
	}
	row["request_accounting"] = map[string]any{"records_total": total, "records_profiled": p.Successful,
		"records_dropped_total": p.Failed, "records_warmup_dropped": 0, "records_error_dropped": p.Failed,
		"error_categories": errorKinds}
	row["request_metrics"] = requestMetrics(kept.Timings, p, gpus, prefill, decode)
	row["server_metrics"] = map[string]any{"cache": map[string]any{"gpu_cache_hit_rate": p.HitRate}}
	return nil
}

func traces(sessions []stats.SessionFigures) int {
	ids := map[string]bool{}
	for _, s := range sessions {
		ids[s.Trace] = true
	}
	return len(ids)
}

// requestMetrics are the figures of the requests that succeeded.
func requestMetrics(ts []stats.Timing, p *stats.Summary, gpus, prefill, decode int) map[string]any {
	ts = slices.DeleteFunc(slices.Clone(ts), func(t stats.Timing) bool { return t.Err != "" })
	var ttft, e2el, itl, perToken, ends, in, out []float64
	begin, end := time.Duration(math.MaxInt64), time.Duration(0)
	for _, t := range ts {
		begin, end = min(begin, t.Sent), max(end, t.Last)
		ttft, e2el = append(ttft, t.TTFT().Seconds()), append(e2el, t.E2EL().Seconds())
		in, out = append(in, float64(t.InputTokens)), append(out, float64(t.OutputTokens))
		ends = append(ends, t.Last.Seconds())
		if t.HasTPOT() {
			itl = append(itl, (t.Last-t.First).Seconds()/float64(t.OutputTokens-1))
		}
		if t.OutputTokens > 0 {
			perToken = append(perToken, t.E2EL().Seconds()/float64(t.OutputTokens))
		}
	}
	latency := map[string]any{"ttft": spreadOf(ttft), "e2el": spreadOf(e2el), "e2e_norm_intvty": speedOf(perToken)}
	for _, name := range []string{"itl", "tpot", "full_response_itl"} {
		latency[name] = spreadOf(itl)
	}
	latency["intvty"], latency["full_response_intvty"] = speedOf(itl), speedOf(itl)
	seconds := (end - begin).Seconds()
	rate := func(tokens []float64, over int) float64 { return sum(tokens) / seconds / float64(over) }
	return map[string]any{
		"latency": latency, "qps": qps(ends),
		"tokens": map[string]any{"input": spreadOf(in), "output_actual": spreadOf(out)},
		"cache":  map[string]any{"theoretical_cache_hit_rate": p.Hits},
		"throughput": map[string]any{"duration_seconds": seconds,
			"input":  map[string]any{"tokens_per_second": rate(in, 1)},
			"output": map[string]any{"tokens_per_second": rate(out, 1)},
			"total":  map[string]any{"tokens_per_second": rate(in, 1) + rate(out, 1)},
			"per_gpu": map[string]any{"total_tput_tps": (sum(in) + sum(out)) / seconds / float64(gpus),
				"input_tput_tps": rate(in, prefill), "output_tput_tps": rate(out, decode)}},
	}
}

// spreadOf is the statistics that InferenceX keeps of a metric; none where there are
// no values.
func spreadOf(values []float64) map[string]float64 {
	if len(values) == 0 {
		return map[string]float64{}
	}
	values = slices.Sorted(slices.Values(values))
	mean := sum(values) / float64(len(values))
	squares := 0.0
	for _, v := range values {
		squares += (v - mean) * (v - mean)
	}
	out := map[string]float64{"mean": mean, "std": math.Sqrt(squares / float64(len(values)))}
	for _, p := range []float64{50, 75, 90, 95} {
		out[fmt.Sprintf("p%g", p)] = stats.Percentile(values, p)
	}
	return out
}

// speedOf is 1 over each statistic of the seconds a token took, but of the deviation,
// which is that of the requests' own speeds.
func speedOf(seconds []float64) map[string]float64 {
	out := map[string]float64{}
	var speeds []float64
	for _, v := range seconds {
		if v > 0 {
			speeds = append(speeds, 1/v)
		}
	}
	for name, v := range spreadOf(seconds) {
		if v > 0 {
			out[name] = 1 / v
		}
	}
	if len(speeds) > 0 {
		out["std"] = spreadOf(speeds)["std"]
	}
	return out
}

// qps counts requests in windows of a second from the first one's end to the last's.
func qps(ends []float64) map[string]any {
	slices.Sort(ends)
	out := map[string]any{}
	if len(ends) < 2 || ends[len(ends)-1] <= ends[0] {
		return out
	}
	var counts []float64
	for at := ends[0]; at+1 <= ends[len(ends)-1]; at++ {
		from, _ := slices.BinarySearch(ends, at)
		to, _ := slices.BinarySearch(ends, at+1)
		counts = append(counts, float64(to-from))
	}
	out["window_seconds"], out["samples"] = 1, len(counts)
	for name, v := range spreadOf(counts) {
		out[name] = v
	}
	if len(counts) == 0 {
		out["mean"] = float64(len(ends)) / (ends[len(ends)-1] - ends[0])
	}
	return out
}

func sum(values []float64) (total float64) {
	for _, v := range values {
		total += v
	}
	return total
}

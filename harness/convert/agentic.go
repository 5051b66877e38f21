package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/scrape"
	"inferbench/harness/stats"
)

// agentic completes the row of a cell of sessions, as InferenceX's aggregation of
// AgentX runs has it: its keys and no others, so that a figure which it would know and
// a result does not is null. gpus are of all workers, those that prefill, and those
// that decode.
func (id Identity) agentic(row map[string]any, f *batch.Folder, c batch.ReadCell, gpus, prefill, decode int) error {
	kept, err := f.Requests(c.Cell)
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("its requests were not kept, which its percentiles are taken of")
	}
	if err != nil {
		return err
	}
	p := c.Result.Performance
	row["scenario_type"] = "agentic-coding"
	row["num_gpus"] = gpus
	if id.Disagg {
		row["tp"], row["ep"] = id.Prefill.TP+id.Decode.TP, max(id.Prefill.EP, id.Decode.EP)
		row["dp_attention"] = strconv.FormatBool(id.Prefill.DPAttention == "true" || id.Decode.DPAttention == "true")
	}
	row["kv_offloading"], row["kv_offload_backend"] = first(id.KVOffloading, "none"), component(id.KVOffloadBackend)
	row["allocated_cpu_dram_gb"] = id.CPUDRAM
	row["dataset"] = map[string]any{"loader": c.Result.Args.DatasetName, "num_dataset_entries": traces(p.BySession)}
	accounting := accounted(p)
	row["num_requests_total"], row["num_requests_successful"] = accounting["records_total"], p.Successful
	row["request_accounting"] = accounting
	row["request_metrics"] = requestMetrics(kept.Timings, p, gpus, prefill, decode)
	metrics := serverMetrics(c.Result)
	row["server_metrics"], row["kv_cache_pool_tokens"] = metrics, metrics["kv_cache"].(map[string]any)["gpu_total_tokens"]
	if w := warnings(c.Result); len(w) > 0 {
		row["warnings"] = w
	}
	return nil
}

// component is a part of a deployment, given as NAME or NAME@VERSION; nil where there
// is none.
func component(text string) map[string]string {
	name, version, told := strings.Cut(text, "@")
	switch {
	case name == "":
		return nil
	case told:
		return map[string]string{"name": name, "version": version}
	}
	return map[string]string{"name": name}
}

func traces(sessions []stats.SessionFigures) int {
	ids := map[string]bool{}
	for _, s := range sessions {
		ids[s.Trace] = true
	}
	return len(ids)
}

// accounted says what became of the requests, those of the warm-up among them.
func accounted(p *stats.Summary) map[string]any {
	kinds := map[string]int{}
	for _, e := range p.Errors {
		kinds[errorKind(e.Error)] += e.Requests
	}
	if p.OtherErrors != nil {
		kinds["other"] += p.OtherErrors.Requests
	}
	return map[string]any{"records_total": p.WarmUps + p.Successful + p.Failed, "records_profiled": p.Successful,
		"records_dropped_total": p.WarmUps + p.Failed, "records_warmup_dropped": p.WarmUps,
		"records_error_dropped": p.Failed, "error_categories": kinds}
}

// errorKind is what stands before the first colon of an error, behind the address that
// was asked.
func errorKind(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if asked, why, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(asked, "POST ") {
		line = why
	}
	kind, _, _ := strings.Cut(line, ":")
	if r := []rune(kind); len(r) > 120 {
		kind = string(r[:120])
	}
	return first(kind, "unknown")
}

// warnings are what a reader of the row should know.
func warnings(r *batch.Result) (out []string) {
	if len(r.Marks) > 0 {
		out = append(out, "marked "+joined(r.Marks))
	}
	if len(r.ServerMetrics) == 0 {
		out = append(out, "the server's own metrics were not seen")
	}
	if r.Scenario != nil {
		for _, why := range r.Scenario.Reasons {
			out = append(out, fmt.Sprintf("not valid as %s: %s", r.Scenario.Name, why))
		}
	}
	return out
}

// requestMetrics are the figures of the requests that succeeded. A latency lasts to
// the last token, a full response to the end of the answer, by which a run is timed,
// too.
func requestMetrics(ts []stats.Timing, p *stats.Summary, gpus, prefill, decode int) map[string]any {
	var ttft, e2el, itl, full, perToken, ends, in, out, recorded []float64
	begin, end := time.Duration(math.MaxInt64), time.Duration(0)
	for _, t := range ts {
		if t.Err != "" {
			continue
		}
		begin, end = min(begin, t.Sent), max(end, t.Done)
		ttft, e2el = append(ttft, t.TTFT().Seconds()), append(e2el, t.E2EL().Seconds())
		in, out = append(in, float64(t.InputTokens)), append(out, float64(t.OutputTokens))
		ends = append(ends, t.Done.Seconds())
		if t.OutputTokens > 1 {
			itl = append(itl, (t.Last-t.First).Seconds()/float64(t.OutputTokens-1))
			full = append(full, (t.Done-t.First).Seconds()/float64(t.OutputTokens-1))
		}
		if t.OutputTokens > 0 {
			perToken = append(perToken, t.E2EL().Seconds()/float64(t.OutputTokens))
		}
		if t.Turn != nil && t.Turn.Out > 0 {
			recorded = append(recorded, float64(t.Turn.Out))
		}
	}
	ttft, e2el, itl, full, perToken = above0(ttft), above0(e2el), above0(itl), above0(full), above0(perToken)
	return map[string]any{
		"latency": map[string]any{
			"ttft": spreadOf(ttft), "e2el": spreadOf(e2el), "e2e_norm_intvty": speedOf(perToken),
			"itl": spreadOf(itl), "tpot": spreadOf(itl), "intvty": speedOf(itl),
			"full_response_itl": spreadOf(full), "full_response_intvty": speedOf(full)},
		"qps": qps(ends),
		"tokens": map[string]any{"input": spreadOf(in), "output_actual": spreadOf(out),
			"output_expected": spreadOf(recorded)},
		"cache":      map[string]any{"theoretical_cache_hit_rate": p.Hits},
		"throughput": throughput(sum(in), sum(out), (end - begin).Seconds(), [3]int{gpus, prefill, decode}),
	}
}

// above0 leaves out what is no duration.
func above0(seconds []float64) []float64 {
	return slices.DeleteFunc(seconds, func(v float64) bool { return v <= 0 })
}

// throughput is the tokens of a run over its seconds, and over the GPUs that all, the
// input and the output were the work of.
func throughput(in, out, seconds float64, gpus [3]int) map[string]any {
	if seconds <= 0 {
		return map[string]any{}
	}
	in, out = in/seconds, out/seconds
	rate := func(v float64) map[string]any { return map[string]any{"tokens_per_second": v} }
	return map[string]any{"duration_seconds": seconds, "input": rate(in), "output": rate(out), "total": rate(in + out),
		"per_gpu": map[string]any{"total_tput_tps": (in + out) / float64(gpus[0]),
			"input_tput_tps": in / float64(gpus[1]), "output_tput_tps": out / float64(gpus[2])}}
}

// serverMetrics are what the server said of itself. Rates are by its own counters
// over the run, or where these were not seen by its answers.
func serverMetrics(r *batch.Result) map[string]any {
	var seen scrape.Report
	present := len(r.ServerMetrics) > 0 && json.Unmarshal(r.ServerMetrics, &seen) == nil
	p := r.Performance
	overall, by := seen.PrefixHits, seen.HitsBySource
	if overall == nil {
		overall, by = p.HitRate, p.BySource
	}
	of := func(sources ...string) *float64 {
		var sum *float64
		for _, s := range sources {
			if v, ok := by[s]; ok {
				sum = new(v + value(sum))
			}
		}
		return sum
	}
	device, elsewhere := of("device"), of("host", "storage", "external")
	if len(by) == 0 {
		device = overall
	}
	adapter := "none"
	if present {
		adapter = r.Args.Backend
	}
	tokens := map[string]*float64{"gpu_cache_hit": nil, "cpu_or_external_cache_hit": nil, "computed": nil}
	raw := map[string]float64{}
	if queried := seen.Queried; queried != nil && len(by) > 0 {
		for source, share := range by {
			raw[source] = math.Round(share * *queried)
		}
		tokens["gpu_cache_hit"], tokens["cpu_or_external_cache_hit"] = times(device, queried), times(elsewhere, queried)
		tokens["computed"] = new(*queried - value(seen.CachedTokens))
	}
	return map[string]any{"present": present, "adapter": adapter, "metric_count": nil,
		"sources": sources(seen.Ranks),
		"cache": nulls(map[string]any{"gpu_cache_hit_rate": device, "cpu_cache_hit_rate": elsewhere,
			"external_cache_hit_rate": elsewhere, "overall_cache_hit_rate": overall, "prefix_cache_hits": seen.CachedTokens,
			"prefix_cache_queries": seen.Queried, "cached_tokens_by_source": raw}, "external_prefix_cache_hits",
			"external_prefix_cache_queries", "frontend_cache_hit_rate", "router_kv_hit_rate", "router_shared_cache_hit_rate",
			"frontend_cached_tokens", "frontend_input_tokens"),
		"kv_cache": nulls(map[string]any{"gpu_usage_pct": seen.MaxKVCache, "gpu_total_tokens": kvPool(r.Args.Server)},
			"cpu_usage_pct", "cpu_used_tokens", "cpu_total_tokens"),
		"kv_offload": nulls(map[string]any{}, "bytes_gpu_to_cpu", "bytes_cpu_to_gpu", "time_gpu_to_cpu", "time_cpu_to_gpu",
			"bandwidth_gpu_to_cpu_bytes_per_second", "bandwidth_cpu_to_gpu_bytes_per_second"),
		"tokens": map[string]any{"prompt_total": p.InputTokens, "generation_total": p.OutputTokens,
			"requests_completed": p.Successful, "prompt_by_source": map[string]any{"gpu_cache_hit": tokens["gpu_cache_hit"],
				"cpu_or_external_cache_hit": tokens["cpu_or_external_cache_hit"], "computed": tokens["computed"], "raw": raw}},
	}
}

// sources are the engines that share a server's work, by endpoint and rank; none where
// there is one.
func sources(ranks []scrape.Rank) []any {
	out := []any{}
	for _, r := range ranks {
		id := "combined|" + r.Endpoint
		if r.Rank != "" {
			id += "|rank=" + r.Rank
		}
		out = append(out, nulls(map[string]any{"id": id, "role": "combined", "gpu_kv_cache_usage_pct": r.MaxKVCache},
			"prompt_tokens", "generation_tokens", "prefix_cache_hit_rate"))
	}
	return out
}

// nulls adds keys that a result has nothing for.
func nulls(to map[string]any, keys ...string) map[string]any {
	for _, k := range keys {
		to[k] = nil
	}
	return to
}

func value(v *float64) float64 {
	if v == nil {
		return 0
	}
	return *v
}

func times(share, of *float64) *float64 {
	if share == nil {
		return nil
	}
	return new(math.Round(*share * *of))
}

// kvPool is how many tokens the KV cache of a server holds, as it says itself; nil
// where it does not.
func kvPool(server json.RawMessage) *int {
	var says serverSays
	if json.Unmarshal(server, &says) != nil || says.KVCacheTokens == 0 {
		return nil
	}
	return &says.KVCacheTokens
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

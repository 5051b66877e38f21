package convert

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

// isAIPerfRequest is for a line of AIPerf's profile_export.jsonl, which is of one
// request.
func isAIPerfRequest(o object) bool { return o.at("metrics", "request_latency").has("value") }

func isAIPerf(o object) bool {
	return o.at("request_throughput") != nil && o.at("request_latency") != nil
}

// aiperf reads AIPerf's profile_export_aiperf.json (keys as in
// aiperf/exporters/metrics_json_exporter.py), or its CSV. Its inter_token_latency is
// one value a request, (latency − TTFT) / (tokens − 1): that is TPOT here; its
// inter_chunk_latency is ITL.
func aiperf(o object, h Hints) (*Imported, error) {
	one := func(metric string) float64 { return o.at(metric).float("avg") }
	duration := one("benchmark_duration")
	input, output := one("total_isl"), first(one("total_osl"), one("total_output_tokens"))
	s := stats.Summary{
		Successful: int(one("request_count")), Failed: int(one("error_request_count")), Duration: duration,
		OutputTokens: int64(output), RequestThroughput: one("request_throughput"),
		OutputThroughput: one("output_token_throughput"), Tokens: stats.Tokens{TokensFrom: "aiperf"},
		TTFT: aiperfDist(o, "time_to_first_token"), TPOT: aiperfDist(o, "inter_token_latency"),
		ITL: aiperfDist(o, "inter_chunk_latency"), E2EL: aiperfDist(o, "request_latency"),
	}
	if input == 0 { // releases before the key
		input = math.Round(one("input_sequence_length") * float64(s.Successful))
	}
	s.InputTokens = new(int64(input))
	total := one("total_token_throughput")
	if total == 0 && duration > 0 {
		total = (input + output) / duration
	}
	s.TotalThroughput, s.Interactivity = new(total), interactivity(s.TPOT)
	if cached := o.at("usage_prompt_cache_read_tokens").number("sum"); cached != nil && input > 0 {
		s.Cache = stats.Cache{CachedTokens: new(int64(*cached)), CachedFrom: "usage", HitRate: new(*cached / input)}
	}
	r := &Imported{Tool: "AIPerf", ratesApart: true, Duration: seconds(duration)}
	r.Date, _ = time.ParseInLocation("2006-01-02T15:04:05", o.text("start_time"), time.Local)
	c := o.at("input_config")
	a := &r.Result.Args
	*a = batch.Args{
		Model: first(h.Model, aiperfModel(c)), Endpoint: aiperfEndpoint(c.at("endpoint").text("type")), TP: h.TP,
		RandomRangeRatio: h.RangeRatio, Settings: map[string]string{},
		ClientVersion: strings.TrimSpace("aiperf " + o.text("aiperf_version")),
	}
	r.aiperfLoad(c, h)
	r.aiperfLengths(c, h)
	r.perGPU(&s)
	r.keep(nil, "failed_requests", c != nil) // where it has no such metric, none failed
	metrics := object{}
	for name, raw := range o {
		if o.at(name).text("unit") != "" {
			metrics[name] = raw
		}
	}
	r.Result.Source, _ = json.Marshal(metrics) // each was read from JSON
	r.Result.Notes = append(r.Result.Notes, "its inter token latency is one value a request and stands under TPOT, which "+
		"it is; ITL is its inter chunk latency")
	switch why := r.misfit(a.RandomInputLen, a.RandomOutputLen, a.RandomRangeRatio); {
	case o.bool("was_cancelled"):
		r.Result.Reason = "the run was cancelled"
	case why != "":
		r.Result.Notes = append(r.Result.Notes, "the server counts "+why+": the client's tokenizer was not the model's")
	}
	s.Errors = aiperfErrors(o)
	return r, nil
}

// aiperfDist is a metric's distribution in ms.
func aiperfDist(o object, metric string) stats.Dist {
	m := o.at(metric)
	scale, known := map[string]float64{"ms": 1, "sec": 1e3, "s": 1e3, "us": 1e-3, "ns": 1e-6}[m.text("unit")]
	if !known {
		return stats.Dist{}
	}
	of := func(key string) *float64 {
		v := m.number(key)
		if v != nil {
			*v *= scale
		}
		return v
	}
	return stats.Dist{Mean: of("avg"), Median: of("p50"), Std: of("std"), P90: of("p90"), P95: of("p95"), P99: of("p99"),
		Max: of("max")}
}

func aiperfErrors(o object) (out stats.Failures) {
	for _, e := range o.list("error_summary") {
		if n := e.int("count"); n > 0 {
			d := e.at("error_details")
			out = append(out, stats.ErrorCount{Error: oneLine(first(d.text("message"), d.text("type"), "unknown")), Requests: n})
		}
	}
	return out
}

func aiperfModel(config object) string {
	if list := config.at("models").list("items"); len(list) > 0 {
		return list[0].text("name")
	}
	for _, o := range []object{config.at("endpoint"), config} { // releases before 0.8, and genai-perf
		var names []string
		if json.Unmarshal(o["model_names"], &names) == nil && len(names) > 0 {
			return names[0]
		}
	}
	return ""
}

func aiperfEndpoint(kind string) string {
	switch kind {
	case "completions":
		return completionsEndpoint
	case "chat":
		return chatEndpoint
	}
	return kind
}

// aiperfLoad reads how the load was put on in the phase that was measured.
func (r *Imported) aiperfLoad(c object, h Hints) {
	phase := c.at("loadgen") // releases before 0.8
	if list := c.list("phases"); len(list) > 0 {
		i := slices.IndexFunc(list, func(p object) bool { return p.text("kind", "name") == "profiling" })
		phase = list[max(i, 0)]
	}
	a := &r.Result.Args
	a.MaxConcurrency = first(phase.int("concurrency"), h.Conc)
	a.NumPrompts = phase.int("requests", "request_count")
	if rate := phase.number("rate", "request_rate"); rate != nil {
		a.RequestRate = batch.Rate(*rate)
	}
	switch kind := phase.text("type", "request_rate_mode", "arrival_pattern"); kind {
	case "constant":
		a.Settings["BURSTINESS"] = kind
	case "gamma":
		a.Settings["BURSTINESS"] = phase.word("smoothness")
	case "fixed_schedule":
		a.Settings["TRACE"] = "true"
	case "user_centric":
		a.Settings["arrivals"] = kind
	}
	for _, key := range []string{"rate_ramp", "concurrency_ramp", "rate_series"} {
		if v := phase.word(key); v != "" {
			a.Settings["RAMP_UP"] = key + " " + v
		}
	}
	if c != nil && phase.int("concurrency") == 0 {
		a.Settings["CONC_CAP"] = "false"
	}
}

// aiperfLengths reads the data that were asked for.
func (r *Imported) aiperfLengths(c object, h Hints) {
	a := &r.Result.Args
	isl, osl, kind := c.at("input", "prompt", "input_tokens"), c.at("input", "prompt", "output_tokens"), ""
	if list := c.list("datasets"); len(list) > 0 {
		isl, osl, kind = list[0].at("prompts", "isl"), list[0].at("prompts", "osl"), list[0].text("type")
		a.Seed = int64(list[0].int("random_seed"))
	}
	a.RandomInputLen = first(int(isl.float("mean")), h.ISL)
	a.RandomOutputLen = first(int(osl.float("mean")), h.OSL)
	a.DatasetName = first(h.Dataset, kind)
	if a.DatasetName == "" && isl != nil {
		a.DatasetName = "synthetic"
	}
	for i, l := range []object{isl, osl} {
		if dev := l.float("stddev"); dev > 0 && h.Dataset == "" {
			a.DatasetName += fmt.Sprintf(" %s stddev %g", []string{"isl", "osl"}[i], dev)
		}
	}
	if isl.float("stddev") == 0 && osl.float("stddev") == 0 && a.RandomRangeRatio == 0 && isl != nil {
		a.RandomRangeRatio = 1
	}
}

package convert

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

func isInferenceX(o object) bool {
	return o.has("conc") && (o.has("tput_per_gpu") || o.has("scenario_type") || o.has("benchmark_type")) &&
		(o.has("hw") || o.has("hardware"))
}

// rowIdentity is what a row tells of what it was measured on: rows that differ in
// any of it are no one sweep.
var rowIdentity = []string{
	"hw", "hardware", "infmax_model_prefix", "precision", "spec_decoding", "spec_method", "recipe_fingerprint", "disagg",
	"is_multinode", "pp", "dcp_size", "pcp_size", "ep", "dp_attention", "prefill_tp", "prefill_pp", "prefill_dcp_size",
	"prefill_pcp_size", "prefill_ep", "prefill_dp_attention", "prefill_num_workers", "decode_tp", "decode_pp",
	"decode_dcp_size", "decode_pcp_size", "decode_ep", "decode_dp_attention", "decode_num_workers", "num_prefill_gpu",
	"num_decode_gpu", "prefill_hw", "decode_hw", "kv_p2p_transfer", "kv_offloading", "kv_offload_backend", "offload_mode",
	"router",
}

// inferenceX reads an aggregate of InferenceMAX/InferenceX (keys as in its
// utils/process_result.py): vLLM's figures in seconds instead of milliseconds,
// throughput per GPU instead of totals; or a row of its site's API, which has the
// same figures under "metrics". Lengths are drawn from [0.8 L, L] there.
func inferenceX(o object, h Hints) (*Imported, error) {
	if kind := o.text("scenario_type", "benchmark_type"); strings.HasPrefix(kind, "agentic") {
		return nil, fmt.Errorf("a row of %s: sessions have no ISL and OSL, which a cell here is named by", kind)
	}
	if v := o.number("num_requests_successful"); v != nil && *v == 0 {
		return nil, errors.New("no request succeeded (num_requests_successful 0)")
	}
	gpus, decode, doubt := o.layout()
	gpus = first(gpus, h.TP)
	decode = first(decode, gpus)
	s := stats.Summary{
		Successful: o.int("num_requests_successful"),
		TputPerGPU: new(o.float("tput_per_gpu")), TotalThroughput: new(o.float("tput_per_gpu") * float64(gpus)),
		OutputThroughput: o.float("output_tput_per_gpu") * float64(decode),
		Tokens:           stats.Tokens{TokensFrom: "InferenceX"},
	}
	if err := distributions(&s, o, 1000, func(stat, m string) string { return stat + "_" + m }); err != nil {
		return nil, err
	}
	if v := o.number("median_intvty", "p50_intvty"); v != nil {
		s.Interactivity = v
	}
	r := &Imported{Tool: "InferenceX", run: o.text("date") + o.text("workflow_run_id")}
	r.Result.Performance = &s
	r.Result.Args = batch.Args{
		Model: first(h.Model, o.text("model", "infmax_model_prefix")), Backend: o.text("framework"),
		BackendVersion: o.text("image"), DatasetName: first(h.Dataset, "random"),
		RandomInputLen: first(o.int("isl"), h.ISL), RandomOutputLen: first(o.int("osl"), h.OSL),
		RandomRangeRatio: first(h.RangeRatio, 0.8), MaxConcurrency: first(o.int("conc"), h.Conc), TP: gpus,
		ClientVersion: "InferenceX", Settings: map[string]string{},
	}
	for _, key := range rowIdentity {
		if v := o.word(key); v != "" {
			r.Result.Args.Settings[key] = v
		}
	}
	hardware := first(o.text("hw", "hardware"), "unknown hardware")
	if o.has("prefill_hw", "decode_hw") {
		hardware = o.text("prefill_hw") + " (prefill) and " + o.text("decode_hw") + " (decode)"
	}
	on := fmt.Sprintf("measured on %s, %s", hardware, first(o.text("precision"), "unknown precision"))
	r.Result.Notes = append(r.Result.Notes, on, "an aggregate does not tell how many tokens there were, how long the run "+
		"took, nor how lengths were drawn: RANDOM_RANGE_RATIO 0.8 is the project's own rule unless given")
	s.Power = o.power(gpus)
	if doubt != "" {
		r.Result.Notes = append(r.Result.Notes, doubt)
	}
	r.Date, _ = time.ParseInLocation(time.DateOnly, o.text("date"), time.Local)
	r.keep(o, "failed_requests", false)
	r.Result.NotTold = append(r.Result.NotTold, "benchmark_duration", "total_generated_tokens", "request_throughput")
	r.told(o, map[string][]string{"successful_requests": {"num_requests_successful"},
		"output_throughput": {"output_tput_per_gpu"}})
	return r, nil
}

// layout is the number of GPUs of a row, and of those that decode: on one node
// tp·pp·pcp, where DCP and EP use the same GPUs again; where prefill and decode
// have GPUs of their own, both counts. It is 0 where the row does not tell. doubt
// says that the row's figures per GPU show other numbers.
func (o object) layout() (gpus, decode int, doubt string) {
	role := func(prefix string) int {
		n := o.int(prefix+"tp") * max(1, o.int(prefix+"pp")) * max(1, o.int(prefix+"pcp_size"))
		return n * max(1, o.int(prefix+"num_workers"))
	}
	apart := o.bool("disagg") || o.bool("is_multinode")
	if n := first(o.int("num_gpus"), role("")); n > 0 && !apart {
		return n, n, ""
	}
	p, d := first(o.int("num_prefill_gpu"), role("prefill_")), first(o.int("num_decode_gpu"), role("decode_"))
	if !apart {
		return d, d, ""
	}
	total, output, input := o.number("tput_per_gpu"), o.number("output_tput_per_gpu"), o.number("input_tput_per_gpu")
	if total == nil || output == nil || input == nil || p == 0 || d == 0 {
		return p + d, d, ""
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= 1e-3*math.Abs(b) }
	switch {
	case near((*input*float64(p)+*output*float64(d))/float64(p+d), *total):
		return p + d, d, ""
	case near(*input+*output, *total) && !o.bool("disagg"): // several nodes, on whose GPUs both are done
		return d, d, ""
	}
	return p + d, d, fmt.Sprintf("its figures per GPU (input %.5g, output %.5g, all %.5g tok/s) do not fit %d "+
		"GPUs for prefill and %d for decode", *input, *output, *total, p, d)
}

// power is a row's measured power; nil where it tells none.
func (o object) power(gpus int) *stats.Power {
	valid := o.number("power_valid")
	if valid == nil {
		return nil
	}
	p := &stats.Power{Valid: *valid == 1, From: "InferenceX", GPUs: gpus, Schema: o.int("power_metric_schema_version")}
	if !p.Valid {
		p.Reasons = []string{"the row says so (power_valid 0)"}
		return p
	}
	p.AvgPowerW, p.AvgTotalPowerW = o.number("avg_power_w"), o.number("avg_total_gpu_power_w")
	p.TotalEnergyJ, p.JoulesPerQuery = o.number("total_gpu_energy_j"), o.number("joules_per_successful_query")
	p.JoulesPerInputToken = o.number("joules_per_input_token")
	p.JoulesPerOutputToken = o.number("joules_per_output_token")
	p.JoulesPerTotalToken = o.number("joules_per_total_token")
	if j := p.JoulesPerTotalToken; j != nil && *j > 0 {
		p.TokensPerSPerW = new(1 / *j)
	}
	return p
}

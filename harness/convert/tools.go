package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

// vllm reads what `vllm bench serve --save-result` writes (keys as in
// vllm/benchmarks/serve.py). It has neither the lengths asked for nor the GPUs
// (unless given as --metadata random_input_len=… tp=…). Figures of E2EL are
// there only with --percentile-metrics ttft,tpot,itl,e2el, but newer releases
// list every latency; requests are there only with --save-detailed.
func vllm(o object, h Hints) (*Imported, error) {
	s := stats.Summary{
		Successful: o.int("completed"), Failed: o.int("failed"), Duration: o.float("duration"),
		InputTokens: new(int64(o.float("total_input_tokens"))), OutputTokens: int64(o.float("total_output_tokens")),
		RequestThroughput: o.float("request_throughput"), OutputThroughput: o.float("output_throughput"),
		TotalThroughput: new(o.float("total_token_throughput")),
		ITLKept:         "exact", Tokens: stats.Tokens{TokensFrom: "vllm bench serve"},
	}
	if !o.has("failed") { // releases before the key
		s.Failed = max(0, o.int("num_prompts")-s.Successful)
	}
	if err := distributions(&s, o, 1, func(stat, m string) string { return stat + "_" + m + "_ms" }); err != nil {
		return nil, err
	}
	if s.E2EL.Median == nil && s.Failed == 0 { // the list has failed requests too
		s.E2EL = stats.DistOf(o.secondsOf("latencies"))
	}
	r := &Imported{Tool: "vLLM bench serve", Duration: seconds(s.Duration)}
	r.Date, _ = time.ParseInLocation("20060102-150405", o.text("date"), time.Local)
	r.Result.Args = batch.Args{
		Model: first(h.Model, o.text("model_id")), Backend: o.text("backend", "endpoint_type"),
		DatasetName:    first(o.text("dataset_name"), "random"),
		RandomInputLen: first(o.int("random_input_len"), h.ISL), RandomOutputLen: first(o.int("random_output_len"), h.OSL),
		RandomRangeRatio: h.RangeRatio, MaxConcurrency: o.int("max_concurrency"), NumPrompts: o.int("num_prompts"),
		RequestRate: o.rate(), TP: first(o.int("tp"), h.TP), ClientVersion: "vllm bench serve",
	}
	r.fixedLengths(s)
	r.perGPU(&s)
	return r, r.requests(o)
}

// sglang reads a line that `python -m sglang.bench_serving --output-file`
// appends (keys as in sglang/bench_serving.py). It has the lengths, and the
// model only where the server told of itself (server_info).
func sglang(o object, h Hints) (*Imported, error) {
	s := stats.Summary{
		Successful: o.int("completed"), Duration: o.float("duration"),
		InputTokens: new(int64(o.float("total_input_tokens"))), OutputTokens: int64(o.float("total_output_tokens")),
		RequestThroughput: o.float("request_throughput"), OutputThroughput: o.float("output_throughput"),
		ITLKept: "exact", Tokens: stats.Tokens{TokensFrom: "sglang.bench_serving"},
	}
	s.TotalThroughput = new(first(o.float("total_throughput"), o.float("input_throughput")+s.OutputThroughput))
	err := distributions(&s, o, 1, func(stat, m string) string {
		if m == "e2el" {
			return stat + "_e2e_latency_ms"
		}
		return stat + "_" + m + "_ms"
	})
	if err != nil {
		return nil, err
	}
	var server object
	_ = json.Unmarshal(o["server_info"], &server) // null where the server did not tell
	r := &Imported{Tool: "SGLang bench_serving", Duration: seconds(s.Duration)}
	if v := o.number("random_range_ratio"); v != nil && *v == 0 && h.RangeRatio == 0 {
		return nil, errors.New("its lengths were anything from 1 to the full ones (random_range_ratio 0, the client's " +
			"default), as in no cell here: run it with --random-range-ratio 1")
	}
	dataset := first(o.text("dataset_name"), "random")
	if dataset == "random-ids" { // its "random" takes ShareGPT's text
		dataset = "random"
	}
	r.Result.Args = batch.Args{
		Model: first(h.Model, server.text("served_model_name", "model_path")), Backend: o.text("backend"),
		DatasetName:    dataset,
		RandomInputLen: first(o.int("random_input_len"), h.ISL), RandomOutputLen: first(o.int("random_output_len"), h.OSL),
		RandomRangeRatio: first(o.float("random_range_ratio"), h.RangeRatio), MaxConcurrency: o.int("max_concurrency"),
		NumPrompts: s.Successful, RequestRate: o.rate(), TP: first(server.int("tp_size"), h.TP),
		BackendVersion: server.text("version"), ClientVersion: "sglang.bench_serving",
	}
	r.perGPU(&s)
	return r, r.requests(o)
}

// inferenceMAX reads an aggregate of InferenceMAX/InferenceX (keys as in its
// utils/process_result.py): vLLM's figures in seconds instead of milliseconds,
// throughput per GPU instead of totals; or a row of its site's API, which has the
// same figures under "metrics". Lengths are drawn from [0.8 L, L] there.
func inferenceMAX(o object, h Hints) (*Imported, error) {
	tp := first(o.int("num_gpus"), o.int("tp"), o.int("decode_tp"), h.TP)
	decode := tp
	if o.bool("is_multinode") || o.bool("disagg") { // prefill and decode each have GPUs of their own
		decode = o.int("num_decode_gpu")
		tp = first(o.int("num_prefill_gpu")+decode, h.TP)
	}
	s := stats.Summary{
		TputPerGPU: new(o.float("tput_per_gpu")), TotalThroughput: new(o.float("tput_per_gpu") * float64(tp)),
		OutputThroughput: o.float("output_tput_per_gpu") * float64(first(decode, tp)),
		ITLKept:          "exact", Tokens: stats.Tokens{TokensFrom: "InferenceMAX"},
	}
	if err := distributions(&s, o, 1000, func(stat, m string) string { return stat + "_" + m }); err != nil {
		return nil, err
	}
	if v := o.number("median_intvty"); v != nil {
		s.Interactivity = v
	}
	r := &Imported{Tool: "InferenceMAX"}
	r.Result.Performance = &s
	r.Result.Args = batch.Args{
		Model: first(h.Model, o.text("model", "infmax_model_prefix")), Backend: o.text("framework"),
		BackendVersion: o.text("image"), DatasetName: "random",
		RandomInputLen: first(o.int("isl"), h.ISL), RandomOutputLen: first(o.int("osl"), h.OSL),
		RandomRangeRatio: first(h.RangeRatio, 0.8), MaxConcurrency: o.int("conc"), TP: tp, ClientVersion: "InferenceMAX",
		Settings: map[string]string{"hw": o.text("hw", "hardware"), "precision": o.text("precision")},
	}
	r.Result.Notes = append(r.Result.Notes, fmt.Sprintf("measured on %s, %s",
		first(o.text("hw", "hardware"), "unknown hardware"), first(o.text("precision"), "unknown precision")),
		"the aggregate does not tell how many requests and tokens there were, nor how long the run took: these read 0")
	r.Date, _ = time.ParseInLocation(time.DateOnly, o.text("date"), time.Local)
	return r, nil
}

// fixedLengths finds that every request had the full lengths, which a file may
// not say but its totals show.
func (r *Imported) fixedLengths(s stats.Summary) {
	a := &r.Result.Args
	n := int64(s.Successful)
	if a.RandomRangeRatio == 0 && n > 0 && *s.InputTokens == n*int64(a.RandomInputLen) &&
		s.OutputTokens == n*int64(a.RandomOutputLen) {
		a.RandomRangeRatio = 1
	}
}

func (r *Imported) perGPU(s *stats.Summary) {
	if tp := r.Result.Args.TP; tp > 0 {
		s.TputPerGPU = new(*s.TotalThroughput / float64(tp))
	}
	r.Result.Performance = s
}

// requests takes the per-request lists, where the file has them and says when
// each request was sent: without that, they tell nothing over time.
func (r *Imported) requests(o object) error {
	if !o.has("start_times", "ttfts", "itls", "input_lens", "output_lens") {
		return nil
	}
	var d struct {
		Start  []float64   `json:"start_times"` // s, of a clock with no known zero
		TTFT   []float64   `json:"ttfts"`       // s
		ITL    [][]float64 `json:"itls"`        // s
		Input  []int       `json:"input_lens"`
		Output []int       `json:"output_lens"`
		Errors []string    `json:"errors"`
	}
	for key, into := range map[string]any{"start_times": &d.Start, "ttfts": &d.TTFT, "itls": &d.ITL,
		"input_lens": &d.Input, "output_lens": &d.Output, "errors": &d.Errors} {
		if raw, ok := o[key]; ok {
			if err := json.Unmarshal(raw, into); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	n := len(d.Start)
	if n == 0 || len(d.TTFT) != n || len(d.ITL) != n || len(d.Input) != n || len(d.Output) != n {
		return fmt.Errorf("its per-request lists differ in length: %d start_times, %d ttfts, %d itls, %d input_lens, %d "+
			"output_lens", n, len(d.TTFT), len(d.ITL), len(d.Input), len(d.Output))
	}
	zero := slices.Min(d.Start)
	for i := range n {
		t := stats.Timing{Index: i, Sent: seconds(d.Start[i] - zero), InputTokens: d.Input[i], OutputTokens: d.Output[i],
			Chunks: len(d.ITL[i]) + 1}
		t.First = t.Sent + seconds(d.TTFT[i])
		t.Last = t.First
		t.ITL.Reserve(len(d.ITL[i]))
		for _, gap := range d.ITL[i] {
			t.ITL.Append(seconds(gap))
			t.Last += seconds(gap)
		}
		t.Done = t.Last
		if i < len(d.Errors) {
			t.Err = d.Errors[i]
		}
		r.Timings = append(r.Timings, t)
	}
	return nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

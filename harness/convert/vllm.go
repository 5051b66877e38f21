package convert

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/server"
	"inferbench/harness/stats"
)

// Endpoints as a result names them.
const (
	completionsEndpoint = "/v1/completions"
	chatEndpoint        = "/v1/chat/completions"
)

func isVLLM(o object) bool {
	o.underscored()
	return o.has("output_throughput", "completed") && (o.has("model_id") || o.has("endpoint_type"))
}

// vllm reads what `vllm bench serve --save-result` writes (keys as in
// vllm/benchmarks/serve.py), or a row of `vllm bench sweep`. It has neither the
// lengths asked for, nor the data set, nor the GPUs, unless they were given as
// --metadata random_input_len=… tp=…; which latencies it has is chosen by
// --percentile-metrics, but newer releases list every request's. Requests are there
// only with --save-detailed.
func vllm(o object, h Hints) (*Imported, error) {
	s := stats.Summary{
		Successful: o.int("completed"), Failed: o.int("failed"), Duration: o.float("duration"),
		OutputTokens:      int64(o.float("total_output_tokens")),
		RequestThroughput: o.float("request_throughput"), OutputThroughput: o.float("output_throughput"),
		Tokens: stats.Tokens{TokensFrom: "vllm bench serve"},
	}
	s.InputTokens, s.TotalThroughput = o.clientTotals()
	if !o.has("failed") { // releases before the key
		s.Failed = max(0, o.int("num_prompts")-s.Successful)
	}
	if _, reasons := failures(o); s.Failed > 0 {
		s.Errors = stats.FailuresOf(reasons)
	}
	if err := distributions(&s, o, 1, func(stat, m string) string { return stat + "_" + m + "_ms" }); err != nil {
		return nil, err
	}
	if drafts := o.number("spec_decode_num_drafts"); drafts != nil {
		var at []float64
		_ = json.Unmarshal(o["spec_decode_per_position_acceptance_rates"], &at) // absent where there is none
		s.Speculation = stats.NewSpeculation(drafts, o.number("spec_decode_draft_tokens"),
			o.float("spec_decode_accepted_tokens"), at)
	}
	if s.E2EL.Median == nil && s.Failed == 0 { // the list has failed requests too
		s.E2EL = stats.DistOf(o.secondsOf("latencies"))
	}
	r := &Imported{Tool: "vLLM bench serve", Duration: seconds(s.Duration)}
	r.Date, _ = time.ParseInLocation("20060102-150405", o.text("date"), time.Local)
	r.Result.Args = batch.Args{
		Model: first(h.Model, o.text("model_id")), Backend: o.text("backend", "endpoint_type"),
		DatasetName:    first(h.Dataset, o.text("dataset_name")),
		RandomInputLen: first(o.int("random_input_len"), h.ISL), RandomOutputLen: first(o.int("random_output_len"), h.OSL),
		MaxConcurrency: first(o.int("max_concurrency"), h.Conc), NumPrompts: o.int("num_prompts"),
		RequestRate: o.rate(), TP: first(o.gpus(), h.TP), ClientVersion: "vllm bench serve", Settings: o.arrivals(),
		Label: o.text("label"),
	}
	r.Result.Args.Endpoint = endpointOf(r.Result.Args.Backend)
	r.uncapped(o)
	r.perGPU(&s)
	r.told(o, clientKeys)
	r.keep(o, "failed_requests", o.has("failed") || o.int("num_prompts") > 0)
	ratio := o.number("random_range_ratio")
	switch {
	case ratio != nil && *ratio == 1: // all in the full length, by either reading
		r.Result.Args.RandomRangeRatio = 1
	case ratio != nil && r.around(*ratio):
	case ratio != nil:
		r.Result.Args.RandomRangeRatio = *ratio
	default:
		r.Result.Args.RandomRangeRatio = h.RangeRatio
	}
	if err := r.lengths(); err != nil {
		return nil, err
	}
	return r, r.requests(o)
}

// gpus is the number of GPUs of one server that is started with these sizes; 0
// where the object does not tell.
func (o object) gpus() int {
	tp := o.int("tp", "tp_size", "tensor_parallel_size")
	if tp == 0 {
		return 0
	}
	return tp * max(1, o.int("pp", "pp_size", "pipeline_parallel_size")) * max(1, o.int("dp", "data_parallel_size"))
}

// endpointOf is the endpoint that a client's backend asks; "" where its name
// does not tell.
func endpointOf(backend string) string {
	switch {
	case strings.HasSuffix(backend, "-chat"):
		return chatEndpoint
	case backend == "openai" || backend == server.VLLM.Name:
		return completionsEndpoint
	}
	return ""
}

// arrivals is how a request rate was spread, by the names of our settings.
func (o object) arrivals() map[string]string {
	out := map[string]string{}
	if b := o.number("burstiness"); b != nil && *b != 1 && o.rate() > 0 {
		out["BURSTINESS"] = strconv.FormatFloat(*b, 'g', -1, 64)
	}
	if ramp := o.text("ramp_up_strategy"); ramp != "" {
		out["RAMP_UP"] = fmt.Sprintf("%s from %g to %g requests/s", ramp, o.float("ramp_up_start_rps"),
			o.float("ramp_up_end_rps"))
	}
	if o.text("request_rate") == "trace" {
		out["TRACE"] = "true"
	}
	return out
}

// uncapped notes that the cell's CONC was no limit of the run's.
func (r *Imported) uncapped(o object) {
	if o.int("max_concurrency") == 0 {
		r.Result.Args.Settings["CONC_CAP"] = "false"
	}
}

// keep keeps the single values that the file has, under its own names, and notes
// which of our keys it says nothing of: failures is whether it tells those.
func (r *Imported) keep(o object, key string, told bool) {
	r.Result.NotTold = append(r.Result.NotTold, "itl_percentiles", "untimed_tokens")
	if !told {
		r.Result.NotTold = append(r.Result.NotTold, key)
	}
	own := map[string]json.RawMessage{}
	for k, raw := range o {
		if len(raw) > 0 && len(raw) <= 200 && raw[0] != '[' && raw[0] != '{' {
			own[k] = raw
		}
	}
	if len(own) > 0 {
		r.Result.Source, _ = json.Marshal(own) // each was read from JSON
	}
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

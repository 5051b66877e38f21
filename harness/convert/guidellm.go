package convert

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

// reports are the runs of a GuideLLM report, each with what the report says of
// all; nil where the object is none.
func reports(o object) (out []object) {
	if !o.has("benchmarks", "metadata") || isAIPerf(o) {
		return nil
	}
	for _, b := range o.list("benchmarks") {
		if b == nil {
			b = object{} // null: no benchmark, which its row says
		}
		b["report"], _ = json.Marshal(object{"config": o["config"], "args": o["args"], "metadata": o["metadata"]})
		out = append(out, b)
	}
	return out
}

func isGuideLLM(o object) bool { return o.at("metrics", "request_latency", "successful") != nil }

// guideLLM reads one benchmark of a GuideLLM report (benchmarks.json; keys as in
// guidellm/benchmark/schemas). Its ITL is one value a request, (latency − TTFT) /
// (tokens − 1), counted once a token: that is TPOT here. Its own TPOT is latency
// over tokens, with the TTFT in it, and is not taken.
func guideLLM(o object, h Hints) (*Imported, error) {
	metrics := o.at("metrics")
	totals := first2(metrics.at("request_totals"), o.at("request_totals"))
	tokens := func(metric string) float64 { return metrics.at(metric, "successful").float("total_sum") }
	rate := func(metric string) float64 { return metrics.at(metric, "total").float("mean") }
	s := stats.Summary{
		Successful: totals.int("successful"), Failed: totals.int("errored"), Duration: o.float("duration"),
		InputTokens:  new(int64(math.Round(tokens("prompt_token_count")))),
		OutputTokens: int64(math.Round(tokens("output_token_count"))), RequestThroughput: rate("requests_per_second"),
		OutputThroughput: rate("output_tokens_per_second"), TotalThroughput: new(rate("tokens_per_second")),
		Tokens: stats.Tokens{TokensFrom: "guidellm"},
	}
	s.TTFT = guideDist(metrics, "time_to_first_token_ms", 1)
	s.TPOT = guideDist(metrics, "inter_token_latency_ms", 1)
	s.ITL = s.TPOT
	s.E2EL = guideDist(metrics, "request_latency", 1000)
	s.Interactivity = interactivity(s.TPOT)

	r := &Imported{Tool: "GuideLLM", ratesApart: true, Duration: seconds(s.Duration), Date: unix(o.float("start_time"))}
	config, spec := first2(o.at("config"), o.at("args")), o.at("report", "config", "spec")
	backend := first2(config.at("backend"), spec.at("backend"))
	a := &r.Result.Args
	*a = batch.Args{
		Model:    first(h.Model, backend.text("model"), o.at("worker").text("backend_model"), guideModel(o)),
		BaseURL:  backend.text("target"),
		Endpoint: backend.text("request_format"), TP: h.TP, RandomRangeRatio: h.RangeRatio,
		ClientVersion: strings.TrimSpace("guidellm " + o.at("report", "metadata").text("guidellm_version")),
		Seed:          int64(spec.at("seed").int("value")), Settings: map[string]string{},
	}
	r.guideLoad(first2(config.at("strategy"), config.at("scheduler", "strategy")), h)
	if c := config.at("constraints", "max_requests", "args"); c != nil {
		a.NumPrompts = c.int("count", "max_num")
	}
	args := o.at("report", "args")
	if args == nil {
		args = o.at("request_loader") // releases before 0.4
	}
	r.guideLengths(spec, args, h)
	r.perGPU(&s)
	r.keep(nil, "failed_requests", totals != nil)
	if n := totals.int("incomplete"); n > 0 {
		r.Result.Notes = append(r.Result.Notes, fmt.Sprintf(
			"%d requests had not ended when the run did; GuideLLM's rates count them", n))
	}
	r.Result.Notes = append(r.Result.Notes, "its ITL, one value a request, stands under TPOT as well, which it is; "+
		"what it calls TPOT has the TTFT in it and is left out")
	r.guideRequests(o)
	return r, nil
}

// first2 is the first of two objects that there is.
func first2(a, b object) object {
	if a != nil {
		return a
	}
	return b
}

func interactivity(tpot stats.Dist) *float64 {
	if tpot.Median == nil || *tpot.Median <= 0 {
		return nil
	}
	return new(1000 / *tpot.Median)
}

func unix(s float64) time.Time {
	if s <= 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(s * 1e6))
}

// guideDist is the distribution of a metric over the successful requests. One of no
// request, which GuideLLM writes as zeros, is none.
func guideDist(metrics object, name string, scale float64) stats.Dist {
	d := metrics.at(name, "successful")
	if d.int("count") == 0 {
		return stats.Dist{}
	}
	p := d.at("percentiles")
	of := func(o object, key string) *float64 {
		v := o.number(key)
		if v != nil {
			*v *= scale
		}
		return v
	}
	return stats.Dist{Mean: of(d, "mean"), Median: of(d, "median"), Std: of(d, "std_dev"), Max: of(d, "max"),
		P90: of(p, "p90"), P95: of(p, "p95"), P99: of(p, "p99"), P99_9: of(p, "p999")}
}

// guideModel is the model that the first request asked for, where the backend was
// left to find it out.
func guideModel(o object) string {
	for _, q := range o.at("requests").list("successful") {
		var args object
		if json.Unmarshal([]byte(q.text("request_args")), &args) == nil {
			return args.at("body").text("model")
		}
	}
	return ""
}

// guideLoad reads the strategy: how many requests were in flight, or at which rate
// they came.
func (r *Imported) guideLoad(strategy object, h Hints) {
	a := &r.Result.Args
	limit := strategy.int("max_concurrency", "streams")
	switch kind := strategy.text("type_", "kind"); kind {
	case "synchronous":
		limit = 1
	case "constant", "poisson":
		a.RequestRate = batch.Rate(strategy.float("rate"))
		if kind == "constant" {
			a.Settings["BURSTINESS"] = kind
		}
	case "trace":
		a.Settings["TRACE"] = "true"
	}
	if limit == 0 {
		a.Settings["CONC_CAP"] = "false"
	}
	a.MaxConcurrency = first(limit, h.Conc)
	if ramp := strategy.float("rampup_duration"); ramp > 0 {
		a.Settings["RAMP_UP"] = (time.Duration(ramp * float64(time.Second))).String()
	}
}

// guideLengths reads the data that were asked for. Texts were cut by a tokenizer of
// the client's choice, so that totals which differ from what was asked for are no
// contradiction but must be known.
func (r *Imported) guideLengths(spec, args object, h Hints) {
	a := &r.Result.Args
	data := map[string]string{}
	for _, d := range spec.list("data") {
		for key := range d {
			data[key] = d.word(key)
		}
	}
	texts := []string{args.text("data")} // releases before 0.5: "prompt_tokens=256,output_tokens=64", or the same as JSON
	if texts[0] != "" || json.Unmarshal(args["data"], &texts) == nil {
		for _, text := range texts {
			var o object
			if json.Unmarshal([]byte(text), &o) == nil {
				for key := range o {
					data[key] = o.word(key)
				}
			}
			for _, field := range strings.Split(text, ",") {
				if key, v, ok := strings.Cut(field, "="); ok {
					data[strings.TrimSpace(key)] = strings.TrimSpace(v)
				}
			}
		}
	}
	length := func(key string) int { n, _ := strconv.Atoi(data[key]); return n }
	a.RandomInputLen = first(length("prompt_tokens"), h.ISL)
	a.RandomOutputLen = first(length("output_tokens"), h.OSL)
	a.DatasetName = first(h.Dataset, data["kind"])
	if a.DatasetName == "" && length("prompt_tokens") > 0 {
		a.DatasetName = "synthetic_text"
	}
	spread := ""
	for _, key := range []string{"prompt_tokens_stdev", "prompt_tokens_min", "prompt_tokens_max", "output_tokens_stdev",
		"output_tokens_min", "output_tokens_max"} {
		if v := data[key]; v != "" && v != "0" && h.Dataset == "" {
			spread += " " + key + " " + v
		}
	}
	a.DatasetName += spread
	if spread == "" && a.RandomRangeRatio == 0 && length("prompt_tokens") > 0 {
		a.RandomRangeRatio = 1
	}
}

// guideRequests takes the requests, where all that succeeded are in the file, and
// notes where their lengths are not what was asked for.
func (r *Imported) guideRequests(o object) {
	s, a := r.Result.Performance, r.Result.Args
	if why := r.misfit(a.RandomInputLen, a.RandomOutputLen, a.RandomRangeRatio); why != "" {
		r.Result.Notes = append(r.Result.Notes, "the server counts "+why+": the client's tokenizer was not the model's")
	}
	list := o.at("requests").list("successful")
	if len(list) == 0 || len(list) != s.Successful || s.Failed > 0 {
		return
	}
	zero := math.Inf(1)
	for _, q := range list {
		zero = min(zero, q.float("request_start_time"))
	}
	var out []stats.Timing
	for i, q := range list {
		at := q.at("info", "timings")
		first := at.number("first_token_iteration", "first_iteration")
		last := at.number("last_token_iteration", "last_iteration")
		sent, done := q.number("request_start_time"), q.number("request_end_time")
		if first == nil || last == nil || sent == nil || done == nil {
			return
		}
		out = append(out, stats.Timing{Index: i, Sent: seconds(*sent - zero), First: seconds(*first - zero),
			Last: seconds(*last - zero), Done: seconds(*done - zero), InputTokens: q.int("prompt_tokens"),
			OutputTokens: q.int("output_tokens"), Chunks: at.int("token_iterations")})
	}
	r.Timings = out
}

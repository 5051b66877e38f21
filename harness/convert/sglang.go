package convert

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/server"
	"inferbench/harness/stats"
)

func isSGLang(o object) bool {
	return o.has("mean_e2e_latency_ms", "total_input_tokens", "completed")
}

// sglang reads a line that `python -m sglang.bench_serving --output-file`
// appends (keys as in sglang/benchmark/serving.py). It has the lengths, and the
// model and the GPUs only where the server told of itself (server_info). How many
// requests failed it tells only with --output-details.
func sglang(o object, h Hints) (*Imported, error) {
	s := stats.Summary{
		Successful: o.int("completed"), Duration: o.float("duration"),
		OutputTokens:      int64(o.float("total_output_tokens")),
		RequestThroughput: o.float("request_throughput"), OutputThroughput: o.float("output_throughput"),
		Tokens: stats.Tokens{TokensFrom: "sglang.bench_serving"},
	}
	s.InputTokens, s.TotalThroughput = o.clientTotals()
	err := distributions(&s, o, 1, func(stat, m string) string {
		if m == "e2el" {
			return stat + "_e2e_latency_ms"
		}
		return stat + "_" + m + "_ms"
	})
	if err != nil {
		return nil, err
	}
	if cache := o.at("cache_report"); cache != nil && s.InputTokens != nil && *s.InputTokens > 0 {
		found := cache.float("total_cached_tokens")
		s.Cache = stats.Cache{CachedTokens: new(int64(found)), CachedFrom: "usage",
			HitRate: new(found / float64(*s.InputTokens))}
	}
	var told object
	_ = json.Unmarshal(o["server_info"], &told) // null where the server did not tell
	r := &Imported{Tool: "SGLang bench_serving", Duration: seconds(s.Duration)}
	r.Result.Args = batch.Args{
		Model: first(h.Model, told.text("served_model_name", "model_path")), Backend: o.text("backend"),
		DatasetName:    first(h.Dataset, sglangDataset(o.text("dataset_name"))),
		MaxConcurrency: first(o.int("max_concurrency"), h.Conc),
		RequestRate:    o.rate(), TP: first(sglangGPUs(told), h.TP), Settings: o.arrivals(),
		BackendVersion: told.text("version"), ClientVersion: "sglang.bench_serving",
		Label: o.text("tag"),
	}
	a := &r.Result.Args
	if a.Endpoint = endpointOf(a.Backend); a.Endpoint == "" {
		a.Endpoint = sglangEndpoint(a.Backend)
	}
	a.RandomInputLen, a.RandomOutputLen = h.ISL, h.OSL // where the data set has lengths of its own
	if random(a.DatasetName) || a.DatasetName == shareGPTText {
		a.RandomInputLen = first(o.int("random_input_len"), h.ISL)
		a.RandomOutputLen = first(o.int("random_output_len"), h.OSL)
		a.RandomRangeRatio = first(o.float("random_range_ratio"), h.RangeRatio)
		if v := o.number("random_range_ratio"); v != nil && *v == 0 && h.RangeRatio == 0 {
			return nil, errors.New("its lengths were anything from 1 to the full ones (random_range_ratio 0, the client's " +
				"default), as in no cell here: run it with --random-range-ratio 1")
		}
	}
	r.uncapped(o)
	r.perGPU(&s)
	sent, reasons := failures(o)
	if sent > 0 {
		a.NumPrompts, s.Failed = sent, max(0, sent-s.Successful)
		s.Errors = stats.FailuresOf(reasons)
	} else {
		r.Result.Notes = append(r.Result.Notes, fmt.Sprintf("the file does not tell how many requests failed: it counts the "+
			"%d that did not; run with --output-details to know", s.Successful))
	}
	r.told(o, clientKeys)
	r.keep(o, "failed_requests", sent > 0)
	if err := r.lengths(); err != nil {
		return nil, err
	}
	return r, r.requests(o)
}

// shareGPTText is what SGLang's client calls "random": text of ShareGPT, cut or
// repeated to random lengths.
const shareGPTText = "random (text of ShareGPT)"

// sglangDataset is what a data set of SGLang's client is called here: its
// "random-ids" are what others call random.
func sglangDataset(name string) string {
	switch name {
	case "random-ids":
		return "random"
	case "random":
		return shareGPTText
	}
	return name
}

// sglangEndpoint is the endpoint that is asked where the backend's name has no
// ending: the server's own for SGLang's, else that of completions.
func sglangEndpoint(backend string) string {
	base, kind, _ := strings.Cut(backend, "-")
	switch {
	case base == server.SGLang.Name && (kind == "" || kind == "native"):
		return "/generate"
	case kind == "oai":
		return completionsEndpoint
	}
	return ""
}

// sglangGPUs is the number of GPUs by the server's own arguments; 0 where it told
// none. With attention's data parallelism the ranks share the GPUs of TP.
func sglangGPUs(told object) int {
	n := told.int("tp_size") * max(1, told.int("pp_size"))
	if !told.bool("enable_dp_attention") {
		n *= max(1, told.int("dp_size"))
	}
	return n
}

// failures is how many requests were sent, 0 where the file does not tell, and
// those that failed.
func failures(o object) (sent int, failed []stats.Timing) {
	var d struct {
		Output []int    `json:"output_lens"`
		Errors []string `json:"errors"`
	}
	if json.Unmarshal(o["output_lens"], &d.Output) != nil {
		return 0, nil
	}
	_ = json.Unmarshal(o["errors"], &d.Errors) // none in older files
	for i, n := range d.Output {
		switch {
		case i < len(d.Errors) && d.Errors[i] != "":
			failed = append(failed, stats.Timing{Err: oneLine(d.Errors[i])})
		case n == 0:
			failed = append(failed, stats.Timing{Err: "no token came"})
		}
	}
	return len(d.Output), failed
}

// oneLine is the last line of an error, which is what a Python traceback ends in.
func oneLine(s string) string {
	s = strings.TrimSpace(s)
	return s[strings.LastIndex(s, "\n")+1:]
}

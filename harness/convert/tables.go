package convert

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// tables reads the CSV of AIPerf or of GuideLLM as the objects that their JSON
// holds, as far as it tells: rounded, and of AIPerf without what was asked for. It
// is nil for anything else.
func tables(text []byte) []object {
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	head, err := r.Read()
	if err != nil || len(head) < 2 {
		return nil
	}
	var records [][]string
	switch {
	case head[0] == "Metric":
		for rec, err := r.Read(); err == nil; rec, err = r.Read() {
			records = append(records, rec)
		}
		return aiperfTable(head, records)
	case head[0] == "Run Info":
		for rec, err := r.Read(); err == nil; rec, err = r.Read() {
			records = append(records, rec)
		}
		return guideTable(head, records)
	}
	return nil
}

// orYAML is the JSON of what a report in YAML holds; anything else is returned as it
// is.
func orYAML(text []byte) []byte {
	if !bytes.Contains(text, []byte("benchmarks:")) || bytes.ContainsAny(bytes.TrimLeft(text, " \t\r\n")[:1], "{[") {
		return text
	}
	var v any
	if yaml.Unmarshal(text, &v) != nil {
		return text
	}
	b, err := json.Marshal(finite(v))
	if err != nil {
		return text
	}
	return b
}

// finite has null in place of what JSON has no number for.
func finite(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = finite(v[k])
		}
	case []any:
		for i := range v {
			v[i] = finite(v[i])
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	}
	return v
}

// cell is a field of a table as JSON: a number, or a text.
func cell(field string) json.RawMessage {
	if v, err := strconv.ParseFloat(field, 64); err == nil && !math.IsNaN(v) && !math.IsInf(v, 0) {
		b, _ := json.Marshal(v)
		return b
	}
	b, _ := json.Marshal(field) // a string
	return b
}

// put sets a value under keys within each other.
func (o object) put(value json.RawMessage, path ...string) {
	if len(path) == 1 {
		o[path[0]] = value
		return
	}
	inner := o.at(path[0])
	if inner == nil {
		inner = object{}
	}
	inner.put(value, path[1:]...)
	o[path[0]], _ = json.Marshal(inner)
}

// inUnit is a metric's name with its unit: "Request Latency (ms)".
var inUnit = regexp.MustCompile(`^(.*?)(?: \(([^()]*)\))?$`)

// aiperfTags are what AIPerf's CSV calls metrics otherwise than its JSON does.
var aiperfTags = map[string]string{
	"total_input_sequence_length": "total_isl", "total_output_sequence_length": "total_osl",
}

// aiperfTable reads a row a metric: those with a distribution, then those with one
// value.
func aiperfTable(head []string, records [][]string) []object {
	o := object{}
	for _, rec := range records {
		switch {
		case len(rec) < 2:
			continue
		case rec[0] == "Metric":
			head = rec
			continue
		case rec[0] == "Endpoint": // the GPUs' telemetry follows
			return []object{o}
		}
		m := inUnit.FindStringSubmatch(rec[0])
		tag := strings.ReplaceAll(strings.ToLower(m[1]), " ", "_")
		if renamed, ok := aiperfTags[tag]; ok {
			tag = renamed
		}
		metric := object{"unit": cell(m[2])}
		for i := 1; i < min(len(rec), len(head)); i++ {
			if rec[i] != "" {
				metric[strings.ToLower(strings.Replace(head[i], "Value", "avg", 1))] = cell(rec[i])
			}
		}
		if tag != "" {
			o[tag], _ = json.Marshal(metric)
		}
	}
	return []object{o}
}

// guideColumns are the columns of GuideLLM's CSV, by group and name, and where
// the same stands in its JSON.
var guideColumns = map[[2]string][]string{
	{"Request Latency", "Successful Sec"}:                {"metrics", "request_latency", "successful"},
	{"Time to First Token", "Successful ms"}:             {"metrics", "time_to_first_token_ms", "successful"},
	{"Inter Token Latency", "Successful ms"}:             {"metrics", "inter_token_latency_ms", "successful"},
	{"Token Metrics", "Successful Input Tokens"}:         {"metrics", "prompt_token_count", "successful"},
	{"Token Metrics", "Successful Output Tokens"}:        {"metrics", "output_token_count", "successful"},
	{"Server Throughput", "Successful Requests/Sec"}:     {"metrics", "requests_per_second", "total"},
	{"Token Throughput", "Successful Output Tokens/Sec"}: {"metrics", "output_tokens_per_second", "total"},
	{"Token Throughput", "Successful Total Tokens/Sec"}:  {"metrics", "tokens_per_second", "total"},
	{"Request Counts", "Successful"}:                     {"metrics", "request_totals", "successful"},
	{"Request Counts", "Errored"}:                        {"metrics", "request_totals", "errored"},
	{"Request Counts", "Incomplete"}:                     {"metrics", "request_totals", "incomplete"},
	{"Timings", "Duration"}:                              {"duration"},
	{"Run Info", "Backend"}:                              {"config", "backend"},
	{"Benchmark", "Constraints"}:                         {"config", "constraints"},
	{"Runtime Info", "Metadata"}:                         {"report", "metadata"},
	{"Runtime Info", "Arguments"}:                        {"report", "config"},
}

// guidePercentiles are the columns "Percentiles", in order.
var guidePercentiles = []string{"", "p001", "p01", "p05", "p10", "p25", "p75", "p90", "p95", "p99", ""}

// guideTable reads a row a benchmark, under three rows of heads: group, name,
// statistic.
func guideTable(groups []string, records [][]string) (out []object) {
	if len(records) < 3 {
		return []object{} // heads alone: nothing to import
	}
	for _, rec := range records[2:] {
		o := object{}
		for i, field := range rec {
			if i >= len(groups) || i >= len(records[0]) || i >= len(records[1]) || field == "" {
				continue
			}
			group, name, stat := groups[i], records[0][i], strings.ToLower(records[1][i])
			if group == "Benchmark" && name == "Strategy" {
				o.put(strategy(field), "config", "strategy")
				continue
			}
			path := guideColumns[[2]string{group, name}]
			if path == nil {
				continue
			}
			value := cell(field)
			if json.Valid([]byte(field)) {
				value = json.RawMessage(field)
			}
			switch stat {
			case "mean", "median":
				path = append(slices.Clip(path), stat)
			case "std dev":
				path = append(slices.Clip(path), "std_dev")
			case "percentiles":
				o.put(json.RawMessage("1"), append(slices.Clip(path), "count")...) // there are some
				o.percentiles(field, path)
				continue
			}
			o.put(value, path...)
		}
		o.sums()
		out = append(out, o)
	}
	return out
}

// percentiles sets what a column "Percentiles" lists.
func (o object) percentiles(field string, path []string) {
	values := strings.Split(strings.Trim(field, "[]"), ",")
	if len(values) != len(guidePercentiles) {
		return
	}
	for i, v := range values {
		if at := guidePercentiles[i]; at != "" {
			o.put(cell(strings.TrimSpace(v)), append(slices.Clip(path), "percentiles", at)...)
		}
	}
	o.put(cell(strings.TrimSpace(values[len(values)-1])), append(slices.Clip(path), "max")...)
}

// sums makes of a mean number of tokens their total, which the table leaves out.
func (o object) sums() {
	n := o.at("metrics", "request_totals").float("successful")
	for _, metric := range []string{"prompt_token_count", "output_token_count"} {
		if m := o.at("metrics", metric, "successful"); m != nil {
			total, _ := json.Marshal(m.float("mean") * n)
			o.put(total, "metrics", metric, "successful", "total_sum")
		}
	}
}

// strategy reads a strategy as the table names it: concurrent@4, poisson@2.50.
func strategy(text string) json.RawMessage {
	kind, at, _ := strings.Cut(text, "@")
	out := object{"type_": cell(kind)}
	if n := leading.FindString(at); n != "" {
		key := "streams"
		if kind == "constant" || kind == "poisson" {
			key = "rate"
		}
		out[key] = json.RawMessage(n)
	}
	b, _ := json.Marshal(out)
	return b
}

var leading = regexp.MustCompile(`^[1-9][0-9]*(\.[0-9]+)?`)

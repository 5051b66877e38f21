package server

import (
	"context"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"inferbench/harness/promtext"
)

// About is what a server says of itself: how it was started, as far as that
// bears on its figures. What it does not tell is empty or 0. All of it is fit to
// be shown, and secrets among the flags are taken out.
type About struct {
	Engine          string            `json:"engine"` // its dialect
	Version         string            `json:"version,omitempty"`
	ModelPath       string            `json:"model_path,omitempty"`
	GPUs            int               `json:"gpus,omitempty"` // of all ranks: what TP should be
	TP              int               `json:"tp,omitempty"`   // GPUs that a layer is split over
	PP              int               `json:"pp,omitempty"`   // stages that the layers are split over
	DP              int               `json:"dp,omitempty"`   // replicas
	EP              int               `json:"ep,omitempty"`   // GPUs that the experts are split over
	DType           string            `json:"dtype,omitempty"`
	Quantization    string            `json:"quantization,omitempty"`
	KVCacheDType    string            `json:"kv_cache_dtype,omitempty"`
	KVCacheTokens   int               `json:"kv_cache_tokens,omitempty"` // that the KV caches of all replicas hold
	Speculation     string            `json:"speculation,omitempty"`
	SyntheticLength float64           `json:"synthetic_acceptance_length,omitempty"`
	Flags           map[string]string `json:"flags,omitempty"` // of cache, scheduler, parallelism, precision, speculation
	From            []string          `json:"from,omitempty"`  // the pages that say so
}

// Synthetic reports whether the server says that it accepts speculated tokens
// unseen, at a length that it was told: its text is then not the model's.
func (a About) Synthetic() bool {
	said := strings.ToLower(a.Speculation)
	for name, value := range a.Flags {
		said += " " + strings.ToLower(name+"="+value)
	}
	for _, word := range []string{"synthetic", "simulate_acc", "simulate-acc"} {
		if strings.Contains(said, word) {
			return true
		}
	}
	return false
}

// about asks the dialect's pages.
func (t *Server) about(ctx context.Context) About {
	a := About{Engine: t.Dialect.Name, Version: t.Version}
	pages := t.Dialect.Pages
	if pages == nil {
		pages = OpenAI.Pages
	}
	for _, p := range pages {
		for _, path := range p.Paths {
			if body, err := t.Page(ctx, path); err == nil && t.take(&a, p.read(body)) {
				a.From = append(a.From, path)
				break
			}
		}
	}
	if t.Version == "" {
		t.Version = a.Version
	}
	return a
}

// Page is a page that says how a server was started.
type Page struct {
	Paths []string // under which it may be, in the order in which they are tried
	// read gives the flags of each instance that the page is of: one, or the
	// workers behind a router. Nil where it is another page.
	read func(body []byte) []map[string]string
}

// take adds what a page says to a, which pages before it may have begun. It
// reports whether there was anything.
func (t *Server) take(a *About, instances []map[string]string) bool {
	gpus := 0
	for _, flags := range instances {
		gpus += gpusOf(flags)
	}
	if len(instances) == 0 || len(instances[0]) == 0 {
		return false
	}
	flags := instances[len(instances)-1] // of several the last: those behind a router that decode
	text := func(into *string, names ...string) {
		for _, name := range names {
			if v := flags[name]; *into == "" && !isNone(v) {
				*into = t.name(withoutLogin(v))
			}
		}
	}
	number := func(into *int, names ...string) {
		for _, name := range names {
			if n, err := strconv.Atoi(flags[name]); *into == 0 && err == nil && n > 0 {
				*into = n
			}
		}
	}
	text(&a.Version, "version", "build_info")
	text(&a.ModelPath, "model_path", "model")
	text(&a.DType, "dtype")
	text(&a.Quantization, "quantization")
	text(&a.KVCacheDType, "kv_cache_dtype", "cache_dtype")
	text(&a.Speculation, "speculative_algorithm", "speculative_config")
	number(&a.TP, "tp_size", "tensor_parallel_size")
	number(&a.PP, "pp_size", "pipeline_parallel_size")
	number(&a.DP, "dp_size", "data_parallel_size")
	number(&a.EP, "ep_size", "expert_parallel_size")
	if a.GPUs == 0 {
		a.GPUs = gpus
	}
	a.KVCacheTokens = max(a.KVCacheTokens, kvTokens(instances))
	if a.SyntheticLength == 0 {
		a.SyntheticLength = syntheticLength(flags)
	}
	t.keepFlags(a, flags)
	return true
}

// setLength finds the acceptance length that a server was told, as vLLM's
// speculative_config, SGLang's variable and ATOM's flag name it.
var setLength = regexp.MustCompile(`(?i)(?:synthetic_acceptance_length|simulate_acc_len|spec_decode_acceptance_length)\W+([0-9.]+)`)

func syntheticLength(flags map[string]string) float64 {
	for name, v := range flags {
		if m := setLength.FindStringSubmatch(name + "=" + v); m != nil {
			if n, err := strconv.ParseFloat(m[1], 64); err == nil {
				return n
			}
		}
	}
	return 0
}

// gpusOf counts an instance's GPUs. SGLang's attention can be data-parallel
// within the GPUs of its tensor parallelism.
func gpusOf(flags map[string]string) int {
	n, told := 1, false
	for _, names := range [][]string{{"tp_size", "tensor_parallel_size"}, {"pp_size", "pipeline_parallel_size"},
		{"prefill_context_parallel_size"}, {"dp_size", "data_parallel_size"}} {
		for i, name := range names {
			v, err := strconv.Atoi(flags[name])
			if err != nil || v < 1 || name == "dp_size" && strings.EqualFold(flags["enable_dp_attention"], "true") {
				continue
			}
			n *= v
			told = told || i < 2 && (name == "tp_size" || name == "tensor_parallel_size")
			break
		}
	}
	if !told {
		return 0
	}
	return n
}

// kvTokens adds up what the KV caches of instances hold; 0 where one does not say. A
// replica has one of its own, and the flag says how much one holds.
func kvTokens(instances []map[string]string) (sum int) {
	for _, flags := range instances {
		n := 0
		for _, name := range []string{"max_total_num_tokens", "kv_cache_size_tokens"} {
			if v, err := strconv.Atoi(flags[name]); n == 0 && err == nil && v > 0 {
				n = v
			}
		}
		if n == 0 {
			return 0
		}
		for _, name := range []string{"dp_size", "data_parallel_size"} {
			if v, err := strconv.Atoi(flags[name]); err == nil && v > 1 && v <= math.MaxInt/n {
				n *= v
				break
			}
		}
		if sum += n; sum < 0 {
			return 0
		}
	}
	return sum
}

// mostFlags bounds what a result keeps of a server's word.
const mostFlags = 200

var (
	telling = regexp.MustCompile(`(?i)cache|caching|radix|prefill|sched|mem_|memory|max_running|max_num|max_total|batch|attention|spec|draft|quant|dtype|` +
		`parallel|_size$|simulate|synthetic|moe|expert|graph|decode|stream_interval|context|model_len|seq|disagg|overlap|backend|eager|n_ctx|slots|profiler_dir`)
	secretFlag = regexp.MustCompile(`(?i)(^|_)(api_?)?keys?$|keyfile|secret|passw|credential|(^|_)tokens?$|bearer`)
	login      = regexp.MustCompile(`://[^/@\s]+@`)
)

// holdsSecret tells by a flag's name whether its value is one; a number, as of
// tokens, is none.
func holdsSecret(name, value string) bool {
	_, err := strconv.ParseFloat(value, 64)
	return err != nil && secretFlag.MatchString(name)
}

func withoutLogin(v string) string { return login.ReplaceAllString(v, "://[secret]@") }

func isNone(v string) bool { return v == "" || v == "None" || v == "null" }

// keepFlags keeps the flags that tell of speed, and of those that hold a secret
// that they were given.
func (t *Server) keepFlags(a *About, flags map[string]string) {
	names := make([]string, 0, len(flags))
	for name := range flags {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		v := flags[name]
		secret := holdsSecret(name, v)
		if isNone(v) || !secret && !telling.MatchString(name) || len(a.Flags) >= mostFlags {
			continue
		}
		if a.Flags == nil {
			a.Flags = map[string]string{}
		}
		if v = t.name(withoutLogin(v)); secret {
			v = "[secret]"
		}
		a.Flags[t.name(name)] = v
	}
}

// leaves are the values of a JSON object and of those within it, by their own
// names; lists, and objects of none, are kept as they are written.
func leaves(v gjson.Result, into map[string]string) map[string]string {
	v.ForEach(func(key, value gjson.Result) bool {
		switch name := key.String(); {
		case value.IsObject() && strings.HasSuffix(name, "_config") && name != "speculative_config":
			leaves(value, into)
		case value.IsObject() && name != "speculative_config", value.IsArray() && name == "internal_states":
		default:
			if _, ok := into[name]; !ok {
				into[name] = hideWithin(value)
			}
		}
		return true
	})
	return into
}

// hideWithin writes a value, and within a list or an object no secret.
func hideWithin(v gjson.Result) string {
	if !v.IsObject() && !v.IsArray() {
		return v.String()
	}
	var parts []string
	v.ForEach(func(key, value gjson.Result) bool {
		text := hideWithin(value)
		if key.Type == gjson.String {
			if holdsSecret(key.Str, text) {
				text = "[secret]"
			}
			text = key.Str + ":" + text
		}
		parts = append(parts, text)
		return true
	})
	open, shut := "[", "]"
	if v.IsObject() {
		open, shut = "{", "}"
	}
	return open + strings.Join(parts, ",") + shut
}

// infoSeries reads the labels of info series of a /metrics page, whose value
// says nothing, under the given names.
func infoSeries(names ...string) func([]byte) []map[string]string {
	return func(body []byte) []map[string]string {
		families, err := promtext.Read(body)
		if err != nil {
			return nil
		}
		flags := map[string]string{}
		for _, name := range names {
			if n := len(families[name].GetMetric()); n > 1 { // one a replica
				flags["data_parallel_size"] = strconv.Itoa(n)
			}
			for _, m := range families[name].GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetName() != "engine" && l.GetName() != "model_name" {
						flags[l.GetName()] = l.GetValue()
					}
				}
			}
		}
		return []map[string]string{flags}
	}
}

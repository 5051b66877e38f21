package realengine

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/engine"
	"inferbench/harness/server"
)

// recordedWire is what the real vLLM sent, by [questions]: no values, but which
// keys there were, and of what type. -update writes it anew.
const recordedWire = "testdata/vllm-wire.json"

// answer is the form of one answer: its status and, by part, its keys as
// "choices[].text string". A stream's parts are its chunks by their place.
type answer struct {
	Status int                 `json:"status"`
	Type   string              `json:"content_type"`
	Keys   map[string][]string `json:"keys"`
}

// questions are what the suite asks a server, and what it asks wrongly. MODEL
// stands for the model's name.
var questions = []struct{ name, method, path, body string }{
	{"models", "GET", "/v1/models", ""},
	{"version", "GET", "/version", ""},
	{"tokenize", "POST", "/tokenize", `{"model":"MODEL","prompt":"one two","add_special_tokens":false}`},
	{"completion", "POST", "/v1/completions", `{"model":"MODEL","prompt":[5,6,7],"max_tokens":4,"temperature":0,"ignore_eos":true}`},
	{"completion of a text", "POST", "/v1/completions", `{"model":"MODEL","prompt":"one two","max_tokens":4,"temperature":0,"seed":1234,"stop":["zzz"]}`},
	{"scored", "POST", "/v1/completions", `{"model":"MODEL","prompt":[5,6,7],"max_tokens":1,"temperature":0,"logprobs":1,"echo":true,"seed":1234}`},
	{"greedy", "POST", "/v1/completions", `{"model":"MODEL","prompt":[5,6,7],"max_tokens":4,"temperature":0,"logprobs":1,"ignore_eos":true,` +
		`"return_token_ids":true,"return_tokens_as_token_ids":true}`},
	{"stream", "POST", "/v1/completions", `{"model":"MODEL","prompt":[5,6,7],"max_tokens":4,"temperature":0,"ignore_eos":true,"stream":true,` +
		`"stream_options":{"include_usage":true}}`},
	{"chat", "POST", "/v1/chat/completions", `{"model":"MODEL","messages":[{"role":"user","content":"one"}],"max_tokens":4,"temperature":0,"ignore_eos":true}`},
	{"chat stream", "POST", "/v1/chat/completions", `{"model":"MODEL","messages":[{"role":"user","content":"one"}],"max_tokens":4,"temperature":0,` +
		`"ignore_eos":true,"stream":true,"stream_options":{"include_usage":true}}`},
	{"reset", "POST", "/reset_prefix_cache", ""},
	{"another model", "POST", "/v1/completions", `{"model":"another","prompt":[5],"max_tokens":1}`},
	{"too long", "POST", "/v1/completions", `{"model":"MODEL","prompt":[5,6,7],"max_tokens":999999999}`},
	{"out of vocabulary", "POST", "/v1/completions", `{"model":"MODEL","prompt":[999999],"max_tokens":1}`},
	{"no prompt", "POST", "/v1/completions", `{"model":"MODEL","max_tokens":1}`},
	{"no JSON", "POST", "/v1/completions", `{"model":`},
	{"a stream that is too long", "POST", "/v1/completions", `{"model":"MODEL","prompt":[5],"max_tokens":999999999,"stream":true}`},
	{"no such page", "GET", "/v1/nothing", ""},
	{"no such verb", "GET", "/v1/completions", ""},
}

// wireOf asks a server every question.
func wireOf(t *testing.T, url, model string) map[string]answer {
	t.Helper()
	out := map[string]answer{}
	for _, q := range questions {
		req, err := http.NewRequestWithContext(t.Context(), q.method, url+q.path, strings.NewReader(strings.ReplaceAll(q.body, "MODEL", model)))
		require.NoError(t, err)
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.NoError(t, err)
		kind, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
		out[q.name] = answer{Status: resp.StatusCode, Type: kind, Keys: parts(t, kind, body)}
	}
	out["metrics"] = metricsOf(t, url)
	return out
}

// parts are the keys of an answer, or of a stream's first chunk, those after it,
// the one that finishes, and those without choices.
func parts(t *testing.T, kind string, body []byte) map[string][]string {
	t.Helper()
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	if kind == "application/json" {
		return map[string][]string{"": keysOf(t, body)}
	}
	if kind != "text/event-stream" {
		return map[string][]string{"": {"text"}}
	}
	out := map[string][]string{}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var chunk struct {
			Choices []struct {
				Finish *string `json:"finish_reason"`
			}
		}
		require.NoError(t, json.Unmarshal([]byte(data), &chunk))
		part := "chunk"
		switch {
		case len(chunk.Choices) == 0:
			part = "usage"
		case chunk.Choices[0].Finish != nil:
			part = "finish"
		case len(out) == 0:
			part = "first chunk"
		}
		out[part] = keysOf(t, []byte(data))
	}
	return out
}

// keysOf lists an object's keys, with their types, in order.
func keysOf(t *testing.T, body []byte) []string {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(body, &v), "%s", body)
	seen := map[string]bool{}
	walk("", v, seen)
	var out []string
	for k := range seen {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func walk(path string, v any, seen map[string]bool) {
	switch v := v.(type) {
	case map[string]any:
		if strings.HasSuffix(path, "top_logprobs[]") { // its keys are tokens
			seen[path+" object"] = true
			return
		}
		for k, v := range v {
			if _, err := strconv.Atoi(k); err == nil {
				k = "#" // a token's id
			}
			walk(strings.TrimPrefix(path+"."+k, "."), v, seen)
		}
	case []any:
		seen[path+" list"] = true
		for _, v := range v {
			walk(path+"[]", v, seen)
		}
	case nil:
		seen[path+" null"] = true
	default:
		kind := map[reflect.Kind]string{reflect.String: "string", reflect.Float64: "number", reflect.Bool: "bool"}
		seen[path+" "+kind[reflect.TypeOf(v).Kind()]] = true
	}
}

// metricsOf is the form of /metrics: the engine's own series, their types and the
// names of their labels.
func metricsOf(t *testing.T, url string) answer {
	t.Helper()
	resp, err := http.Get(url + "/metrics")
	require.NoError(t, err)
	defer resp.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(resp.Body)
	require.NoError(t, err)
	out := answer{Status: resp.StatusCode, Type: "text/plain", Keys: map[string][]string{}}
	for name, f := range families {
		if !strings.HasPrefix(name, "vllm:") || strings.HasSuffix(name, "_created") {
			continue
		}
		var labels []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			labels = append(labels, l.GetName())
		}
		slices.Sort(labels)
		out.Keys[name] = append([]string{strings.ToLower(dto.MetricType_name[int32(f.GetType())])}, labels...)
	}
	return out
}

// What the real vLLM sends is what is recorded.
func TestVLLMsWire(t *testing.T) {
	s := vllm(t, nil, "--enable-prompt-tokens-details")
	tg := server.New(s.URL, "", "", nil)
	require.NoError(t, tg.Wait(t.Context(), server.WaitOptions{Timeout: time.Minute}))
	got := wireOf(t, s.URL, tg.Model)
	if *update {
		b, err := json.MarshalIndent(got, "", " ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(recordedWire, append(b, '\n'), 0o644))
	}
	assert.Equal(t, recorded(t), got)
}

func recorded(t *testing.T) (wire map[string]answer) {
	t.Helper()
	b, err := os.ReadFile(recordedWire)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(b, &wire))
	return wire
}

// The embedded engine, as vLLM, answers every question in the form that the real
// one did.
func TestTheEmbeddedEngineSpeaksAsVLLM(t *testing.T) {
	e, err := engine.Start(engine.Config{Dialect: engine.VLLM})
	require.NoError(t, err)
	defer e.Close()
	want, got := recorded(t), wireOf(t, e.URL(), "inferbench-ngram")
	for _, q := range questions {
		w, g := want[q.name], got[q.name]
		if q.name == "scored" { // vLLM sends the same log-probabilities a second time, which nobody reads
			for _, a := range []answer{w, g} {
				a.Keys[""] = slices.DeleteFunc(a.Keys[""], func(k string) bool { return strings.HasPrefix(k, "choices[].prompt_logprobs") })
			}
		}
		assert.Equal(t, []any{w.Status, w.Type}, []any{g.Status, g.Type}, q.name)
		assert.ElementsMatch(t, slices.Collect(maps.Keys(w.Keys)), slices.Collect(maps.Keys(g.Keys)), q.name)
		for part, keys := range w.Keys {
			lacks, has := slices.DeleteFunc(slices.Clone(keys), in(g.Keys[part])), slices.DeleteFunc(slices.Clone(g.Keys[part]), in(keys))
			assert.Empty(t, lacks, "%s %s: vLLM sends these besides", q.name, part)
			assert.Empty(t, has, "%s %s: vLLM does not send these", q.name, part)
		}
	}
}

func in(list []string) func(string) bool {
	return func(s string) bool { return slices.Contains(list, s) }
}

// Every figure of /metrics that is read of vLLM has a name that the real one has,
// and the embedded engine shows it under that name, as what it is there.
func TestMetricsAreNamedAsVLLMNamesThem(t *testing.T) {
	e, err := engine.Start(engine.Config{Dialect: engine.VLLM, Profile: "fast"})
	require.NoError(t, err)
	defer e.Close()
	wireOf(t, e.URL(), "inferbench-ngram") // so that each has something to tell
	vllms, own := recorded(t)["metrics"].Keys, metricsOf(t, e.URL()).Keys
	names := reflect.ValueOf(server.VLLM.Metrics)
	for i := range names.NumField() {
		list, ok := names.Field(i).Interface().([]string)
		figure := names.Type().Field(i).Name
		if !ok || len(list) == 0 || strings.Contains("Drafts DraftTokens Accepted AcceptedAt", figure) { // of a server that speculates
			continue
		}
		at := slices.IndexFunc(list, func(name string) bool { return vllms[name] != nil })
		require.GreaterOrEqual(t, at, 0, "%s: vLLM has none of %v", figure, list)
		name := list[at]
		if figure == "CacheElsewhere" && own[name] == nil { // the engine has no cache elsewhere
			continue
		}
		assert.Equal(t, vllms[name], own[name], "%s: %s", figure, name)
	}
}

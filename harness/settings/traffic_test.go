package settings

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
	workloads "inferbench/harness/workload"
)

func TestTraffic(t *testing.T) {
	data := filepath.Join(t.TempDir(), "x.jsonl")
	require.NoError(t, os.WriteFile(data, nil, 0o600))
	bare, err := load(t, nil, nil, "")
	require.NoError(t, err)
	assert.Equal(t, Workload{Dataset: workloads.RandomIDs, RangeRatio: 1, Seed: 1, Prefixes: 1}, bare.Workload)
	assert.Equal(t, Shape{Burstiness: 1}, bare.Shape)

	s, err := load(t, []string{"-trace"}, map[string]string{
		"DATASET": "jsonl", "DATASET_PATH": data, "ENDPOINT": "chat", "EXTRA_BODY": `{"top_p":0.9,"ignore_eos":null}`,
		"HEADERS": "X-One: 1; x-two: a:b", "CONC_CAP": "false", "DURATION": "2m", "GOODPUT": "ttft:500 tpot:50",
	}, "")
	require.NoError(t, err)
	assert.Equal(t, Workload{
		Dataset: workloads.JSONL, Path: data, RangeRatio: 1, Seed: 1, Prefixes: 1, Chat: true,
		Headers:   map[string][]string{"X-One": {"1"}, "X-Two": {"a:b"}},
		ExtraBody: map[string]json.RawMessage{"top_p": []byte("0.9"), "ignore_eos": []byte("null")},
	}, s.Workload)
	assert.Equal(t, Shape{Trace: true, Uncapped: true, Duration: 2 * time.Minute,
		Burstiness: 1, SLO: stats.SLO{"ttft": 500, "tpot": 50}}, s.Shape)
	assert.NotContains(t, s.Given, "HEADERS", "a header may hold a key")

	s, err = load(t, []string{"-request-rate", "12.5", "-shared-prefix", "0.5", "-prefixes", "4", "-burstiness", "constant", "-ramp-up", "30s"}, nil, "")
	require.NoError(t, err)
	assert.Equal(t, 12.5, s.Shape.Rate)
	assert.Equal(t, math.Inf(1), s.Shape.Burstiness)
	assert.Equal(t, 30*time.Second, s.Shape.RampUp)
	assert.Equal(t, 0.5, s.Workload.SharedPrefix)
	assert.Equal(t, 4, s.Workload.Prefixes)
}

func TestBadTraffic(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"set TEMPERATURE":             {"EXTRA_BODY": `{"temperature":0.7}`},
		"give one of them":            {"EXTRA_BODY": `{"temperature":null}`, "TEMPERATURE": "1"},
		"want a number from 0 to 100": {"TEMPERATURE": "-1"},
		"want the name of a key":      {"MAX_TOKENS_KEY": "max tokens"},
		`"prompt" is the client's`:    {"EXTRA_BODY": `{"prompt":null}`},
		"which MAX_TOKENS_KEY sets":   {"EXTRA_BODY": `{"n_predict":5}`, "MAX_TOKENS_KEY": "n_predict"},
		`DATASET="sonnet"`:            {"DATASET": "sonnet"},
		"needs DATASET_PATH":          {"DATASET": "jsonl"},
		"reads no file":               {"DATASET_PATH": "traffic.go"},
		"there is no such file":       {"DATASET_PATH": "/no/such"},
		"want completions or chat":    {"ENDPOINT": "responses"},
		"TRACE needs DATASET=jsonl":   {"TRACE": "true"},
		"a closed loop is its cap":    {"CONC_CAP": "false"},
		"leave RAMP_UP at 0s":         {"DATASET": "jsonl", "DATASET_PATH": "traffic.go", "TRACE": "true", "RAMP_UP": "1s"},
		"leave BURSTINESS at 1":       {"BURSTINESS": "0.5"},
		"leave PREFIXES at 1":         {"PREFIXES": "4"},
		"or inf":                      {"REQUEST_RATE": "0"},
		"or constant":                 {"BURSTINESS": "0"},
		"RAMP_UP":                     {"RAMP_UP": "-1s"},
		"want KEY:MILLISECONDS":       {"GOODPUT": "ttft"},
		"want a JSON object":          {"EXTRA_BODY": "[1]"},
		"want a number from 0 to 1":   {"SHARED_PREFIX": "1.1"},
		"header 2: want Name: value":  {"HEADERS": "A: 1; s3cret"},
		"a JSON object of texts":      {"HEADERS": `{"A": 5, "s3cret"}`},
		"header 1: want Name: value":  {"HEADERS": `{"A b": "s3cret"}`},
		"header 1: Host is the clie":  {"HEADERS": `{"host": "s3cret"}`},
		"where a value has a semico":  {"HEADERS": "Cookie: a=s3cret; b=s3cret"},
		"TRACE_UNIT is of a TRACE's":  {"TRACE_UNIT": "s"},
		"want s, ms, us, ns or auto":  {"TRACE_UNIT": "minutes"},
		"HEADERS (from the environ":   {"HEADERS": "Authorization s3cret"},
		"PREFIXES":                    {"PREFIXES": "0"},
		"max_tokens\" is the client":  {"EXTRA_BODY": `{"max_tokens":5}`},
		"one answer to a prompt is":   {"EXTRA_BODY": `{"n":2}`},
		"header 2: Host is the clie":  {"HEADERS": "A: 1; host: s3cret"},
	} {
		_, err := load(t, nil, env, "")
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "\n")
		assert.NotContains(t, err.Error(), "s3cret")
	}
}

func TestHeaders(t *testing.T) {
	for text, want := range map[string]map[string][]string{
		"A: 1; b: 2;":                         {"A": {"1"}, "B": {"2"}},
		"A: 1\nB: 2; C: x:y":                  {"A": {"1"}, "B": {"2"}, "C": {"x:y"}},
		"A: 1; a: 2":                          {"A": {"1", "2"}},
		`{"Cookie": "a=1; b=2", "x-y": "z:"}`: {"Cookie": {"a=1; b=2"}, "X-Y": {"z:"}},
		"{}":                                  {},
	} {
		s, err := load(t, nil, map[string]string{"HEADERS": text}, "")
		require.NoError(t, err, text)
		assert.Equal(t, want, s.Workload.Headers, text)
		s, err = load(t, nil, nil, "HEADERS='"+text+"'\n")
		require.NoError(t, err, text)
		assert.Equal(t, want, s.Workload.Headers, text)
	}
}

func TestKeysOfTheBody(t *testing.T) {
	s, err := load(t, nil, map[string]string{"EXTRA_BODY": `{"top_p":0.9,"stream_options":null,"max_tokens": null ,"ignore_eos":null,"temperature":null}`}, "")
	require.NoError(t, err)
	assert.Equal(t, []string{"ignore_eos", "max_tokens", "stream_options", "temperature"}, s.Workload.LeftOut())
	s, err = load(t, []string{"-temperature", "0.7", "-max-tokens-key", "max_completion_tokens"}, nil, "")
	require.NoError(t, err)
	assert.Equal(t, 0.7, s.Workload.Temperature)
	assert.Equal(t, "max_completion_tokens", s.Server.MaxTokensKey)
	assert.Empty(t, s.Workload.LeftOut())
}

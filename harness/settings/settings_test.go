package settings

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/joho/godotenv"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
)

// load reads settings as a run would: args are flags, env the environment, and
// dotenv the text of a .env file.
func load(t *testing.T, args []string, env map[string]string, dotenv string) (Settings, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), ".env")
	if dotenv != "" {
		require.NoError(t, os.WriteFile(file, []byte(dotenv), 0o600))
	}
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	Register(flags)
	require.NoError(t, flags.Parse(args))
	return Load(flags, environ(env), file)
}

// environ is env as os.Environ would give it.
func environ(env map[string]string) (out []string) {
	for k, v := range env {
		out = append(out, k+"="+v)
	}
	return out
}

func TestOrderOfSources(t *testing.T) {
	env, dotenv := map[string]string{"ISL": "8192"}, "ISL=1024\nOSL=1024\nTP=4\n"
	s, err := load(t, []string{"-isl", "1024"}, env, dotenv)
	require.NoError(t, err)
	assert.Equal(t, 1024, s.Selection.ISL, "the flag goes first")
	s, err = load(t, nil, env, dotenv)
	require.NoError(t, err)
	assert.Equal(t, 8192, s.Selection.ISL, "then the environment")
	assert.Equal(t, 1024, s.Selection.OSL, "then .env")
	assert.Equal(t, 4, s.Server.TP)
	assert.Equal(t, ModePerf, s.Mode, "then the default")
}

func TestValues(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(keyFile, []byte("s3cret\n"), 0o600))
	for name, c := range map[string]struct {
		env   map[string]string
		check func(*testing.T, Settings)
	}{
		"nothing": {nil, func(t *testing.T, s Settings) {
			assert.True(t, s.Embedded())
			assert.Equal(t, 1.0, s.Workload.RangeRatio)
		}},
		"port":      {map[string]string{"PORT": "8888"}, func(t *testing.T, s Settings) { assert.Equal(t, "http://127.0.0.1:8888", s.Server.BaseURL) }},
		"base url":  {map[string]string{"PORT": "1", "BASE_URL": "http://h:2/v1/"}, func(t *testing.T, s Settings) { assert.Equal(t, "http://h:2", s.Server.BaseURL) }},
		"embedded":  {map[string]string{"PORT": "8888", "BASE_URL": "embedded"}, func(t *testing.T, s Settings) { assert.True(t, s.Embedded()) }},
		"conc list": {map[string]string{"CONC": "4, 8 16"}, func(t *testing.T, s Settings) { assert.Equal(t, []int{4, 8, 16}, s.Selection.Conc) }},
		"key file":  {map[string]string{"API_KEY_FILE": keyFile}, func(t *testing.T, s Settings) { assert.Equal(t, "s3cret", s.Server.APIKey) }},
		"warm-up 0": {map[string]string{"WARMUP": "0"}, func(t *testing.T, s Settings) { assert.Equal(t, 0, *s.Workload.WarmUp) }},
		"result":    {map[string]string{"RESULT_FILENAME": "x", "ISL": "1", "OSL": "2", "CONC": "3"}, func(t *testing.T, s Settings) { assert.Equal(t, "x.json", s.Results.Filename) }},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := load(t, nil, c.env, "")
			require.NoError(t, err)
			c.check(t, s)
		})
	}
}

func TestBadValuesAreOneClearLine(t *testing.T) {
	for want, env := range map[string]map[string]string{
		`ISL="abc" (from the environment): want a whole number, 1 or more`: {"ISL": "abc"},
		`NUM_PROMPTS="50y" (from the environment): want a whole number`:    {"NUM_PROMPTS": "50y"},
		`CONC="0"`:    {"CONC": "0"},
		`CONC="4,4"`:  {"CONC": "4,4"},
		`CONC=","`:    {"CONC": ","},
		`CONC="4,,8"`: {"CONC": "4,,8"},
		`BASE_URL="http://h:99999" (from the environment): want a port number`:    {"BASE_URL": "http://h:99999"},
		`BASE_URL="http://h#x" (from the environment): want an address without ?`: {"BASE_URL": "http://h#x"},
		`EXTRA_BODY="{}}"`: {"EXTRA_BODY": "{}}"},
		`READY_TIMEOUT="0s" (from the environment): want a duration above 0`: {"READY_TIMEOUT": "0s"},
		`RESULT_FILENAME="plan" (from the environment): that name is one of`: {"RESULT_FILENAME": "plan", "ISL": "1", "OSL": "2", "CONC": "3"},
		`MODE="fast"`:               {"MODE": "fast"},
		`TEAM is empty`:             {"MODE": "submit"},
		`RANDOM_RANGE_RATIO="NaN"`:  {"RANDOM_RANGE_RATIO": "NaN"},
		`RANDOM_RANGE_RATIO="1.5"`:  {"RANDOM_RANGE_RATIO": "1.5"},
		`PORT="99999"`:              {"PORT": "99999"},
		`BASE_URL="localhost:8888"`: {"BASE_URL": "localhost:8888"},
		`ISL=2048 matches none of the standard (ISL,OSL) pairs [(1024,1024) (1024,8192) (8192,1024)]`: {"ISL": "2048"},
		`OSL=2048 matches none`:    {"OSL": "2048"},
		`WIKITEXT="/no/such/file"`: {"WIKITEXT": "/no/such/file"},
		`WIKITEXT="/dev/null" (from the environment): that is a pipe or a device`: {"WIKITEXT": "/dev/null"},
		`GSM8K=".." (from the environment): that is a folder: want a file`:        {"GSM8K": ".."},
		`ACC_TOLERANCE="3%"`:        {"ACC_TOLERANCE": "3%"},
		`GPU_WATTS="-3"`:            {"GPU_WATTS": "-3"},
		`READY_TIMEOUT="45"`:        {"READY_TIMEOUT": "45"},
		`POWER="on"`:                {"POWER": "on"},
		`POWER_CSV="/no/such"`:      {"POWER_CSV": "/no/such"},
		`POWER_CSV="."`:             {"POWER_CSV": "."},
		`POWER_CSV="/dev/null"`:     {"POWER_CSV": "/dev/null"},
		`POWER_URLS="gpu:9400"`:     {"POWER_URLS": "gpu:9400"},
		`POWER_GPUS="0,0"`:          {"POWER_GPUS": "0,0"},
		`POWER_PREFILL_GPUS="0,"`:   {"POWER_PREFILL_GPUS": "0,"},
		`POWER=off measures no`:     {"POWER": "off", "POWER_URLS": "http://gpu:9400/metrics"},
		`PROFILE="-1"`:              {"PROFILE": "-1"},
		`DRY_RUN="perhaps"`:         {"DRY_RUN": "perhaps"},
		`LEADERBOARD_LISTEN="8090"`: {"LEADERBOARD_LISTEN": "8090"},
		`JUNIT="/nowhere/x.xml" (from the environment): want a file in a folder that is there`: {"JUNIT": "/nowhere/x.xml"},
		`JUNIT="/" (from the environment): that is a folder`:                                   {"JUNIT": "/"},
		`RESULT_FILENAME="../x"`:          {"RESULT_FILENAME": "../x"},
		`names one file, but 5 cells`:     {"RESULT_FILENAME": "x", "ISL": "1", "OSL": "2"},
		`BASE_URL (from the environment)`: {"BASE_URL": "http://user:s3cret@h"},
	} {
		_, err := load(t, nil, env, "")
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "\n")
		assert.NotContains(t, err.Error(), "s3cret")
	}
	_, err := load(t, nil, nil, "API_KEY=\"s3cret\nnot closed")
	require.ErrorContains(t, err, ".env: line 1: want NAME=value lines")
	assert.NotContains(t, err.Error(), "s3cret", "a broken .env must not print what is in it")
	for file, want := range map[string]string{
		"ISL=16\nOSL=4\nCONC 2\nTP=1\n":                "line 3:",
		"NOTES=\"two\nlines\"\nexport OSL=4\nTP=\"1\n": "line 4:",
	} {
		_, err := load(t, nil, nil, file)
		assert.ErrorContains(t, err, want)
	}
	_, err = Load(flag.NewFlagSet("test", flag.ContinueOnError), nil, t.TempDir())
	assert.ErrorContains(t, err, "is a directory", "what the system says of a .env that cannot be read")
}

func TestDotenvOfAWindowsEditor(t *testing.T) {
	s, err := load(t, nil, nil, "\xef\xbb\xbfISL=8192\r\nTP=4\r\n")
	require.NoError(t, err)
	assert.Equal(t, []int{8192, 4}, []int{s.Selection.ISL, s.Server.TP})
}

func TestASwitchNeedsNoValue(t *testing.T) {
	s, err := load(t, []string{"-dry-run", "-isl", "1024"}, nil, "")
	require.NoError(t, err)
	assert.True(t, s.Board.DryRun)
	s, err = load(t, []string{"-dry-run=false"}, map[string]string{"DRY_RUN": "true"}, "")
	require.NoError(t, err)
	assert.False(t, s.Board.DryRun)
}

func TestSecretsHaveNoFlag(t *testing.T) {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	Register(flags)
	assert.Nil(t, flags.Lookup("api-key"))
	assert.Nil(t, flags.Lookup("leaderboard-token"))
	assert.Nil(t, flags.Lookup("hf-token"))
}

// The shipped .env.example is made by `make env-example`; loaded as it stands
// it must change nothing.
func TestEnvExampleIsCurrent(t *testing.T) {
	var want bytes.Buffer
	require.NoError(t, WriteExample(&want))
	got, err := os.ReadFile("../../.env.example")
	require.NoError(t, err)
	assert.True(t, want.String() == string(got), "it is not what the table of settings says: run `make env-example`")

	_, err = godotenv.Parse(strings.NewReader(string(got)))
	require.NoError(t, err)
	bare, err := load(t, nil, nil, "")
	require.NoError(t, err)
	full, err := load(t, nil, nil, string(got))
	require.NoError(t, err)
	assert.Equal(t, bare, full)
}

func TestResumeTakesWhatTheBatchWasRunWith(t *testing.T) {
	dir := t.TempDir()
	plan := `{"isl":512,"osl":64,"mode":"perf","conc":[1,2],"prompts":[9,9],"settings":{"SEED":"7","NUM_PROMPTS":"9","CONC":"1,2","TP":"4"}}`
	require.NoError(t, os.WriteFile(filepath.Join(dir, "plan.json"), []byte(plan), 0o600))
	s, err := load(t, nil, map[string]string{"RESUME": dir, "CONC": "2", "SEED": "7"}, "SEED=1\nBASE_URL=http://h:1\nGPU_WATTS=500\n")
	require.NoError(t, err)
	assert.Equal(t, dir, s.Resume)
	assert.Equal(t, []int64{7, 9, 4, 512, 64}, []int64{s.Workload.Seed, int64(s.Selection.NumPrompts.Of(64, 1)), int64(s.Server.TP), int64(s.Selection.ISL), int64(s.Selection.OSL)})
	assert.Equal(t, []int{2}, s.Selection.Conc, "which cells run again may be chosen")
	assert.True(t, s.Embedded(), ".env does not speak for a batch that ran without it")
	assert.Equal(t, 500.0, s.Results.GPUWatts, "but for what does not touch the measurement")

	for want, env := range map[string]map[string]string{
		`SEED="8" (from the environment): the batch to resume was run with SEED=7`: {"SEED": "8"},
		`MODE="acc"`:                 {"MODE": "acc"},
		`RANDOM_RANGE_RATIO="0.5"`:   {"RANDOM_RANGE_RATIO": "0.5"},
		`was run with BASE_URL=none`: {"BASE_URL": "http://h:1"},
		`RESUME="/no/such": want`:    {"RESUME": "/no/such"},
	} {
		if env["RESUME"] == "" {
			env["RESUME"] = dir
		}
		_, err := load(t, nil, env, "")
		assert.ErrorContains(t, err, strings.ReplaceAll(want, `"/no/such": want`, `"/no/such" (from the environment): want a batch folder`))
	}
}

// A bare go test is no sweep, whatever the competition's guide had people export.
func TestAsks(t *testing.T) {
	for _, c := range []struct {
		flags, env []string
		file       string
		want       bool
	}{
		{nil, nil, "", false},
		{nil, []string{"MODEL=x", "PORT=8888", "TP=4", "BASE_URL=http://h:1", "RESULTS_DIR=r", "API_KEY=k", "HF_TOKEN=t", "TEAM=x", "HOME=/"}, "", false},
		{nil, []string{"ISL=1024"}, "", true},
		{nil, []string{"SEED=1", "ISL="}, "", false},
		{nil, []string{"MODE=acc"}, "", true},
		{nil, []string{"ENGINE_NOISE=1"}, "", true},
		{[]string{"-port", "8888"}, nil, "", true},
		{nil, nil, "PORT=8888", true},
		{nil, nil, "TP=8\nMODE=perf\nISL=\n", false},
	} {
		flags := flag.NewFlagSet("", flag.ContinueOnError)
		Register(flags)
		require.NoError(t, flags.Parse(c.flags))
		file := filepath.Join(t.TempDir(), ".env")
		require.NoError(t, os.WriteFile(file, []byte(c.file), 0o600))
		got, err := Asks(flags, c.env, file)
		require.NoError(t, err)
		assert.Equal(t, c.want, got, "%v", c)
	}
}

// The guide has people export the server of the competition; make bench measures
// the embedded engine all the same.
func TestEmbeddedOutweighsAServersSettings(t *testing.T) {
	s, err := Load(flag.NewFlagSet("", flag.ContinueOnError), []string{"BASE_URL=embedded", "MODEL=x", "PORT=8888"}, "")
	require.NoError(t, err)
	assert.True(t, s.Embedded())
	assert.Empty(t, s.Server.Model)
	assert.NotContains(t, s.Given, "MODEL")
}

// What a result tells under a key of its own is there, so that a comparison can
// look at it.
func TestArgsAreKeysOfAResult(t *testing.T) {
	b, err := json.Marshal(batch.Args{})
	require.NoError(t, err)
	var keys map[string]any
	require.NoError(t, json.Unmarshal(b, &keys))
	n := 0
	for _, r := range table {
		if r.Arg != "" {
			n++
			assert.Contains(t, keys, r.Arg, r.Env)
		}
	}
	assert.Greater(t, n, 8)
}

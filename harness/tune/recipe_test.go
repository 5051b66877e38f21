package tune_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/tune"
)

func TestRecipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vllm.yaml")
	require.NoError(t, os.WriteFile(path, []byte(`
command: >-
  vllm serve $MODEL
  --port $PORT
port: 8000
env: {MODEL: a b, TP: 4}
flags: {--seed: 1, --trust-remote-code: true}
settings: {ISL: 1024, CONC: [4, 8], SLO: "ttft:p99<500"}
vary:
  --max-num-seqs: [64, 128]
  --enable-x: [true, false]
  VLLM_BACKEND: [A, B]
arms:
  - name: draft
    flags: {--speculative-config: '{"method": "mtp"}', --seed: 2}
    env: {TP: 8}
  - command: scripts/launch.sh
    settings: {CONC: 1}
  - flags: {--nodes: [a, b], "--cache=": false}
`), 0o600))
	r, err := tune.Read(path)
	require.NoError(t, err)
	assert.Equal(t, "vllm", r.Name)
	assert.Equal(t, 8000, r.Port)
	require.Len(t, r.Arms, 8+3)
	assert.Equal(t, tune.Arm{Name: "max-num-seqs=64 enable-x=true VLLM_BACKEND=A",
		Command:  "vllm serve $MODEL --port $PORT --seed 1 --trust-remote-code --max-num-seqs 64 --enable-x",
		Env:      []tune.Pair{{"MODEL", "a b"}, {"TP", "4"}, {"VLLM_BACKEND", "A"}},
		Settings: []tune.Pair{{"ISL", "1024"}, {"CONC", "4,8"}, {"SLO", "ttft:p99<500"}}}, r.Arms[0])
	assert.Equal(t, "max-num-seqs=64 enable-x=false VLLM_BACKEND=A", r.Arms[2].Name, "the last key changes fastest")
	assert.NotContains(t, r.Arms[2].Command, "--enable-x")
	assert.Equal(t, "(export PORT=8000 MODEL='a b' TP=4 VLLM_BACKEND=B; vllm serve $MODEL --port $PORT --seed 1 "+
		"--trust-remote-code --max-num-seqs 128)", r.Arms[7].Line(r.Port))

	assert.Equal(t, "draft", r.Arms[8].Name)
	assert.Equal(t, `vllm serve $MODEL --port $PORT --seed 2 --trust-remote-code --speculative-config '{"method": "mtp"}'`, r.Arms[8].Command)
	assert.Equal(t, []tune.Pair{{"MODEL", "a b"}, {"TP", "8"}}, r.Arms[8].Env)
	assert.Equal(t, "command 2", r.Arms[9].Name)
	assert.Equal(t, "PORT=8000 MODEL='a b' TP=4 scripts/launch.sh --seed 1 --trust-remote-code", r.Arms[9].Line(r.Port))
	assert.Equal(t, "1", r.Arms[9].Settings[1].Value)
	assert.True(t, strings.HasSuffix(r.Arms[10].Command, " --nodes a b --cache=false"), r.Arms[10].Command)
}

// What cannot be right is one line that says where.
func TestBadRecipes(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "the recipe is empty: want a command, and vary or arms",
		"# nothing\n":                  "the recipe is empty: want a command, and vary or arms",
		"a: [":                         "line 1: did not find expected node content",
		"- a":                          "line 1: want keys with values, as command: …",
		"comand: x":                    `line 1: unknown key "comand": want command, port, env, settings, flags, vary or arms`,
		"command: x":                   "nothing varies: want vary, a grid of flags and variables, or arms, a list",
		"vary: {--a: [1]}":             "line 1: there is no command: give one for all, or each arm its own",
		"command: x\nvary: {--a: []}":  "line 2: vary: --a has no values",
		"command: x\nvary: {a: [1]}":   `line 2: vary: "a": want a flag, as --max-num-seqs, or a variable in capitals, as VLLM_USE_V1`,
		"command: x\nvary: {--a: [~]}": "line 2: want a word, a number, or true or false",
		"command: x\nport: 70000\nvary: {--a: [1]}":                               `line 2: port: "70000": want a number from 1 to 65535`,
		"command: x\nport: 1\nport: 2":                                            `line 3: "port" stands here twice`,
		"command: x\nenv: {API_KEY: k}\nvary: {--a: [1]}":                         "line 2: env: API_KEY looks like a secret, and a recipe is kept with its results: export it instead, every command has it then",
		"command: x\nenv: {PORT: 1}\nvary: {--a: [1]}":                            "line 2: env: PORT: the servers' port is the key port, and every command has it as $PORT",
		"command: x\nvary: {HF_TOKEN: [1]}":                                       "line 2: env: HF_TOKEN looks like a secret, and a recipe is kept with its results: export it instead, every command has it then",
		"command: x --api-key abc\nvary: {--a: [1]}":                              "line 2: --api-key: a secret in a command can be read by all, and is kept with the results: export it, and write --api-key $ITS_NAME",
		"command: x\nsettings: {BASE_URL: a}\nvary: {--a: [1]}":                   "line 2: settings: BASE_URL is not an arm's to choose: tune says where each server is and where its results go",
		"command: x --port 9\nport: 8\nvary: {--a: [1]}":                          "line 3: the command has port 9, but the recipe's port is 8: write --port $PORT",
		"command: x\nvary: {--a: [1, 1]}":                                         `two commands are called "a=1": give each a name of its own`,
		"command: x\narms: [{name: a}, {name: b}]":                                `"a" and "b" are one command: x`,
		"command: x\narms: [{name: a, flag: {}}]":                                 `line 2: unknown key "flag": want name, command, flags, env or settings`,
		"command: x\narms: {a: b}":                                                "line 2: arms: want a list",
		"command: x\nvary: {--a: [1]}\n---\nb: 1":                                 "want one document: what follows --- would not be read",
		"command: x\nvary: {" + strings.Repeat("--a", 1) + ": " + list(501) + "}": "501 or more commands: want at most 500",
	} {
		_, err := tune.Parse([]byte(text))
		require.Error(t, err, text)
		assert.Equal(t, want, err.Error(), text)
	}
	for _, fine := range []string{`command: x --api-key $K`, `command: x --api-key "$K"`, `command: x --max-tokens 5`} {
		_, err := tune.Parse([]byte(fine + "\nvary: {--a: [1]}"))
		assert.NoError(t, err, fine)
	}
}

func list(n int) string { return "[" + strings.Repeat("x,", n-1) + "x]" }

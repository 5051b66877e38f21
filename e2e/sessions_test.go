package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
)

// recorded is a session with a sub-agent, which its root waits for.
const recorded = `{"id":"one","models":["m"],"block_size":16,"hash_id_scope":"local","requests":[
  {"t":0,"type":"s","model":"m","in":100,"out":5,"hash_ids":[0,1,2,3,4,5],"api_time":0.05},
  {"t":0.1,"type":"subagent","agent_id":"a1","subagent_type":"Explore","duration_ms":200,"total_tokens":30,"tool_use_count":1,
   "status":"completed","models":["m"],"requests":[
    {"t":0.12,"type":"n","model":"m","in":40,"out":0,"hash_ids":[7,8],"api_time":0.05},
    {"t":0.2,"type":"n","model":"m","in":60,"out":3,"hash_ids":[7,8,9],"api_time":0.05}]},
  {"t":0.4,"type":"s","model":"m","in":170,"out":20,"hash_ids":[0,1,2,3,4,5,10,11,12,13],"api_time":0.1}]}`

// A recorded session goes the whole way: a cell of its scenario's name, a batch that
// can be read back, figures of turns and sessions.
func TestRecordedSessions(t *testing.T) {
	file := filepath.Join(t.TempDir(), "one.json")
	require.NoError(t, os.WriteFile(file, []byte(recorded), 0o600))
	env := []string{"BASE_URL=embedded", "DATASET=weka", "DATASET_PATH=" + file, "CONC=2", "TP=1", "PROGRESS=none",
		"REPLAY_SESSIONS=3"}
	exit, dir, out := finish(t, env, "-test.run", "Serving", "-test.v")
	require.Zero(t, exit, out)
	assert.Contains(t, out, "scenario weka, mode perf")
	assert.Contains(t, out, "TestServing/scenario=weka/conc=2")
	assert.Regexp(t, `BenchmarkServing/scenario=weka/conc=2\S*\t`, out)
	assert.Contains(t, batchFile(t, dir, "summary.txt"), "Scenario: weka\n")
	assert.Contains(t, batchFile(t, dir, "summary.txt"), "[1/1] SCENARIO=weka CONC=2: PASSED")

	r := result(t, dir, "result_weka_conc2.json")
	assert.EqualValues(t, 12, r["successful_requests"])
	assert.EqualValues(t, 3*(100+40+60+170), r["total_input_tokens"])
	assert.EqualValues(t, 3*(5+1+3+20), r["total_generated_tokens"])
	assert.EqualValues(t, 3, r["sessions_completed"])
	assert.EqualValues(t, 12, r["turns_completed"])
	assert.InDelta(t, 8.0/21, r["theoretical_cache_hit_rate"], 1e-9)
	scenario := r["scenario"].(map[string]any)
	assert.Equal(t, "weka", scenario["name"])
	assert.Nil(t, scenario["valid"], "no rules of a scenario were asked for")
	assert.NotContains(t, r["marks"], "warm_cache", "hits are the point")

	dirs, err := filepath.Glob(filepath.Join(dir, "batch_weka_*"))
	require.NoError(t, err)
	require.Len(t, dirs, 1)
	f, err := batch.Open(dirs[0])
	require.NoError(t, err)
	require.Len(t, f.Cells, 1)
	assert.Equal(t, "scenario=weka/conc=2", f.Cells[0].Name())
	assert.NotNil(t, f.Cells[0].Result)

	exit, _, out = finish(t, []string{"RESULTS_DIR=" + dir, "RESUME=" + dirs[0]}, "-test.run", "Serving")
	assert.Zero(t, exit, out)
	assert.Contains(t, out, "every cell has PASSED")
}

// SCENARIO=agentx applies all of its rules, and says what of the run is not as they are.
func TestAgentXSaysWhatIsNotValid(t *testing.T) {
	file := filepath.Join(t.TempDir(), "one.json")
	require.NoError(t, os.WriteFile(file, []byte(recorded), 0o600))
	exit, dir, out := finish(t, []string{"BASE_URL=embedded", "DATASET=weka", "DATASET_PATH=" + file, "CONC=2", "TP=1",
		"SCENARIO=agentx", "DURATION=2s", "REPLAY_WARMUP=2", "ENDPOINT=completions", "ACC_TASK=none", "PROGRESS=none"},
		"-test.run", "Serving")
	require.Zero(t, exit, out)
	r := result(t, dir, "result_agentx_conc2.json")
	scenario := r["scenario"].(map[string]any)
	assert.Equal(t, "agentx", scenario["name"])
	assert.Equal(t, false, scenario["valid"])
	assert.Equal(t, []any{"REPLAY_WARMUP=2 is not the scenario's", "DURATION=2s is shorter than 15m0s",
		"prompts are token ids on /v1/completions, and the scenario's are chats"}, scenario["reasons"])
	assert.Contains(t, out, "by the rules of agentx this run is not valid: REPLAY_WARMUP=2 is not the scenario's; DURATION=2s")
	rules := scenario["rules"].(map[string]any)
	assert.EqualValues(t, 42, rules["seed"])
	assert.Equal(t, []any{0.25, 0.75}, rules["entry"])
	assert.Greater(t, r["successful_requests"], 4.0)
}

// How long a scenario takes is its duration.
func TestEstimateOfAScenario(t *testing.T) {
	exit, _, out := finish(t, []string{"BASE_URL=embedded", "DATASET=sessions", "SCENARIO=agentx", "CONC=4,8", "ESTIMATE=true",
		"PROGRESS=none"}, "-test.run", "Serving")
	assert.Zero(t, exit, out)
	assert.Contains(t, out, "2 cells of 1h0m0s each, warm-up and accuracy not counted: about 2h0m0s.")
}

// In a chat, prompts have the recorded lengths but for the template, and the server
// finds in its cache what they have in common.
func TestSessionsAsChats(t *testing.T) {
	file := filepath.Join(t.TempDir(), "one.json")
	require.NoError(t, os.WriteFile(file, []byte(recorded), 0o600))
	exit, dir, out := finish(t, []string{"BASE_URL=embedded", "DATASET=weka", "DATASET_PATH=" + file, "CONC=2", "TP=1",
		"SCENARIO=agentx", "DURATION=2s", "ACC_TASK=none", "PROGRESS=none"}, "-test.run", "Serving")
	require.Zero(t, exit, out)
	r := result(t, dir, "result_agentx_conc2.json")
	assert.Equal(t, []any{"DURATION=2s is shorter than 15m0s"}, r["scenario"].(map[string]any)["reasons"])
	assert.Equal(t, "/v1/chat/completions", r["benchmark_args"].(map[string]any)["endpoint"])
	assert.Greater(t, r["cache_hit_rate"], 0.1)
	turns := r["successful_requests"].(float64)
	assert.Greater(t, r["total_input_tokens"], 60*turns)
	assert.Less(t, r["total_input_tokens"], 250*turns)
}

// What cannot be is said in one line before anything runs, accuracy too.
func TestDataThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "bad.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"id":"x","models":[],"block_size":16,"hash_id_scope":"local","requests":[{"t":0}]}`), 0o600))
	prompts := filepath.Join(t.TempDir(), "prompts.jsonl")
	require.NoError(t, os.WriteFile(prompts, []byte(`{"prompt":"a","output_len":4,"tools":[1]}`), 0o600))
	for want, env := range map[string][]string{
		`"tools" changes what is sent`:       {"DATASET=jsonl", "DATASET_PATH=" + prompts},
		"needs DATASET_PATH":                 {"DATASET=weka"},
		"leave ISL out":                      {"DATASET=sessions", "ISL=1024"},
		"set DATASET to weka":                {"SCENARIO=agentx"},
		"how long sessions take is theirs":   {"DATASET=sessions", "ESTIMATE=true"},
		"bad.json: trace x: request 0, key ": {"DATASET=weka", "DATASET_PATH=" + file},
	} {
		exit, dir, out := finish(t, append(env, "BASE_URL=embedded", "CONC=1", "PROGRESS=none"), "-test.run", "Serving")
		assert.Equal(t, 2, exit, out)
		assert.Contains(t, out, want)
		batches, _ := filepath.Glob(filepath.Join(dir, "batch_*"))
		assert.Empty(t, batches, want)
	}
}

// A replay that was stopped leaves no half cell: resumed, it starts anew and ends.
func TestAScenarioStartsAnew(t *testing.T) {
	file := filepath.Join(t.TempDir(), "one.json")
	require.NoError(t, os.WriteFile(file, []byte(recorded), 0o600))
	cmd, dir, out := start(t, []string{"BASE_URL=embedded", "DATASET=weka", "DATASET_PATH=" + file, "CONC=2", "TP=1",
		"REPLAY_SESSIONS=12", "ACC_TASK=none", "PROGRESS=none"}, "-test.run", "Serving")
	time.Sleep(time.Second) // within the cell, most likely; whatever was cut off, what follows must hold
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	cmd.Wait()
	dirs, err := filepath.Glob(filepath.Join(dir, "batch_weka_*"))
	require.NoError(t, err)
	if len(dirs) == 0 {
		t.Skip("it was stopped before it began: ", out)
	}
	assert.NotZero(t, cmd.ProcessState.ExitCode())
	assert.Contains(t, batchFile(t, dir, "summary.txt"), "CONC=2: INCOMPLETE")
	files, err := filepath.Glob(filepath.Join(dirs[0], "result_*"))
	require.NoError(t, err)
	assert.Empty(t, files)
	exit, _, said := finish(t, []string{"RESUME=" + dirs[0]}, "-test.run", "Serving")
	require.Zero(t, exit, said)
	assert.Contains(t, batchFile(t, dir, "summary.txt"), "SCENARIO=weka CONC=2: PASSED")
	assert.EqualValues(t, 48, result(t, dir, "result_weka_conc2.json")["successful_requests"])
}

package settings

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/session"
)

func TestReplaySettings(t *testing.T) {
	s, err := load(t, nil, map[string]string{"DATASET": "sessions"}, "")
	require.NoError(t, err)
	assert.Equal(t, "sessions", s.Selection.Scenario)
	rules, reasons := s.Rules(4)
	assert.Empty(t, reasons)
	assert.Equal(t, session.Rules{Lanes: 4, Seed: 1, SystemIdle: 10 * time.Second, TreeIdle: 300 * time.Second, Mark: true,
		ErrorShare: 0.1}, rules)

	s, err = load(t, nil, map[string]string{"DATASET": "sessions", "REPLAY_ENTRY": "0.1:0.2", "REPLAY_PRIMERS": "true",
		"REPLAY_WARMUP": "3", "REPLAY_GRACE": "2m", "REPLAY_DRAIN": "9s", "REPLAY_IDLE": "0s", "REPLAY_TREE_IDLE": "1m", "REPLAY_MARKS": "false", "REPLAY_CONTEXT": "4096",
		"REPLAY_TRACES": "7", "REPLAY_ERRORS": "0", "REPLAY_SESSIONS": "9", "DURATION": "5m", "SEED": "3"}, "")
	require.NoError(t, err)
	rules, reasons = s.Rules(2)
	assert.Empty(t, reasons, "there is no scenario to differ from")
	assert.Equal(t, session.Rules{Lanes: 2, Seed: 3, Context: 4096, Traces: 7, Duration: 5 * time.Minute, Sessions: 9,
		EnterFrom: 0.1, EnterTo: 0.2, Primers: true, WarmUp: 3, Grace: 2 * time.Minute, Drain: 9 * time.Second,
		TreeIdle: time.Minute}, rules)

	s, err = load(t, nil, map[string]string{"DATASET": "sessions", "SESSION_HEADER": "X-Session-ID: {session}; X-P: p-{parent}",
		"SESSION_TOKEN_HEADER": "X-Token"}, "")
	require.NoError(t, err)
	assert.Equal(t, [][2]string{{"X-Session-ID", "{session}"}, {"X-P", "p-{parent}"}}, s.Replay.Affinity)
	assert.Equal(t, "X-Token", s.Replay.Token)

	s, err = load(t, nil, map[string]string{"DATASET": "sessions", "SCENARIO": "agentx"}, "")
	require.NoError(t, err)
	assert.Equal(t, "agentx", s.Selection.Scenario)
	rules, reasons = s.Rules(8)
	assert.Equal(t, session.AgentX(8), rules)
	assert.Empty(t, reasons)
	assert.True(t, s.Workload.Chat, "its endpoint")
	s, err = load(t, nil, map[string]string{"DATASET": "sessions", "SCENARIO": "agentx", "ENDPOINT": "completions"}, "")
	require.NoError(t, err)
	assert.False(t, s.Workload.Chat)
	assert.Equal(t, "completions", s.Given["ENDPOINT"], "so that a resumed batch has it too")

	s, err = load(t, nil, map[string]string{"DATASET": "sessions", "SCENARIO": "agentx", "DURATION": "14m", "SEED": "7",
		"REPLAY_ENTRY": "0.25:0.75", "REPLAY_IDLE": "20s", "REPLAY_CONTEXT": "1000"}, "")
	require.NoError(t, err)
	_, reasons = s.Rules(8)
	assert.Equal(t, []string{"REPLAY_IDLE=20s is not the scenario's", "SEED=7 is not the scenario's",
		"DURATION=14m0s is shorter than 15m0s"}, reasons)
}

func TestBadReplaySettings(t *testing.T) {
	for want, env := range map[string]map[string]string{
		"want agentx":                              {"DATASET": "sessions", "SCENARIO": "agenty"},
		"SCENARIO=agentx replays sessions":         {"SCENARIO": "agentx"},
		"REPLAY_WARMUP is of a replay of sessions": {"REPLAY_WARMUP": "1"},
		"want true or false":                       {"DATASET": "sessions", "REPLAY_PRIMERS": "maybe"},
		"want FROM:TO":                             {"DATASET": "sessions", "REPLAY_ENTRY": "0.8:0.2"},
		"want a duration":                          {"DATASET": "sessions", "REPLAY_IDLE": "-1s"},
		"0 or more":                                {"DATASET": "sessions", "REPLAY_WARMUP": "-1"},
		"1 or more":                                {"DATASET": "sessions", "REPLAY_TRACES": "0"},
		"from 0 to 1":                              {"DATASET": "sessions", "REPLAY_ERRORS": "2"},
		"no leaderboard takes sessions":            {"DATASET": "sessions", "MODE": "submit", "TEAM": "x"},
		"needs DATASET_PATH":                       {"DATASET": "weka"},
		"reads no file":                            {"DATASET": "sessions", "DATASET_PATH": "replay.go"},
		"leave NUM_PROMPTS out":                    {"DATASET": "sessions", "NUM_PROMPTS": "5"},
		"want Name: value with {session}":          {"DATASET": "sessions", "SESSION_HEADER": "X-A: b"},
		"Content-Length is the client's own":       {"DATASET": "sessions", "SESSION_HEADER": "Content-Length: {session}"},
		"are of a replay of sessions":              {"SESSION_HEADER": "X-A: {session}"},
		"leave CANARY_SHARE out":                   {"DATASET": "sessions", "CANARY_SHARE": "0.5"},
		"figures are of their first turns alone":   {"DATASET": "sessions", "PRECISION": "2%"},
		"what stands in braces":                    {"DATASET": "sessions", "SESSION_HEADER": "X-A: {user}{session}"},
		"want the name of a header":                {"DATASET": "sessions", "SESSION_TOKEN_HEADER": "X A"},
		"leave REQUEST_RATE out":                   {"DATASET": "sessions", "REQUEST_RATE": "5"},
	} {
		_, err := load(t, nil, env, "")
		assert.ErrorContains(t, err, want)
	}
	_, err := load(t, nil, map[string]string{"DATASET": "weka", "DATASET_PATH": "hf:name"}, "")
	assert.ErrorContains(t, err, "want hf:owner/name")
	s, err := load(t, nil, map[string]string{"DATASET": "weka", "DATASET_PATH": "hf:owner/name"}, "")
	require.NoError(t, err)
	assert.Equal(t, "hf:owner/name", s.Workload.Path)
	s, err = load(t, nil, map[string]string{"DATASET": "weka", "DATASET_PATH": t.TempDir()}, "")
	require.NoError(t, err, "a folder of traces")
	assert.NotEmpty(t, s.Workload.Path)
}

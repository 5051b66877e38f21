package settings

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/session"
)

func TestSyntheticSessions(t *testing.T) {
	bare, err := load(t, nil, nil, "")
	require.NoError(t, err)
	assert.Equal(t, session.Synthetic{Sessions: 16, Turns: session.Dist{Shape: "normal", Mean: 8, SD: 3}, System: 2048,
		Input: session.Dist{Shape: "lognormal", Mean: 500, SD: 400}, Output: session.Dist{Shape: "lognormal", Mean: 150, SD: 100},
		Delay: session.Dist{Shape: "lognormal", Mean: 0.5, SD: 0.5}, SubAgents: session.Dist{Mean: 1},
		SubAgentTurns: session.Dist{Mean: 3}, Compact: 8000, Keep: 4000}, bare.Sessions)
	s, err := load(t, []string{"-session-turns", "12"}, map[string]string{"DATASET": "sessions", "SESSION_COMPACTION": "none", "SESSIONS": "3"}, "")
	require.NoError(t, err)
	assert.Equal(t, session.Dist{Mean: 12}, s.Sessions.Turns)
	assert.Zero(t, s.Sessions.Compact)
	assert.Equal(t, 3, s.Sessions.Sessions)
	for want, env := range map[string]map[string]string{
		"SESSION_TURNS":         {"SESSION_TURNS": "some"},
		"normal:MEAN:SD":        {"SESSION_TOOL_DELAY": "uniform:1:2"},
		"FROM the larger":       {"SESSION_COMPACTION": "4000:8000"},
		"1 or more":             {"SESSIONS": "0"},
		"0 or more":             {"SESSION_SYSTEM_TOKENS": "-1"},
		"want FROM:TO":          {"SESSION_COMPACTION": "4000"},
		"set DATASET=sessions":  {"SESSIONS": "3"},
		"SESSION_OUTPUT_TOKENS": {"SESSION_OUTPUT_TOKENS": "-3"},
	} {
		_, err := load(t, nil, env, "")
		assert.ErrorContains(t, err, want)
	}
}

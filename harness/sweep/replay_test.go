package sweep

import (
	"flag"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/load"
	"inferbench/harness/matrix"
	"inferbench/harness/server"
	"inferbench/harness/settings"
	"inferbench/harness/stats"
)

// A run of the scenario is valid when all of its rules were kept, and says which were
// not otherwise.
func TestValidityOfAScenario(t *testing.T) {
	dir := t.TempDir()
	whole := []stats.Timing{{OutputTokens: 2}, {OutputTokens: 2}}
	for name, c := range map[string]struct {
		env     []string
		timings []stats.Timing
		status  batch.Status
		reasons []string
	}{
		"all kept":       {nil, whole, batch.Passed, nil},
		"a short run":    {[]string{"DURATION=10m"}, whole, batch.Passed, []string{"DURATION=10m0s is shorter than 15m0s"}},
		"as it is":       {[]string{"DURATION=20m", "SEED=42", "REPLAY_WARMUP=10"}, whole, batch.Passed, nil},
		"another rule":   {[]string{"REPLAY_MARKS=false"}, whole, batch.Passed, []string{"REPLAY_MARKS=false is not the scenario's"}},
		"token ids":      {[]string{"ENDPOINT=completions"}, whole, batch.Passed, []string{"prompts are token ids on /v1/completions, and the scenario's are chats"}},
		"live answers":   {[]string{"LIVE_ANSWERS=true"}, whole, batch.Passed, []string{"LIVE_ANSWERS=true is not the scenario's"}},
		"a failed cell":  {nil, whole, batch.Failed, []string{"the cell has not PASSED"}},
		"without counts": {nil, append([]stats.Timing{{NoUsage: true}}, whole...), batch.Passed, []string{"only 66.7 % of the requests have their figures, less than 95 %"}},
		"other lengths": {[]string{`EXTRA_BODY={"ignore_eos":null}`}, whole, batch.Passed,
			[]string{"EXTRA_BODY changes ignore_eos: answers need not be as long as recorded"}},
		"made up": {[]string{"DATASET=sessions", "DATASET_PATH="}, whole, batch.Passed, []string{"DATASET=sessions is not the scenario's, which is weka"}},
	} {
		env := append([]string{"DATASET=weka", "DATASET_PATH=" + dir, "SCENARIO=agentx"}, c.env...)
		set, err := settings.Load(flag.NewFlagSet("", flag.ContinueOnError), env, "")
		require.NoError(t, err, name)
		rules, _ := set.Rules(2)
		r := &batch.Result{Status: c.status, Args: batch.Args{Scenario: "agentx"}, Performance: &stats.Summary{}}
		sw := &Sweep{Config: Config{Settings: set}}
		sw.scenarioOf(r, &measured{rules: &rules, rec: &load.Recording{Timings: c.timings}})
		require.NotNil(t, r.Scenario.Valid, name)
		assert.Equal(t, c.reasons == nil, *r.Scenario.Valid, name)
		assert.Equal(t, c.reasons, r.Scenario.Reasons, name)
	}
}

// A cell whose sessions are fewer than its lanes says that it never was what its name says.
func TestFewerSessionsThanLanes(t *testing.T) {
	for n, told := range map[string]bool{"1": true, "4": false, "": false} {
		set, err := settings.Load(flag.NewFlagSet("", flag.ContinueOnError), []string{"DATASET=sessions", "SESSIONS=2", "REPLAY_SESSIONS=" + n}, "")
		require.NoError(t, err)
		sw := &Sweep{Config: Config{Settings: set}}
		sw.Target = server.New("http://127.0.0.1:1", "m", "", nil)
		sw.Target.Vocab = 1000
		m, _, _, err := sw.prepareReplay(t.Context(), pass{Cell: matrix.Cell{Conc: 4}})
		require.NoError(t, err)
		assert.Equal(t, told, strings.Contains(strings.Join(m.notes, "; "), "REPLAY_SESSIONS=1: no more were live at a time, and so never CONC=4"))
	}
}

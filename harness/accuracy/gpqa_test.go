package accuracy

import (
	"cmp"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Requests and right letters equal lm-evaluation-harness's own: see
// scripts/parity/lm_eval_gpqa.py.
func TestGPQAEqualsLMEval(t *testing.T) {
	b, err := os.ReadFile("testdata/lmeval-gpqa.json")
	require.NoError(t, err)
	var g struct {
		Requests []json.RawMessage
		Answers  []string

		Extractions []struct{ Text, Strict, Flexible string }
	}
	require.NoError(t, json.Unmarshal(b, &g))
	o := Options{Task: "gpqa_diamond", Files: map[string]string{"GPQA": "testdata/gpqa-own.csv"}, GenTokens: 512}
	rows, _, err := gpqaRows(o)
	require.NoError(t, err)
	for i, want := range g.Answers {
		assert.Equal(t, want, "("+rows[i].answer+")", "question %d", i)
	}
	require.NotEmpty(t, g.Extractions)
	for _, e := range g.Extractions { // a text without a letter is [invalid] there
		assert.Equal(t, e.Strict, cmp.Or(lastLetter(saidLetter, false, e.Text), "[invalid]"), "strict, %q", e.Text)
		assert.Equal(t, e.Flexible, cmp.Or(lastLetter(aloneLetter, true, e.Text), "[invalid]"), "flexible, %q", e.Text)
	}
	tg, sent := chatServer(t, func(i int, _ string) string {
		return says([]string{"The answer is (D).", "A or B? The answer is C", "Not A. (D)", "The answer is (c)"}[i])
	})
	r, err := Score(context.Background(), tg, o)
	require.NoError(t, err)
	bodies := sent()
	require.Len(t, bodies, len(g.Requests))
	for i, want := range g.Requests {
		assert.JSONEq(t, string(want), bodies[i], "question %d", i)
	}
	assert.Equal(t, 0.5, r.Figure("exact_match_strict"))
	assert.Equal(t, 0.75, r.Figure("exact_match_flexible"))
	assert.Equal(t, "gpqa-own.csv", r.Text.Name)
	base, err := Baseline("inferencex-gpqa_diamond", "any", r)
	assert.ErrorContains(t, err, "its text is gpqa diamond, the run's is gpqa-own.csv")
	r.Text.Name = gpqaName
	assert.Equal(t, Passed, Judge(r, base, 0).Status)
}

func TestGPQARefusesWhatIsNotItsFile(t *testing.T) {
	write := func(text string) map[string]string {
		file := filepath.Join(t.TempDir(), "rows.csv")
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		return map[string]string{"GPQA": file}
	}
	head := strings.Join(gpqaColumns, ",") + "\n"
	for want, files := range map[string]map[string]string{
		"GPQA is not set: the questions are gated": nil,
		"no such file":                       {"GPQA": "/no/such/file"},
		`it has no column "Question"`:        write("a,b\n1,2\n"),
		"it has no question":                 write(head),
		"row 1 has 2 of 5 columns":           write(head + "a,b\n"),
		"want gpqa_diamond.csv: parse error": write(head + "\"a\n"),
	} {
		err := Ready(context.Background(), Options{Task: "gpqa_diamond", Files: files}, true)
		assert.ErrorContains(t, err, want)
	}
}

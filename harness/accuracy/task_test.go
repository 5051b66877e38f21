package accuracy_test

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/accuracy"
)

// taskCases are sections of a result file, one of each task, with the figures
// that stand in them.
var taskCases = map[string]struct {
	section string
	figures map[string]float64
}{
	"wikitext": {`{"task":"wikitext","bits_per_byte":0.5,"byte_perplexity":1.4,"word_perplexity":3,"windows":7,"text":{"name":"x"},"max_length":2048}`,
		map[string]float64{"bits_per_byte": 0.5, "byte_perplexity": 1.4, "word_perplexity": 3}},
	"gsm8k":         {`{"task":"gsm8k","exact_match_strict":0,"exact_match_flexible":0.5,"shots":5}`, map[string]float64{"exact_match_strict": 0, "exact_match_flexible": 0.5}},
	"decode":        {`{"task":"decode","argmax_share":0.5}`, map[string]float64{"argmax_share": 0.5}},
	"no name":       {`{"bits_per_byte":0.5}`, map[string]float64{"bits_per_byte": 0.5}},
	"gsm8k-chat":    {`{"task":"gsm8k-chat","exact_match_strict":0.5,"exact_match_flexible":1,"shots":5,"answers_cut":2}`, map[string]float64{"exact_match_strict": 0.5, "exact_match_flexible": 1}},
	"gpqa_diamond":  {`{"task":"gpqa_diamond","exact_match_strict":0.5,"exact_match_flexible":0.75,"answers_cut":1}`, map[string]float64{"exact_match_strict": 0.5, "exact_match_flexible": 0.75}},
	"niah_single_1": {`{"task":"niah_single_1","score":0.5,"by_length":{"4096":0.5},"samples":500}`, map[string]float64{"score": 0.5, "score_4096": 0.5}},
	"ruler_vt":      {`{"task":"ruler_vt","score":0.5}`, map[string]float64{"score": 0.5}},
	"ruler_cwe":     {`{"task":"ruler_cwe","score":0.5}`, map[string]float64{"score": 0.5}},
	"ruler_fwe":     {`{"task":"ruler_fwe","score":0.5}`, map[string]float64{"score": 0.5}},
	"none":          {`null`, map[string]float64{}},
}

// A result file's section is read back as the result that it was written from,
// whatever its task; the keys lie flat.
func TestAResultIsReadBackFromItsFile(t *testing.T) {
	for _, name := range accuracy.Names() {
		assert.Contains(t, taskCases, name, "a case for each task")
	}
	for name, c := range taskCases {
		var r accuracy.Result
		require.NoError(t, json.Unmarshal([]byte(c.section), &r), name)
		got := map[string]float64{}
		for _, f := range r.Figures() {
			got[f.Name] = f.Value
			assert.Contains(t, []string{"lower", "higher"}, f.Better)
		}
		assert.Equal(t, c.figures, got, name)
		if r.Measured == nil {
			continue
		}
		b, err := json.Marshal(r)
		require.NoError(t, err, name)
		var wrote, was map[string]any
		require.NoError(t, json.Unmarshal(b, &wrote))
		require.NoError(t, json.Unmarshal([]byte(c.section), &was))
		for k, v := range was {
			if k != "text" {
				assert.Equal(t, v, wrote[k], "%s: %s", name, k)
			}
		}
	}
	var r accuracy.Result
	assert.ErrorContains(t, json.Unmarshal([]byte(`{"task":"sums"}`), &r), "want one of wikitext")
}

// What a task asks is said in one page.
func TestEveryTaskIsInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/accuracy.md")
	require.NoError(t, err)
	for _, name := range accuracy.Names() {
		told := regexp.MustCompile(`\*\*` + name + `\*\*|ACC_TASK=` + name).Match(page)
		assert.True(t, told, "docs/accuracy.md does not say under \"What is measured\" what %s asks", name)
	}
}

package accuracy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/corpus"
	"inferbench/harness/tokenizer"
)

// Every prompt, to the byte, and the scores equal lm-evaluation-harness's own:
// see scripts/parity/lm_eval_ruler.py.
func TestRULEREqualsLMEval(t *testing.T) {
	b, err := os.ReadFile("testdata/lmeval-ruler.json")
	require.NoError(t, err)
	var g struct {
		Scores []struct {
			Text  string
			Refs  []string
			Score float64
		}
		Made []struct {
			Task, First string
			Length      int
			Digests     []string
			Outputs     [][]string
		}
	}
	require.NoError(t, json.Unmarshal(b, &g))
	for _, s := range g.Scores {
		assert.InDelta(t, s.Score, rulerScore(s.Text, s.Refs), 1e-12, "%q", s.Text)
	}
	file, err := tokenizer.Load("../tokenizer/testdata/added.json")
	require.NoError(t, err)
	count := func(text string) (int, error) {
		ids, err := file.Encode(text)
		return len(ids), err
	}
	require.NotEmpty(t, g.Made)
	for _, their := range g.Made {
		task, err := Lookup(their.Task)
		require.NoError(t, err)
		for _, cheap := range []bool{true, false} { // a tokenizer at hand, and a server's
			maker := newRulerMaker(task.(ruler), count)
			maker.samples, maker.cheap = len(their.Digests), cheap
			prompts, err := task.(ruler).make(maker, their.Length)
			require.NoError(t, err)
			require.Len(t, prompts, len(their.Digests))
			require.Equal(t, their.First, prompts[0].text, "%s, length %d", their.Task, their.Length)
			for i, digest := range their.Digests {
				require.Equal(t, digest, corpus.Digest([]byte(prompts[i].text))[:16], "%s, length %d, prompt %d", their.Task, their.Length, i)
				assert.Equal(t, their.Outputs[i], prompts[i].want)
			}
		}
	}
}

// BenchmarkRULER makes prompts of 128K tokens: an iteration is one prompt, the
// search for their size spread over 50.
func BenchmarkRULER(b *testing.B) {
	file, err := tokenizer.Load("../tokenizer/testdata/added.json")
	require.NoError(b, err)
	for _, task := range []ruler{niahSingle1, rulerVT, rulerCWE, rulerFWE} {
		b.Run(task.name, func(b *testing.B) {
			for b.Loop() {
				maker := newRulerMaker(task, func(text string) (int, error) {
					ids, err := file.Encode(text)
					return len(ids), err
				})
				maker.samples, maker.cheap = 50, true
				_, err := task.make(maker, 131072)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(50*b.N), "ms/prompt")
		})
	}
}

// Sizes that were added up from parts are those of whole texts, whatever the
// tokenizer does where parts meet.
func TestRULERSizesFromParts(t *testing.T) {
	files, err := filepath.Glob("../tokenizer/testdata/*.json")
	require.NoError(t, err)
	tested := 0
	for _, path := range files {
		file, err := tokenizer.Load(path)
		if err != nil {
			continue // no tokenizer
		}
		tested++
		for _, task := range []ruler{niahSingle1, rulerVT, rulerCWE, rulerFWE} {
			for _, length := range []int{3000, 9000} {
				var made [2][]rulerPrompt
				var whole [2]int
				var errs [2]error
				for i, cheap := range []bool{true, false} {
					maker := newRulerMaker(task, func(text string) (int, error) {
						if len(text) > 2000 {
							whole[i]++
						}
						ids, err := file.Encode(text)
						return len(ids), err
					})
					maker.samples, maker.cheap = 12, cheap
					made[i], errs[i] = task.make(maker, length)
				}
				require.Equal(t, errs[1], errs[0], "%s, %s, %d tokens", path, task.name, length)
				require.True(t, assert.ObjectsAreEqual(made[1], made[0]), "%s, %s, %d tokens", path, task.name, length)
				assert.LessOrEqual(t, whole[0], whole[1]+firstTexts, "%s, %s, %d tokens: texts counted whole", path, task.name, length)
				if strings.HasSuffix(path, "llama3.json") && task.name != "ruler_vt" { // which does not merge across words
					assert.Less(t, whole[0], 12, "%s, %d tokens: texts counted whole", task.name, length)
				}
			}
		}
	}
	assert.Greater(t, tested, 5)
}

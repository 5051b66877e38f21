package accuracy

import (
	"encoding/json"
	"os"
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
		maker := newRulerMaker(task.(ruler), count)
		maker.samples = len(their.Digests)
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
				maker.samples = 50
				_, err := task.make(maker, 131072)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(50*b.N), "ms/prompt")
		})
	}
}

package accuracy

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/corpus"
	"inferbench/harness/server"
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
			maker.samples, maker.cheap, maker.foresight.atOnce = len(their.Digests), cheap, 3
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

// BenchmarkRULEROfAServer makes prompts of 128K tokens that a server counts, which
// takes no time to do so but to read the text and to write ids: one for five bytes. An
// iteration is one prompt, the search for their size spread over 50.
func BenchmarkRULEROfAServer(b *testing.B) {
	ids := []byte(`{"tokens":[` + strings.Repeat("12345,", 1<<18))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		_, _ = w.Write(ids[:len(`{"tokens":[`)+6*(len(text)/5)])
		_, _ = w.Write([]byte("1]}"))
	}))
	defer s.Close()
	t := server.New(s.URL, "m", "", nil)
	tok, err := serverTokenizer(b.Context(), t, Options{Prefix: new(int32)})
	require.NoError(b, err)
	for _, task := range []ruler{niahSingle1, rulerVT, rulerCWE, rulerFWE} {
		for _, conc := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", task.name, conc), func(b *testing.B) {
				for b.Loop() {
					maker := task.makerFor(b.Context(), t, tok, Options{Conc: conc})
					maker.samples = 50
					_, err := task.make(maker, 131072)
					require.NoError(b, err)
				}
				b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(50*b.N), "ms/prompt")
			})
		}
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
				var whole [2]atomic.Int64
				var errs [2]error
				for i, cheap := range []bool{true, false} {
					maker := newRulerMaker(task, func(text string) (int, error) {
						if len(text) > 2000 {
							whole[i].Add(1)
						}
						ids, err := file.Encode(text)
						return len(ids), err
					})
					maker.samples, maker.cheap, maker.foresight.atOnce = 12, cheap, 1+4*(length/9000)
					made[i], errs[i] = task.make(maker, length)
				}
				require.Equal(t, errs[1], errs[0], "%s, %s, %d tokens", path, task.name, length)
				require.True(t, assert.ObjectsAreEqual(made[1], made[0]), "%s, %s, %d tokens", path, task.name, length)
				assert.LessOrEqual(t, whole[0].Load(), whole[1].Load()+firstTexts, "%s, %s, %d tokens: texts counted whole", path, task.name, length)
				if strings.HasSuffix(path, "llama3.json") && task.name != "ruler_vt" { // which does not merge across words
					assert.Less(t, whole[0].Load(), int64(12), "%s, %d tokens: texts counted whole", task.name, length)
				}
			}
		}
	}
	assert.Greater(t, tested, 5)
}

// Where a server counts, prompts are the same however many are counted at once, and
// they are counted at once.
func TestRULERPromptsAreCountedSeveralAtOnce(t *testing.T) {
	file, err := tokenizer.Load("../tokenizer/testdata/added.json")
	require.NoError(t, err)
	for _, task := range []ruler{niahSingle1, rulerVT, rulerCWE, rulerFWE} {
		t.Run(task.name, func(t *testing.T) {
			var made [2][]rulerPrompt
			var most [2]int64
			for i, atOnce := range []int{1, 5} {
				synctest.Test(t, func(t *testing.T) {
					var now, top atomic.Int64
					maker := newRulerMaker(task, func(text string) (int, error) {
						defer now.Add(-1)
						if n := now.Add(1); n > top.Load() {
							top.Store(n)
						}
						time.Sleep(time.Second) // a server's
						ids, err := file.Encode(text)
						return len(ids), err
					})
					maker.samples, maker.foresight.atOnce = 12, atOnce
					var err error
					made[i], err = task.make(maker, 9000)
					require.NoError(t, err)
					most[i] = top.Load()
				})
			}
			require.Equal(t, made[0], made[1])
			assert.EqualValues(t, 1, most[0])
			if task.name != "niah_single_1" { // which has room, by the first, for all
				assert.EqualValues(t, 5, most[1])
			}
		})
	}
}

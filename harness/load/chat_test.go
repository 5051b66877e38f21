package load

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/tokenizer"
	"inferbench/harness/workload"
)

// Random ids are sent to the chat endpoint as their text, so that the server
// counts, its template's tokens among them, just what was asked for.
func TestRandomPromptsThroughTheChatTemplate(t *testing.T) {
	tok, err := tokenizer.Load("../tokenizer/testdata/qwen2.json")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		chats, texts bool // what /tokenize takes; texts: /detokenize is there too
		file         bool
		template     func(content int) int
		why          string
	}{
		"/tokenize takes chats":          {chats: true, texts: true, template: func(int) int { return 11 }},
		"/tokenize takes texts":          {texts: true, template: func(int) int { return 11 }},
		"/tokenize leaves something out": {chats: true, texts: true, template: func(int) int { return 13 }},
		"TOKENIZER":                      {file: true, template: func(int) int { return 11 }},
		"neither":                        {template: func(int) int { return 11 }, why: "name the model's tokenizer.json with TOKENIZER"},
		"a template that is not constant": {texts: true, template: func(content int) int { return 11 + content/4 },
			why: "its template's length cannot be told"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			counted := map[int]int{}
			tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
				content := ""
				if len(a.Messages) > 0 {
					content = a.Messages[0].Content
				}
				ids, err := tok.Encode(content)
				assert.NoError(t, err)
				switch r.URL.Path {
				case "/v1/chat/completions":
					n := len(ids) + c.template(len(ids))
					if !a.Stream {
						fmt.Fprintf(w, `{"choices":[{"message":{"content":"a"}}],"usage":{"prompt_tokens":%d}}`, n)
						return
					}
					mu.Lock()
					counted[n]++
					mu.Unlock()
					stream(w, a.MaxTokens, n, 0)
				case "/tokenize":
					switch {
					case c.chats && content != "":
						fmt.Fprintf(w, `{"tokens":%s}`, jsonOf(make([]int, len(ids)+11)))
					case c.texts && content == "" && a.Prompt != nil:
						ids, err = tok.Encode(stringOf(a.Prompt))
						assert.NoError(t, err)
						fmt.Fprintf(w, `{"tokens":%s}`, jsonOf(ids))
					default:
						http.Error(w, "", http.StatusNotFound)
					}
				case "/detokenize":
					if !c.texts {
						http.Error(w, "", http.StatusNotFound)
						return
					}
					text, err := tok.Decode(a.Tokens)
					assert.NoError(t, err)
					fmt.Fprintf(w, `{"prompt":%s}`, jsonOf(text))
				default:
					http.NotFound(w, r)
				}
			})
			tg.Vocab = tok.Size()
			if c.file {
				tg.TokenizerFile = "../tokenizer/testdata/qwen2.json"
			}
			src, o, _, err := Open(t.Context(), tg, Plan{Workload: workload.Spec{N: 6, ISL: 96, OSL: 4, Seed: 3, SharedPrefix: 0.5},
				Options: Options{Conc: 2, WarmUp: 2, Chat: true}})
			if c.why != "" {
				require.ErrorContains(t, err, c.why)
				return
			}
			require.NoError(t, err)
			rec, err := Run(t.Context(), tg, src, o)
			require.NoError(t, err)
			assert.Empty(t, rec.Contradictions)
			assert.Equal(t, map[int]int{96: 8}, counted)
			sum := rec.Summary(1)
			assert.EqualValues(t, 6*96, *sum.InputTokens)
			assert.Zero(t, *sum.InputOffset)
			one, err := src.Request(0)
			require.NoError(t, err)
			two, err := src.Request(1)
			require.NoError(t, err)
			assert.NotEqual(t, one.Text, two.Text)
			assert.Equal(t, one.Text[:20], two.Text[:20], "half of each is shared")
		})
	}
}

func jsonOf(v any) string {
	b, _ := json.Marshal(v)
	return string(b)
}

func stringOf(raw json.RawMessage) (s string) {
	_ = json.Unmarshal(raw, &s)
	return s
}

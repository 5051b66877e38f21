package server

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/scrape"
)

// dialectCases has, for each dialect by its name, what such a server answers and
// what must be made of it.
var dialectCases = map[string]struct {
	models   string              // its /v1/models
	answers  map[string][]string // what else is asked when waiting and tokenizing
	version  string
	maxLen   int
	tokenize string // where it is asked
	sent     string // part of what it is sent there
	score    string // the path that is tried first for log-probabilities
	metrics  string // its /metrics page, showing 2 requests running; "" where it has none
}{
	"vllm": {
		models:  `{"object":"list","data":[{"id":"m","object":"model","owned_by":"vllm","root":"m","max_model_len":4096}]}`,
		answers: map[string][]string{"/version": {`200 {"version":"0.32.0"}`}, "/tokenize": {`200 {"count":2,"max_model_len":4096,"tokens":[5,6],"token_strs":null}`}},
		version: "0.32.0", maxLen: 4096, tokenize: "/tokenize", sent: `"prompt":"x"`, score: "/v1/completions",
		metrics: "vllm:num_requests_running{engine=\"0\"} 2\n",
	},
	"sglang": {
		models:  `{"object":"list","data":[{"id":"m","object":"model","owned_by":"sglang","root":"m","max_model_len":4096}]}`,
		answers: map[string][]string{"/tokenize": {`200 {"tokens":[5,6],"count":2,"max_model_len":4096}`}},
		maxLen:  4096, tokenize: "/tokenize", sent: `"add_special_tokens":false`, score: "/generate",
		metrics: "sglang:num_running_reqs{model_name=\"m\"} 2\n",
	},
	"llama.cpp": {
		models:  `{"object":"list","data":[{"id":"m","object":"model","owned_by":"llamacpp","meta":{"n_vocab":386,"n_ctx_train":8192}}]}`,
		answers: map[string][]string{"/props": {`200 {"default_generation_settings":{"n_ctx":2048}}`}, "/tokenize": {`200 {"tokens":[5,6]}`}},
		maxLen:  2048, tokenize: "/tokenize", sent: `"content":"x"`, score: "/v1/completions",
	},
	"llama-cpp-python": {
		models:   `{"object":"list","data":[{"id":"m","object":"model","owned_by":"me","permissions":[]}]}`,
		answers:  map[string][]string{"/extras/tokenize": {`200 {"tokens":[1,5,6]}`, `200 {"tokens":[1]}`}},
		tokenize: "/extras/tokenize", sent: `"input":"x"`, score: "/v1/completions",
	},
	"embedded": {
		models: `{"object":"list","data":[{"id":"m","object":"model","owned_by":"inferbench","max_model_len":4096}]}`,
		answers: map[string][]string{"/version": {`200 {"version":"0.1.0"}`}, "/inferbench/info": {`200 {"profile":{"name":"fast"}}`},
			"/tokenize": {`200 {"tokens":[5,6]}`}},
		version: "0.1.0", maxLen: 4096, tokenize: "/tokenize", sent: `"prompt":"x"`, score: "/v1/completions",
	},
	"unknown": {
		models:   `{"object":"list","data":[{"id":"m","object":"model","owned_by":"organization-owner"}]}`,
		answers:  map[string][]string{"/tokenize": {`200 {"tokens":[[5,6]],"count":[2]}`}},
		tokenize: "/tokenize", sent: `"prompt":"x"`, score: "/v1/completions",
	},
}

// A dialect is its file, its place in the table, its case here and its column in
// docs/engines.md: whatever is forgotten is named.
func TestEveryDialectIsWhole(t *testing.T) {
	files, err := filepath.Glob("dialect_*.go")
	require.NoError(t, err)
	page, err := os.ReadFile("../../docs/engines.md")
	require.NoError(t, err)
	head, _, _ := strings.Cut(string(page[strings.Index(string(page), "\n| |"):]), "| ---")
	declared := 0
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		declared += strings.Count(string(b), "= &Dialect{")
	}
	assert.Equal(t, declared, len(Dialects), "dialect_*.go declare so many; each belongs into Dialects in dialect.go")
	assert.Same(t, OpenAI, Dialects[len(Dialects)-1], "what is assumed of an unknown server comes last")
	for _, d := range Dialects {
		t.Run(d.Name, func(t *testing.T) {
			if d != OpenAI {
				assert.NotEmpty(t, d.OwnedBy, "without OwnedBy it is never recognised")
				assert.Contains(t, strings.ToLower(head), d.Name, "docs/engines.md has no column for it")
			}
			c, ok := dialectCases[d.Name]
			require.True(t, ok, "dialectCases in dialect_test.go has no case for it")
			c.answers["/health"], c.answers["/v1/models"] = []string{"200 "}, []string{"200 " + c.models}
			tg, asked := script(t, c.answers)
			tg.Model = ""
			require.NoError(t, tg.Wait(t.Context(), WaitOptions{}))
			assert.Same(t, d, tg.Dialect)
			assert.Equal(t, []any{"m", c.version, c.maxLen, d == Embedded}, []any{tg.Model, tg.Version, tg.MaxLen, tg.Loopback})

			ids, err := tg.Tokenize(t.Context(), hasty, "x", false)
			require.NoError(t, err)
			assert.Equal(t, []int32{5, 6}, ids)
			assert.Contains(t, asked[c.tokenize][0], c.sent)
			assert.Equal(t, c.score, d.ways()[0].Path)

			if c.metrics != "" {
				s := scrape.Start(t.Context(), func(context.Context) ([]scrape.Page, error) {
					return []scrape.Page{{Endpoint: tg.BaseURL, Text: []byte(c.metrics)}}, nil
				}, MetricNames(), time.Hour)
				s.Measuring(time.Now().Add(-time.Minute))
				r := s.Stop(t.Context())
				require.NotNil(t, r, "the names in Metrics are not those of its page")
				assert.Equal(t, 2.0, *r.MaxRunning)
			}
		})
	}
}

package load

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/server"
	"inferbench/harness/workload"
)

// A model of fewer tokens than is usual gets ids that it has.
func TestASmallModelIsMeasured(t *testing.T) {
	const vocab = 1000
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		switch ids := a.ids(); {
		case r.URL.Path != "/v1/completions":
			http.NotFound(w, r)
		case slices.Max(ids) >= vocab:
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprintf(w, `{"error":{"message":"Token id %d is out of vocabulary"}}`, slices.Max(ids))
		case !a.Stream:
			fmt.Fprint(w, `{"choices":[{"text":"a"}]}`)
		default:
			stream(w, a.MaxTokens, len(ids), 0)
		}
	})
	src, o, _, err := Open(t.Context(), tg, Plan{Workload: workload.Spec{N: 8, ISL: 64, OSL: 4}, Options: Options{Conc: 2}})
	require.NoError(t, err)
	rec, err := Run(t.Context(), tg, src, o)
	require.NoError(t, err)
	sum := rec.Summary(1)
	assert.Equal(t, 8, sum.Successful)
	assert.Equal(t, vocab, tg.Vocab)
}

// A server without a tokenizer gets texts that TOKENIZER measured.
func TestTextIsMeasuredByTheTokenizerFile(t *testing.T) {
	var text string
	tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
		if r.URL.Path != "/v1/completions" {
			http.NotFound(w, r)
			return
		}
		_ = json.Unmarshal(a.Prompt, &text)
		stream(w, a.MaxTokens, 40, 0)
	})
	plan := Plan{Workload: workload.Spec{Kind: workload.RandomText, N: 1, ISL: 40, OSL: 4}, Options: Options{Conc: 1}}
	_, _, _, err := Open(t.Context(), tg, plan)
	require.ErrorContains(t, err, "TOKENIZER")
	tg.TokenizerFile = "../tokenizer/testdata/gpt2.json"
	src, o, _, err := Open(t.Context(), tg, plan)
	require.NoError(t, err)
	_, err = Run(t.Context(), tg, src, o)
	require.NoError(t, err)
	ids, err := tg.Tokens(t.Context(), server.Retry{}, text, false)
	require.NoError(t, err)
	assert.Len(t, ids, 40)
}

package server

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// small is a model of so many tokens; refuse answers an id beyond them. It is
// asked for one token at a time.
func small(t *testing.T, vocab int32, info string, refuse func(w http.ResponseWriter, id int32)) (*Server, *atomic.Int32) {
	asked := new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/tokenizer_info":
			if info == "" {
				http.NotFound(w, r)
			}
			fmt.Fprint(w, info)
		case "/v1/completions":
			asked.Add(1)
			var in struct{ Prompt []int32 }
			_ = json.NewDecoder(r.Body).Decode(&in)
			for _, id := range in.Prompt {
				if id >= vocab {
					refuse(w, id)
					return
				}
			}
			fmt.Fprint(w, `{"choices":[{"text":"a"}]}`)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return New(s.URL, "m", "", nil), asked
}

func TestTheVocabularyIsFoundOut(t *testing.T) {
	says := func(status int, text string) func(http.ResponseWriter, int32) {
		return func(w http.ResponseWriter, id int32) {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"error":{"message":%q}}`, fmt.Sprintf(text, id))
		}
	}
	vllm := says(400, "Token id %d is out of vocabulary")
	for name, c := range map[string]struct {
		vocab  int32
		info   string
		refuse func(http.ResponseWriter, int32)
		file   string
		listed int
		want   int
		asked  bool
	}{
		"vLLM, 1,000":              {vocab: 1000, refuse: vllm, want: 1000, asked: true},
		"SGLang":                   {vocab: 777, refuse: says(400, "The input_ids [%d] contains values greater than the vocab size (777)."), want: 777, asked: true},
		"PyTorch":                  {vocab: 29999, refuse: says(500, "IndexError: index out of range in self (%d)"), want: 29999, asked: true},
		"four tokens":              {vocab: 4, refuse: vllm, want: 4, asked: true},
		"large enough":             {vocab: 128256, refuse: vllm, want: 0, asked: true},
		"listed":                   {vocab: 1000, refuse: vllm, listed: 500, want: 500},
		"/tokenizer_info":          {vocab: 1000, refuse: vllm, info: `{"vocab_size":1000}`, want: 1000},
		"/tokenizer_info, nothing": {vocab: 1000, refuse: vllm, info: `{"tokenizer_class":"X"}`, want: 1000, asked: true},
		"/tokenizer_info, odd":     {vocab: 1000, refuse: vllm, info: `{"vocab_size":-5}`, want: 1000, asked: true},
		"TOKENIZER":                {vocab: 1000, refuse: vllm, file: "../tokenizer/testdata/gpt2.json", want: 902},
		"refused for another word": {vocab: 1000, refuse: says(400, "max_tokens must be 16 or more, not %d"), want: 0, asked: true},
	} {
		t.Run(name, func(t *testing.T) {
			tg, asked := small(t, c.vocab, c.info, c.refuse)
			tg.Vocab, tg.TokenizerFile = c.listed, c.file
			require.NoError(t, tg.FindVocab(t.Context(), hasty, 29999))
			assert.Equal(t, c.want, tg.Vocab)
			assert.Equal(t, c.asked, asked.Load() > 0)
			assert.LessOrEqual(t, asked.Load(), int32(17), "it halves what is left")
		})
	}
}

// A file that is none, and an interrupt, end the search.
func TestTheSearchForTheVocabularyEnds(t *testing.T) {
	tg, _ := small(t, 1000, "", nil)
	tg.TokenizerFile = "vocabulary_test.go"
	require.ErrorContains(t, tg.FindVocab(t.Context(), hasty, 29999), "TOKENIZER: ")

	tg, asked := small(t, 1000, "", func(http.ResponseWriter, int32) { time.Sleep(300 * time.Millisecond) })
	require.NoError(t, tg.FindVocab(t.Context(), Retry{Each: 50 * time.Millisecond}, 29999), "the requests that follow will tell")
	assert.Equal(t, int32(1), asked.Load())
	assert.Zero(t, tg.Vocab)

	ctx, cancel := context.WithCancel(t.Context())
	tg, _ = small(t, 1000, "", func(w http.ResponseWriter, _ int32) { cancel(); time.Sleep(50 * time.Millisecond) })
	require.ErrorIs(t, tg.FindVocab(ctx, hasty, 29999), context.Canceled)
}

// Where the server has no tokenizer, TOKENIZER is asked.
func TestTokensComeFromTheServerOrTheFile(t *testing.T) {
	tg, _ := small(t, 1000, "", nil)
	_, err := tg.Tokens(t.Context(), hasty, "Hello world", true)
	require.ErrorIs(t, err, ErrNoTokenizer)
	tg.TokenizerFile = "../tokenizer/testdata/gpt2.json"
	ids, err := tg.Tokens(t.Context(), hasty, "Hello world", true)
	require.NoError(t, err)
	assert.NotEmpty(t, ids)
}

// Where TOKENIZER is given it stands in for a server's tokenizer that is not there
// or does not work; a server that is busy has one.
func TestTokensComeFromTheFileWhereTheServerHasNone(t *testing.T) {
	for name, c := range map[string]struct {
		answer string
		err    string
	}{
		"none":            {"404 Not Found", ""},
		"a gateway's":     {"401 only for admins", ""},
		"a broken one":    {"500 unsupported operation", ""},
		"some other page": {"200 <html>", ""},
		"no list":         {`200 {"count":3}`, ""},
		"busy":            {"503 busy", "HTTP 503"},
	} {
		t.Run(name, func(t *testing.T) {
			tg, _ := script(t, map[string][]string{"/tokenize": {c.answer}})
			_, err := tg.Tokens(t.Context(), hasty, "a b", true)
			require.Error(t, err, "without the file")
			tg.TokenizerFile = "../tokenizer/testdata/gpt2.json"
			ids, err := tg.Tokens(t.Context(), hasty, "a b", true)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				return
			}
			require.NoError(t, err)
			assert.Len(t, ids, 2)
		})
	}
}

package server

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The text of ids comes under another key from each make of server, or from
// TOKENIZER.
func TestTextOfTokens(t *testing.T) {
	for name, c := range map[string]struct {
		dialect *Dialect
		path    string
		answer  string
		file    string
		want    string
		err     error
	}{
		"vLLM":             {VLLM, "/detokenize", `200 {"prompt":"ab"}`, "", "ab", nil},
		"SGLang":           {SGLang, "/detokenize", `200 {"text":"ab"}`, "", "ab", nil},
		"llama.cpp":        {LlamaCpp, "/detokenize", `200 {"content":"ab"}`, "", "ab", nil},
		"llama-cpp-python": {LlamaCppPython, "/extras/detokenize", `200 {"text":"ab"}`, "", "ab", nil},
		"none":             {OpenAI, "/detokenize", `404 {}`, "", "", ErrNoDetokenizer},
		"another shape":    {OpenAI, "/detokenize", `200 {"tokens":[1]}`, "", "", ErrNoDetokenizer},
		"TOKENIZER":        {OpenAI, "/detokenize", `404 {}`, "../tokenizer/testdata/gpt2.json", "!\"", nil},
	} {
		t.Run(name, func(t *testing.T) {
			tg, _ := script(t, map[string][]string{c.path: {c.answer}})
			tg.Dialect, tg.TokenizerFile = c.dialect, c.file
			text, err := tg.Text(t.Context(), hasty, []int32{0, 1})
			if c.err != nil {
				assert.ErrorIs(t, err, c.err)
				return
			}
			require.NoError(t, err)
			assert.Equal(t, c.want, text)
		})
	}
}

func TestWhereATraceLies(t *testing.T) {
	tg := New("http://h", "", "", nil)
	for _, d := range Dialects {
		tg.Dialect = d
		assert.NotEmpty(t, tg.TraceAt(), d.Name)
	}
	tg.About.Flags = map[string]string{"torch_profiler_dir": "/traces"}
	assert.Equal(t, "/traces on the server's machine", tg.TraceAt())
}

func TestOnThisMachine(t *testing.T) {
	for url, want := range map[string]bool{"http://127.0.0.1:8888": true, "http://[::1]:8888": true, "http://localhost:8888": true,
		"http://192.0.2.7:8888": false, "http://no.such.host.invalid:1": false, "::": false} {
		assert.Equal(t, want, New(url, "", "", nil).OnThisMachine(t.Context()), url)
	}
}

package tokenizer

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Whatever tokenizer.json holds, loading it ends in an error in one line, or in
// a tokenizer that cuts any text up in a time that follows the text's length.
func FuzzTokenizerFile(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(f, err)
	for _, file := range append(files, "testdata/bytes/tokenizer.json") {
		b, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(b)
	}
	for _, s := range []string{
		`{"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}}`,
		`{"model":{"type":"BPE","vocab":{"a":-1},"merges":[["a"]]}}`,
		`{"model":{"type":"Unigram","vocab":[["a",-1.0],["",0]],"unk_id":7}}`,
		`{"added_tokens":[{"id":0,"content":""}],"model":{"type":"BPE","vocab":{},"merges":[]}}`,
		`{"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a+)+$"},"behavior":"Isolated"},"model":{"type":"BPE","vocab":{},"merges":[]}}`,
	} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), "tokenizer.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, os.WriteFile(path, b, 0o600))
		begin := time.Now()
		tok, err := Load(path)
		if err == nil {
			for _, text := range []string{"", "a", "The 12 cats' naïve café 🙂\r\n\n  end", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "\u0300\u200d\ufeff"} {
				if _, err = tok.Encode(text); err != nil {
					break
				}
			}
			tok.Prefix()
		}
		require.Less(t, time.Since(begin), 30*time.Second)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
		}
	})
}

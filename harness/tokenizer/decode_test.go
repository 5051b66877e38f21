package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What was cut into tokens comes back from them: to the letter, or but for a space
// before it where the tokenizer puts one there.
func TestDecodeUndoesEncode(t *testing.T) {
	text, err := os.ReadFile("../accuracy/texts/heldout.txt")
	require.NoError(t, err)
	for file := range readAnswers(t, "testdata/golden.json") {
		t.Run(file, func(t *testing.T) {
			tok, err := Load(filepath.Join("testdata", file))
			require.NoError(t, err)
			for _, want := range []string{string(text[:min(len(text), 20<<10)]), "", "a", "  two  spaces\n\ttab", "naïve café, 你好 🙂"} {
				switch {
				case file == "unigram.json" && !isASCII(want): // it has no tokens for what is rare
					continue
				case file == "unigram.json":
					want = strings.Join(strings.Fields(want), " ") // as it reads them
				case file == "added.json":
					want = strings.ToLower(want) // as it reads everything
				}
				ids, err := tok.Encode(want)
				require.NoError(t, err)
				got, err := tok.Decode(ids)
				require.NoError(t, err)
				if file == "unigram.json" {
					got = strings.Join(strings.Fields(got), " ")
				}
				assert.Contains(t, []string{want, " " + want}, got)
			}
		})
	}
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}

// Half a character is what it is: no text.
func TestDecodeOfOddTokens(t *testing.T) {
	tok, err := Load("testdata/gpt2.json")
	require.NoError(t, err)
	id, ok := tok.ID(byteChar[0xe4])
	require.True(t, ok)
	got, err := tok.Decode([]int32{id})
	require.NoError(t, err)
	assert.Equal(t, "\uFFFD", got)
	for _, wrong := range []int32{-1, int32(tok.Size())} {
		_, err = tok.Decode([]int32{wrong})
		assert.ErrorContains(t, err, "names no token")
	}
	space := newDecoder(json.RawMessage(`{"type":"Sequence","decoders":[{"type":"Replace"},{"type":"Strip"}]}`))
	assert.True(t, space.strip)
	assert.False(t, space.byteLevel)
}

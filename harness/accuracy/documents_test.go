package accuracy

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestHeldOutTextIsReadyToScore(t *testing.T) {
	text := HeldOut()
	assert.GreaterOrEqual(t, text.ID.Documents, 5)
	assert.GreaterOrEqual(t, text.ID.Words, 2000)
	for _, d := range text.Documents {
		assert.NotEqual(t, d.Page, d.Target, "it must exercise the detokeniser")
	}
}

func TestSharedWikitextHasItsKnownShape(t *testing.T) {
	b, err := os.ReadFile("../../../shared/data/wikitext2-test.txt")
	if err != nil {
		t.Skip("WikiText-2 is not here:", err)
	}
	text, err := NewText("wikitext2-test.txt", string(b))
	require.NoError(t, err)
	assert.Equal(t, 62, text.ID.Documents, "as EleutherAI/wikitext_document_level has them")
}

func TestRollingWindowsPredictEachTokenOnce(t *testing.T) {
	for n := range 40 {
		tokens := make([]int32, n)
		for i := range tokens {
			tokens[i] = int32(i)
		}
		for length := 1; length < 12; length++ {
			next := int32(0)
			for w, win := range RollingWindows(tokens, -1, length) {
				if w > 0 {
					assert.Len(t, win.Tokens, length+1, "every window but the first is full")
				}
				for _, tok := range win.Tokens[win.From:] {
					assert.Equal(t, next, tok)
					next++
				}
			}
			assert.EqualValues(t, n, next)
		}
	}
}

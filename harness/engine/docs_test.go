package engine

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The page must list the faults that there are, in the code's own words.
func TestThePageListsEveryFault(t *testing.T) {
	page, err := os.ReadFile("../../docs/engine.md")
	require.NoError(t, err)
	for _, f := range faultNames {
		assert.Contains(t, string(page), "| `"+f.name+"` | "+f.does+" |\n")
	}
}

package engine

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The page must list the faults that there are, in the code's own words.
func TestThePageListsEveryFault(t *testing.T) {
	page, err := os.ReadFile("../../docs/engine.md")
	require.NoError(t, err)
	for _, f := range faultNames {
		row := "| `" + f.name + "` | " + f.does + " |\n"
		assert.True(t, strings.Contains(string(page), row), "docs/engine.md lacks this row:\n%s", row)
	}
}

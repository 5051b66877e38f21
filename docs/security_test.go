package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The table of fuzz targets has every one that there is, with ten minutes or more.
func TestEveryFuzzTargetIsInTheTable(t *testing.T) {
	var want []string
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && len(d.Name()) > 2):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		b, err := os.ReadFile(path)
		for _, m := range regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`).FindAllStringSubmatch(string(b), -1) {
			want = append(want, m[1])
		}
		return err
	}))
	page, err := os.ReadFile("security.md")
	require.NoError(t, err)
	var got []string
	for _, m := range regexp.MustCompile("(?m)^\\| `(Fuzz\\w+)` \\| [^|]+ \\| \\d+m\\d+s \\|").FindAllStringSubmatch(string(page), -1) {
		got = append(got, m[1])
	}
	assert.ElementsMatch(t, want, got, "docs/security.md (listA: the code, listB: the page)")
}

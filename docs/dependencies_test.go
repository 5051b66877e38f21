// Package docs holds the pages of this folder, and tests that keep them true.
package docs

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

// Every direct module and every tool has a line, and every line has its module.
func TestEveryDependencyIsExplained(t *testing.T) {
	cmd := exec.Command("go", "mod", "edit", "-json")
	cmd.Dir = ".."
	out, err := cmd.Output()
	require.NoError(t, err)
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Tool []struct{ Path string }
	}
	require.NoError(t, json.Unmarshal(out, &mod))
	tool := func(module string) bool {
		for _, tl := range mod.Tool {
			if tl.Path == module || strings.HasPrefix(tl.Path, module+"/") {
				return true
			}
		}
		return false
	}
	var want []string
	for _, r := range mod.Require {
		if !r.Indirect || tool(r.Path) {
			want = append(want, r.Path)
		}
	}

	page, err := os.ReadFile("dependencies.md")
	require.NoError(t, err)
	var got []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|[^|]{10,}\\|[^|]{10,}\\|$").FindAllStringSubmatch(string(page), -1) {
		got = append(got, m[1])
	}
	assert.ElementsMatch(t, want, got, "docs/dependencies.md (listA: go.mod, listB: the page): each line is | `module` | what for | why this one |")
}

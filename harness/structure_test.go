// Package harness has no code of its own: this test holds the structure of the
// packages below it.
package harness

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/server"
	_ "inferbench/harness/testdata/cleanenv" // the user's settings are not the tests'
)

// makes lists what servers call themselves, in lower case: those that have a
// dialect, and some that have none.
func makes() []string {
	names := []string{"ollama", "tensorrt-llm", "trtllm", "tgi", "lmdeploy", "atom"}
	for _, d := range server.Dialects {
		if d != server.Embedded && d != server.OpenAI { // no makes of others
			names = append(append(names, d.Name), d.OwnedBy...)
		}
	}
	return names
}

// A server's make is asked for in its dialect's file and nowhere else.
func TestNoMakeOfServerIsNamedOutsideItsDialect(t *testing.T) {
	names, seen := makes(), 0
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		in := filepath.ToSlash(path)
		switch {
		case err != nil:
			return err
		case d.IsDir() && (in == "../harness/engine" || in == "../e2e" || strings.HasPrefix(d.Name(), ".") && d.Name() != ".."):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(in, ".go") || strings.HasSuffix(in, "_test.go") || strings.HasPrefix(in, "../harness/server/dialect_"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
		if err != nil {
			return err
		}
		seen++
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			require.NoError(t, err)
			name, rest, _ := strings.Cut(strings.ToLower(text), ":") // as of a metric
			if strings.HasPrefix(rest, " ") {
				return true // a sentence
			}
			assert.NotContains(t, names, strings.TrimSpace(name), "%s: %q belongs into a dialect's file, harness/server/dialect_*.go", path, text)
			return true
		})
		return nil
	}))
	assert.Greater(t, seen, 100, "the tree was walked")
}

// deps lists what a package imports of ours and of the standard library's
// net/http, directly or not.
func deps(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", pkg).CombinedOutput()
	require.NoError(t, err, string(out))
	var list []string
	for _, d := range strings.Fields(string(out)) {
		if d != pkg && (strings.HasPrefix(d, "inferbench/") || d == "net/http") {
			list = append(list, strings.TrimPrefix(d, "inferbench/"))
		}
	}
	return list
}

// The arrows of the house, as docs/overview.md draws them.
func TestArrowsPointOneWay(t *testing.T) {
	for _, pure := range []string{"harness/textfile", "harness/stats", "harness/workload", "harness/matrix", "harness/pareto", "baselines"} {
		for _, d := range deps(t, "inferbench/"+pure) {
			assert.Equal(t, "harness/textfile", d, pure+" is pure: it imports nothing else of ours")
		}
	}
	for pkg, forbidden := range map[string][]string{
		"harness/load":     {"harness/batch", "harness/settings", "harness/traces"},
		"harness/session":  {"net/http", "harness/load", "harness/batch", "harness/settings", "harness/traces"},
		"harness/batch":    {"net/http", "harness/server"},
		"harness/accuracy": {"harness/load", "harness/batch", "harness/settings"},
		"harness/server":   {"harness/load", "harness/batch", "harness/settings"},
		"harness/settings": {"net/http"},
		"harness/rules":    {"net/http", "harness/batch", "harness/settings", "leaderboard"},
	} {
		for _, d := range deps(t, "inferbench/"+pkg) {
			assert.NotContains(t, forbidden, d, pkg)
		}
	}
	for _, measuring := range []string{"load", "accuracy", "batch", "submit", "sweep", "server"} {
		engine := slices.ContainsFunc(deps(t, "inferbench/harness/"+measuring), func(d string) bool { return strings.HasPrefix(d, "harness/engine") })
		assert.False(t, engine, measuring+" reaches the engine over its socket, never by import")
	}
}

// Tests that start commands hand them no setting that the user has exported.
func TestNoTestReadsTheUsersSettings(t *testing.T) {
	clean, starts := map[string]bool{}, map[string]string{}
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(path)
		dir := filepath.Dir(path)
		if strings.Contains(string(b), `_ "inferbench/harness/testdata/cleanenv"`) {
			clean[dir] = true
		}
		if strings.Contains(string(b), "exec.Command") || strings.Contains(string(b), "os.Environ()") {
			starts[dir] = path
		}
		return err
	}))
	delete(starts, "../deploy/check") // a module of its own, which starts nothing of ours
	require.NotEmpty(t, starts)
	for dir, path := range starts {
		assert.True(t, clean[dir], path+" starts a command: import harness/testdata/cleanenv in a test of its package")
	}
}

// narrow is the longest line, in columns, that is read without scrolling.
const narrow = 120

// No line of Go is longer than 120 columns, but for an address and what stands in
// back quotes, which cannot be wrapped.
func TestLinesAreNarrow(t *testing.T) {
	require.NoError(t, fs.WalkDir(os.DirFS(".."), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile("../" + path)
		raw := false // within back quotes that a line before opened
		for n, line := range strings.Split(string(text), "\n") {
			quotes := strings.Count(line, "`")
			wide := len([]rune(line))
			if wide > narrow && !raw && quotes == 0 && !strings.Contains(line, "https://") {
				t.Errorf("%s:%d: %d columns, more than %d: wrap it", path, n+1, wide, narrow)
			}
			raw = raw != (quotes%2 == 1)
		}
		return err
	}))
}

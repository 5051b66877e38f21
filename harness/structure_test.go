// Package harness has no code of its own: this test holds the structure of the
// packages below it.
package harness

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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
	for _, pure := range []string{"harness/stats", "harness/workload", "harness/matrix", "harness/pareto", "baselines"} {
		for _, d := range deps(t, "inferbench/"+pure) {
			assert.Fail(t, pure+" imports "+d+": it is pure and imports nothing of ours")
		}
	}
	for pkg, forbidden := range map[string][]string{
		"harness/load":     {"harness/batch", "harness/settings"},
		"harness/batch":    {"net/http", "harness/server"},
		"harness/accuracy": {"harness/load", "harness/batch", "harness/settings"},
		"harness/server":   {"harness/load", "harness/batch", "harness/settings"},
		"harness/settings": {"net/http"},
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

// Package suite builds the root package's test binary, which is the product,
// for tests that drive it as a user does.
package suite

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Main is the body of a TestMain: it builds the binary into a folder of its
// own, leaves its path in binary, runs the tests and removes the folder. It
// returns the exit code, and panics where the binary cannot be built.
func Main(m *testing.M, binary *string) int {
	dir, err := os.MkdirTemp("", "inferbench-suite")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	*binary = filepath.Join(dir, "suite.test")
	build := exec.Command("go", "test", "-c", "-o", *binary, "inferbench")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		panic(err)
	}
	return m.Run()
}

// Package inferbench is a benchmark suite for LLM inference servers whose
// harness is `go test`: TestAccuracy, TestServing and BenchmarkServing run the
// cells of a sweep. Its program is harness/suite; the command inferbench runs
// the same without Go. See README.md.
package inferbench

import (
	"flag"
	"os"
	"testing"

	"inferbench/harness/suite"
)

func TestMain(m *testing.M) {
	suite.Register(flag.CommandLine)
	flag.Parse()
	os.Exit(suite.Main(flag.CommandLine, m))
}

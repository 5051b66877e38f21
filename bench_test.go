package inferbench

import (
	"testing"

	"inferbench/harness/suite"
)

// BenchmarkServing measures the speed of every cell, for `go test -bench` and
// benchstat. One iteration is one pass of the cell's NUM_PROMPTS requests.
func BenchmarkServing(b *testing.B) { suite.Bench(b) }

// TestServing is BenchmarkServing as tests, for gotestsum and JUnit: gotestsum
// takes a benchmark that passes for one that failed. It prints the same
// benchmark lines, and like a benchmark none of a cell that failed.
func TestServing(t *testing.T) { suite.Serving(t) }

package inferbench

import (
	"testing"

	"inferbench/harness/suite"
)

// TestAccuracy scores the model at every cell's CONC and judges it against its
// baseline.
func TestAccuracy(t *testing.T) { suite.Accuracy(t) }

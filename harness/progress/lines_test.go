package progress

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/load"
	"inferbench/harness/matrix"
)

func TestLinesOfARunThatADurationEnds(t *testing.T) {
	for total, want := range map[int]string{0: ": benchmark: 7 requests, 2 in flight", 90: ": benchmark: 7 of 90 requests, 2 in flight"} {
		var w strings.Builder
		l := &Lines{W: &w, last: time.Unix(0, 0)}
		l.Serving(matrix.Cell{}, load.Progress{Done: 7, InFlight: 2, Total: total})
		assert.Contains(t, w.String(), want)
	}
}

// A source that packs what it sends does not say how much that is.
func TestLinesSayHowMuchOfAFileHasCome(t *testing.T) {
	for total, want := range map[int64]string{
		4 << 10: "fetching gsm8k-test.jsonl: 3 of 4 KiB\n",
		-1:      "fetching gsm8k-test.jsonl: 3 KiB\n",
	} {
		var w strings.Builder
		l := &Lines{W: &w, last: time.Unix(0, 0)}
		l.Fetching(matrix.Cell{}, "gsm8k-test.jsonl", 3<<10, total)
		assert.Contains(t, w.String(), want)
	}
}

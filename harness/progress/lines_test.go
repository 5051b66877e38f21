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

// A replay says how many sessions have ended, and what came from the cache.
func TestLinesOfSessions(t *testing.T) {
	hits := 0.634
	for want, s := range map[string]*load.SessionProgress{
		"9 requests, 2 in flight, 0 failed\n":                                                 nil,
		"9 requests, 2 in flight, 0 failed, 3 sessions ended\n":                               {Ended: 3},
		"9 requests, 2 in flight, 0 failed, 3 sessions ended, 63 % of input from the cache\n": {Ended: 3, HitRate: &hits},
	} {
		var w strings.Builder
		l := &Lines{W: &w, last: time.Unix(0, 0)}
		l.Serving(cells[0], load.Progress{Done: 9, InFlight: 2, Sessions: s})
		assert.True(t, strings.HasSuffix(w.String(), want), w.String())
	}
	assert.Equal(t, " · 3 sessions ended · 63 % of input from the cache",
		sessions(load.Progress{Sessions: &load.SessionProgress{Ended: 3, HitRate: &hits}}, " · "))
}

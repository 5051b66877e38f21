package sweep

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/load"
	"inferbench/harness/stats"
)

// A cell whose load never came to its height is not what it is named for.
func TestARampThatOutlastsItsRun(t *testing.T) {
	run := func(took, ramp time.Duration, conc, requests int, rate float64) string {
		return rampCutOff(&load.Recording{Timings: make([]stats.Timing, requests), Duration: took},
			load.Options{Conc: conc, Shape: load.Shape{RampUp: ramp, Rate: rate}})
	}
	assert.Equal(t, "the run of 10s was over before RAMP_UP=1m0s had brought 4 requests in flight: shorten it, or raise "+
		"NUM_PROMPTS or DURATION", run(10*time.Second, time.Minute, 4, 200, 0))
	assert.NotEmpty(t, run(45*time.Second, time.Minute, 4, 200, 0), "when the last slot would have begun")
	assert.Empty(t, run(46*time.Second, time.Minute, 4, 200, 0))
	assert.Empty(t, run(10*time.Second, 0, 4, 200, 0))
	assert.Empty(t, run(10*time.Second, time.Minute, 1, 200, 0), "one slot begins at once")
	assert.Empty(t, run(10*time.Second, time.Minute, 4, 200, 5), "an open loop has no slots")
	assert.Empty(t, run(10*time.Second, time.Minute, 4, 2, 0), "that there were too few is said elsewhere")
	assert.Empty(t, rampCutOff(nil, load.Options{}))
}

// A rate that CONC does not let be is told.
func TestRequestsThatWaitForOthers(t *testing.T) {
	ts := make([]stats.Timing, 200)
	ts[0].Waited, ts[1].Waited = 4*time.Millisecond, 30*time.Millisecond
	ts[2].Waited = 50 * time.Millisecond
	assert.Empty(t, waitedForOthers(ts, 4), "two of 200")
	ts[3].Waited = 70 * time.Millisecond
	assert.Equal(t, "3 of 200 requests were sent later than they should have been, 50ms at the median: CONC=4 were in "+
		"flight. Their latencies count from when they were due; raise CONC, or set CONC_CAP=false", waitedForOthers(ts, 4))
	assert.Empty(t, waitedForOthers(nil, 4))
}

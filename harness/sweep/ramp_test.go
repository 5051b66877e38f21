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

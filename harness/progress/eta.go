package progress

import (
	"time"

	"inferbench/harness/matrix"
)

// estimate says how long a sweep will still take, from this server's own
// speed: the tokens that are left over the tokens per second seen last, in
// the running pass or the one before it. Throughput grows with concurrency and
// a sweep goes upwards, so it is rather too long than too short.
type estimate struct {
	passes map[matrix.Cell]int // that are still to come, the running one included
	rate   float64             // tokens a second; 0 while nothing is known
}

func newEstimate(cells []matrix.Cell, count int) *estimate {
	e := &estimate{passes: map[matrix.Cell]int{}}
	for _, c := range cells {
		e.passes[c] = max(1, count)
	}
	return e
}

// tokens of a request, input and output. With RANDOM_RANGE_RATIO below 1 they
// are fewer, in all cells alike, which the rate cancels out.
func tokens(c matrix.Cell) float64 { return float64(c.ISL + c.OSL) }

// running takes note of how far a pass is.
func (e *estimate) running(c matrix.Cell, done int, elapsed time.Duration) {
	if s := elapsed.Seconds(); s > 0 && done >= min(c.Conc, c.NumPrompts) { // the first wave tells little
		e.rate = float64(done) * tokens(c) / s
	}
}

// ended takes a pass off.
func (e *estimate) ended(c matrix.Cell) { e.passes[c] = max(0, e.passes[c]-1) }

// skip takes off all passes of a cell that will not be measured.
func (e *estimate) skip(c matrix.Cell) { e.passes[c] = 0 }

// left returns the time to the end of the sweep when done requests of running's
// pass are through; false while nothing is known.
func (e *estimate) left(running matrix.Cell, done int) (time.Duration, bool) {
	if e.rate == 0 {
		return 0, false
	}
	work := -float64(done) * tokens(running)
	for c, n := range e.passes {
		work += float64(n) * float64(c.NumPrompts) * tokens(c)
	}
	return max(0, time.Duration(work/e.rate*float64(time.Second))), true
}

// countdown is a time left as it is shown: it does not grow. Where an estimate
// does, the one before it stands until the new one has come down to it.
type countdown struct {
	of   string // what is counted down; another one begins anew
	left time.Duration
}

func (c *countdown) show(of string, left time.Duration) time.Duration {
	if c.of != of || c.left == 0 {
		c.of, c.left = of, left
	}
	c.left = min(c.left, left)
	return c.left
}

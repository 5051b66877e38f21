package sweep

import (
	"fmt"
	"time"
)

// Every figure is taken by the monotonic clock, which nobody sets. The time of
// day can be set, or stand still while a machine sleeps, in the middle of a
// pass: then instants in the server's log and in ours no longer fit, and a
// machine that slept has measured its sleep or missed it. A reader must know.

// clockSlack is how far the two clocks may drift apart in a pass: time
// synchronisation slews by half a millisecond a second at most.
const clockSlack = time.Second

// timeOfDay is the clock that can be set; a test sets it.
var timeOfDay = func() time.Time { return time.Now().Round(0) } // without the monotonic reading

// clocks are both clocks at one instant.
type clocks struct{ byDay, monotonic time.Time }

func readClocks() clocks { return clocks{timeOfDay(), time.Now()} }

// jump says in words that the time of day has jumped since; "" where it has not.
func (c clocks) jump() string {
	return jump(timeOfDay().Sub(c.byDay), time.Since(c.monotonic))
}

func jump(byDay, monotonic time.Duration) string {
	d := byDay - monotonic
	if d.Abs() <= max(clockSlack, monotonic/1000) {
		return ""
	}
	return fmt.Sprintf("the machine's clock jumped by %+.0f s during this cell (it was set, or the machine slept): "+
		"durations stand, times of day do not; run the cell again if the machine slept", d.Seconds())
}

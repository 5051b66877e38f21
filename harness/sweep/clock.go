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

// clockJump says in words that the time of day jumped between two instants; ""
// where it did not.
func clockJump(begin, end time.Time) string {
	// Round(0) takes the monotonic reading away.
	return jump(end.Round(0).Sub(begin.Round(0)), end.Sub(begin))
}

func jump(byDay, monotonic time.Duration) string {
	d := byDay - monotonic
	if d.Abs() <= max(clockSlack, monotonic/1000) {
		return ""
	}
	return fmt.Sprintf("the machine's clock jumped by %+.0f s during this cell (it was set, or the machine slept): durations stand, times of day do not; run the cell again if the machine slept", d.Seconds())
}

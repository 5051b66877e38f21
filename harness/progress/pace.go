package progress

import (
	"fmt"
	"time"

	"inferbench/harness/matrix"
)

// Pace estimates how long the rest of a cell's accuracy run takes, from what is
// done so far. The zero Pace is ready.
type Pace struct {
	cell  matrix.Cell
	first int // done when the cell was first seen
	begin time.Time
}

// Left returns a few words such as ", about 40s left"; empty where nothing can be
// said yet.
func (p *Pace) Left(c matrix.Cell, done, total int, now time.Time) string {
	if p.begin.IsZero() || c != p.cell || done < p.first {
		*p = Pace{cell: c, first: done, begin: now}
	}
	if done <= p.first || done >= total {
		return ""
	}
	each := now.Sub(p.begin) / time.Duration(done-p.first)
	return fmt.Sprintf(", about %s left", (each * time.Duration(total-done)).Round(time.Second))
}

//go:build !linux

package engine

import "time"

// pacer waits until an instant. Where steps are shorter than the system's timer
// can wait, the loop's accounting makes up for it over several steps.
type pacer struct{}

func newPacer() *pacer { return &pacer{} }

// until waits until the instant, at most for a tenth of a second, and reports
// whether it has come.
func (p *pacer) until(at time.Time) bool {
	d := time.Until(at)
	time.Sleep(min(d, 100*time.Millisecond))
	return d <= 100*time.Millisecond
}

func (p *pacer) close() {}

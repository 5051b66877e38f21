//go:build !unix

package load

import "time"

// cpuTime is not known here: the audit's CPU share is zero.
func cpuTime() time.Duration { return 0 }

package stats

import (
	"fmt"
	"time"
)

// Audit is what the client says of itself: whether it kept up with the load,
// and what it cost. It is of the measured run, without the warm-up; the
// connections are those of both.
type Audit struct {
	ClientLimited bool     `json:"client_limited"`                   // the client, not the server, may have set these figures
	Reasons       []string `json:"client_limited_reasons,omitempty"` // why, each against its limit

	// How late the client was. A goroutine that could run had to wait for a
	// core (Go's scheduler), and so had its thread (the system's): a timer's
	// lateness holds both.
	LatenessP99Ms   float64 `json:"timer_lateness_p99_ms"`
	LatenessMaxMs   float64 `json:"timer_lateness_max_ms"`
	SchedulingP99Ms float64 `json:"scheduling_delay_p99_ms"` // of Go's scheduler alone
	GCPauseP99Ms    float64 `json:"gc_pause_p99_ms"`
	GCPauseMaxMs    float64 `json:"gc_pause_max_ms"`
	GCPauseShare    float64 `json:"gc_pause_share"` // of the run's time, 0 to 1, in which a collection had stopped it

	// What it cost.
	CPUShare      float64 `json:"cpu_share"`               // of the cores that Go may use, user and system
	CPUPerTokenUs float64 `json:"cpu_us_per_token"`        // µs of CPU a streamed token
	WithEngine    bool    `json:"cpu_includes_the_engine"` // the embedded engine ran in this process: no limit is held against CPUShare

	// Connections. Dialling is no part of a closed loop's latency, but a slot
	// that dials has no request in flight.
	Dials     int     `json:"connections_opened"`
	DialMaxMs float64 `json:"dial_max_ms"`
	TLSMaxMs  float64 `json:"tls_handshake_max_ms"`
	Retries   int     `json:"retries"` // sent again because the server had closed a kept-alive connection

	// IdleShare is the part of their time, 0 to 1, in which the slots of a
	// closed loop had no request in flight though there were more to send.
	IdleShare float64 `json:"slot_idle_share"`

	// Chunks that came in one read with the chunk before them, and so share its
	// instant: their gaps count as zero. The server may have sent them so.
	BundledChunks int64   `json:"bundled_chunks"`
	BundledShare  float64 `json:"bundled_share"` // of all chunks

	// Shards tells whether the clients of a run that several shared out ran
	// together; null for a run of one client.
	Shards *Together `json:"shards,omitempty"`
}

// The limits past which a client counts as limited: docs/client.md gives the
// reasons for each.
const (
	MaxCPUShare   = 0.80                 // of the client's cores
	MaxLateness   = 5 * time.Millisecond // at the 99th percentile
	MaxScheduling = 5 * time.Millisecond // likewise
	MaxGCPauses   = 0.01                 // share of the time: above it a 99th percentile can be made of pauses
	MaxIdleShare  = 0.02                 // of the slots' time
	MaxBundled    = 0.50                 // of all chunks
)

// Judge sets ClientLimited and its reasons from the other figures.
func (a *Audit) Judge() {
	a.Reasons = nil
	over := func(is bool, format string, args ...any) {
		if is {
			a.Reasons = append(a.Reasons, fmt.Sprintf(format, args...))
		}
	}
	ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
	over(a.CPUShare > MaxCPUShare && !a.WithEngine, "the client used %.0f %% of its cores (limit %.0f %%)", a.CPUShare*100, MaxCPUShare*100)
	over(a.LatenessP99Ms > ms(MaxLateness), "its timers fired %.1f ms late at the 99th percentile (limit %v)", a.LatenessP99Ms, MaxLateness)
	over(a.SchedulingP99Ms > ms(MaxScheduling), "what was ready to run waited %.1f ms for a core at the 99th percentile (limit %v)", a.SchedulingP99Ms, MaxScheduling)
	over(a.GCPauseShare > MaxGCPauses, "garbage collection had stopped it for %.1f %% of the time (limit %.0f %%)", a.GCPauseShare*100, MaxGCPauses*100)
	over(a.IdleShare > MaxIdleShare, "for %.1f %% of their time its slots had no request in flight (limit %.0f %%)", a.IdleShare*100, MaxIdleShare*100)
	over(a.BundledShare > MaxBundled, "%.0f %% of all chunks came in one read with the chunk before, so that the gaps between them are not known (limit %.0f %%)", a.BundledShare*100, MaxBundled*100)
	a.ClientLimited = len(a.Reasons) > 0
}

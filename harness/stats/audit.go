package stats

import (
	"fmt"
	"slices"
	"strings"
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
	LatenessP50Ms   float64 `json:"timer_lateness_p50_ms"`
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

	// ReadTickMs is how long arrivals were gathered before they were read, at the end
	// of the run; 0 where each was read at once. It lengthens no latency, since the
	// kernel says when they came.
	ReadTickMs float64 `json:"read_tick_ms"`

	// LaneIdleShare is, of a replay of sessions, the part of each lane's time in which
	// a turn was due and had not been sent.
	LaneIdleShare []float64 `json:"slot_idle_share_by_lane,omitempty"`

	Bundles
	Ends

	// Shards tells whether the clients of a run that several shared out ran
	// together; null for a run of one client.
	Shards *Together `json:"shards,omitempty"`
}

// Bundles are chunks that came in one read with the chunk before them, and so
// share its instant: their gaps count as zero. The client may have read late, or
// whatever is between here and the server, or the server itself, sent them so.
type Bundles struct {
	TokenEveryMs  float64 `json:"token_every_ms"` // E2EL a token, mean: what the client had to keep up with
	BundledChunks int64   `json:"bundled_chunks"`
	BundledShare  float64 `json:"bundled_share"` // of all chunks

	// FirstBundled are the answers whose first two chunks came together, so that
	// the first had been held back: TTFT is too long.
	FirstBundled      int     `json:"first_bundled_answers"`
	FirstBundledShare float64 `json:"first_bundled_share"` // of the answers of two chunks or more

	// HeldBack says that something between here and the server holds tokens back,
	// since the client was not late.
	HeldBack       bool   `json:"held_back"`
	HeldBackReason string `json:"held_back_reason,omitempty"`

	// BeyondServerMs is how much longer the mean TTFT is here than by the server's
	// own clock, from the request's arrival there; null where the server does not
	// tell of the same requests.
	BeyondServerMs *float64 `json:"ttft_beyond_server_ms"`
}

// Ends is how answers ended on the wire after their last token. No figure holds
// what the client waited for that.
type Ends struct {
	LateEnds     int     `json:"late_answer_ends"`      // answers that had not ended when the slot went on with another connection
	EndWaitShare float64 `json:"answer_end_wait_share"` // of the slots' time, 0 to 1, in which they waited for an answer's end
	EndWaitMaxMs float64 `json:"answer_end_wait_max_ms"`
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

	MaxFirstBundled = 0.50                 // of the answers; a busy machine alone makes some 20 %
	MinTokenEvery   = 2 * time.Millisecond // below it a client that is on time may still read two tokens together
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
	over(a.CPUShare > MaxCPUShare && !a.WithEngine, "the client used %.0f %% of its cores (limit %.0f %%)",
		a.CPUShare*100, MaxCPUShare*100)
	over(a.LatenessP99Ms > ms(MaxLateness), "its timers fired %.1f ms late at the 99th percentile (limit %v)",
		a.LatenessP99Ms, MaxLateness)
	over(a.SchedulingP99Ms > ms(MaxScheduling), "what was ready to run waited %.1f ms for a core at the 99th "+
		"percentile (limit %v)", a.SchedulingP99Ms, MaxScheduling)
	over(a.GCPauseShare > MaxGCPauses, "garbage collection had stopped it for %.1f %% of the time (limit %.0f %%)",
		a.GCPauseShare*100, MaxGCPauses*100)
	over(a.IdleShare > MaxIdleShare, "for %.1f %% of their time its slots had no request in flight (limit %.0f %%)",
		a.IdleShare*100, MaxIdleShare*100)
	a.judgeBundles(over)
	a.ClientLimited = len(a.Reasons) > 0
}

// judgeBundles tells what the client did of the chunks that came together from
// what was done to them. A client that is late now and then reads a few of them
// together; to read most so it must be late, or out of CPU, most of the time, or
// the tokens come faster than it is woken.
func (a *Audit) judgeBundles(over func(is bool, format string, args ...any)) {
	a.HeldBack, a.HeldBackReason = false, ""
	chunks := a.chunksTogether()
	first := a.FirstBundledShare > MaxFirstBundled && a.FirstBundledShare > 2*a.BundledShare
	late := a.TokenEveryMs < MinTokenEvery.Seconds()*1e3 || a.CPUShare > MaxCPUShare ||
		a.LatenessP50Ms > MaxLateness.Seconds()*1e3/5 || a.GCPauseShare > MaxGCPauses
	switch {
	case a.BundledShare > MaxBundled && late:
		over(true, "%s", chunks)
	case a.BundledShare > MaxBundled:
		a.HeldBack, a.HeldBackReason = true, chunks
	case first && !late:
		a.HeldBack = true
		a.HeldBackReason = fmt.Sprintf("in %.0f %% of the answers the first token came together with the second "+
			"(limit %.0f %%)", a.FirstBundledShare*100, MaxFirstBundled*100)
	}
}

func (a *Audit) chunksTogether() string {
	return fmt.Sprintf("%.0f %% of all chunks came in one read with the chunk before, so that the gaps between "+
		"them are not known (limit %.0f %%)", a.BundledShare*100, MaxBundled*100)
}

// minBeyond is by how much TTFT must be longer here than at the server, at least,
// to show that tokens were held back in between.
const minBeyond = 10 * time.Millisecond

// Beside lays the mean TTFT of the run beside the server's own of the same
// requests, in milliseconds. Where the chunks that came together were put down to
// a late client, and the first tokens took far longer on the way than it was ever
// late, something in between held them back.
func (a *Audit) Beside(oursMs, serversMs float64) {
	d := oursMs - serversMs
	a.BeyondServerMs = &d
	beside := fmt.Sprintf("; TTFT is %.4g ms here and %.4g ms by the server's own clock", oursMs, serversMs)
	far := d > max(minBeyond.Seconds()*1e3, 4*a.LatenessP99Ms)
	switch {
	case a.HeldBack:
		a.HeldBackReason += beside
	case a.BundledShare > MaxBundled && far && a.CPUShare <= MaxCPUShare && a.GCPauseShare <= MaxGCPauses &&
		a.TokenEveryMs >= MinTokenEvery.Seconds()*1e3:
		chunks := a.chunksTogether()
		a.HeldBack, a.HeldBackReason = true, chunks+beside
		a.Reasons = slices.DeleteFunc(a.Reasons, func(r string) bool { return strings.HasSuffix(r, chunks) })
		a.ClientLimited = len(a.Reasons) > 0
	}
}

package stats

// Audit is what the client says of itself: whether it kept up with the load,
// and what it cost.
type Audit struct {
	ClientLimited bool     `json:"client_limited"`                   // the client, not the server, may have set these figures
	Reasons       []string `json:"client_limited_reasons,omitempty"` // why, each against its limit

	CPUShare      float64 `json:"cpu_share"`               // of all cores, user and system, over the measured run
	CPUPerTokenUs float64 `json:"cpu_us_per_token"`        // µs of CPU a streamed token
	WithEngine    bool    `json:"cpu_includes_the_engine"` // the embedded engine ran in this process
	LatenessP99Ms float64 `json:"timer_lateness_p99_ms"`   // how late a timer of the client fired
	GCPauseP99Ms  float64 `json:"gc_pause_p99_ms"`
	GCPauseMaxMs  float64 `json:"gc_pause_max_ms"`
	Dials         int     `json:"connections_opened"`
	DialMaxMs     float64 `json:"dial_max_ms"`
	TLSMaxMs      float64 `json:"tls_handshake_max_ms"`
	Retries       int     `json:"retries"`        // sent again because a kept-alive connection had been closed
	BundledChunks int64   `json:"bundled_chunks"` // chunks that share the instant of the chunk before them
	BundledShare  float64 `json:"bundled_share"`  // of all chunks
}

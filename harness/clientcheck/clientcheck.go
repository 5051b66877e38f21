// Package clientcheck measures the suite's own client on the embedded engine,
// each part in a process of its own: [Cost], [Timing] and [Streams].
// docs/client.md holds what they printed.
package clientcheck

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"inferbench/harness/engine/process"
)

// Job is the load that a client puts on.
type Job struct {
	URL      string
	Conc, N  int  // requests in flight, and in all
	ISL, OSL int  // tokens
	IDs      bool // send an X-Request-Id with each request, and print each timing

	dir string // for what a client writes
}

// engineProcess is an engine in a process of its own, and a folder for files until it ends.
type engineProcess struct {
	*process.Engine
	self string // this program's own path
	dir  string
}

func (s *engineProcess) stop() {
	_ = s.Stop() // how it ends is not what is measured
	os.RemoveAll(s.dir)
}

// startEngine starts this program as an engine. Its
// decode step takes as long as step, whatever the batch; zero means as fast as
// it can.
func startEngine(ctx context.Context, step time.Duration) (*engineProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "clientcheck")
	if err != nil {
		return nil, err
	}
	profile := filepath.Join(dir, "steady.json")
	err = os.WriteFile(profile, steady(step), 0o600)
	var e *process.Engine
	if err == nil {
		e, err = process.Start(ctx, self, "-profile", profile)
	}
	if err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return &engineProcess{e, self, dir}, nil
}

func pace(step time.Duration) string {
	if step == 0 {
		return "as fast as the engine can"
	}
	return fmt.Sprintf("a token every %v", step)
}

// steady is an engine profile whose every decode step takes as long.
func steady(step time.Duration) []byte {
	if step == 0 {
		step = 10 * time.Microsecond
	}
	return fmt.Appendf(nil, `{"name":"steady","about":"A token of every stream a step.","source":"Chosen.",
"max_model_len":262144,"max_running_requests":16384,"max_tokens_per_step":4194304,"kv_cache_tokens":67108864,"kv_block_tokens":16,
"prefix_caching":false,"decode_step_ms_by_batch":[[1,%g]],"decode_us_per_1k_context_tokens":0,
"prefill_tokens_per_s":100000000,"prefill_overhead_ms":0}`, step.Seconds()*1e3)
}

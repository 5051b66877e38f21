package engine

import (
	"sync/atomic"

	"inferbench/harness/engine/schedule"
)

// counters is what the engine counts; each is its own atomic.
type counters struct {
	generated, prompts, steps atomic.Int64
	late                      atomic.Int64 // ns that the loop could not make up for
	running, waiting          atomic.Int64
}

func (c *counters) see(s *schedule.Scheduler) {
	c.running.Store(int64(s.Running()))
	c.waiting.Store(int64(s.Waiting()))
}

func (c *counters) ended(j *job) {}

package engine

import (
	"slices"
	"sync/atomic"
	"time"
)

// throttle is how far the engine's clocks have fallen, and until when. It is safe
// for concurrent use.
type throttle struct{ until, times atomic.Int64 }

// fall slows steps to so many times their length from now, for so long.
func (t *throttle) fall(now time.Duration, f *fault) {
	t.times.Store(int64(f.times))
	t.until.Store(int64(now + f.pause))
}

// stretch is how long a step that begins now takes.
func (t *throttle) stretch(now, step time.Duration) time.Duration {
	if int64(now) >= t.until.Load() {
		return step
	}
	return step * time.Duration(t.times.Load())
}

// transfers are the jobs of a rank whose KV cache is on its way from another
// worker, as where prefill and decode are apart. Only the loop touches them.
type transfers []*job

// add takes a job whose KV cache is to come; false where it need not.
func (t *transfers) add(j *job) bool {
	if !j.fault.is("kv-transfer") {
		return false
	}
	j.awaited = j.e.now() + j.fault.pause
	*t = append(*t, j)
	time.AfterFunc(j.fault.pause, j.loop.poke)
	return true
}

// arrived takes out the jobs whose KV cache is there, and those that have ended.
func (t *transfers) arrived(now time.Duration) (there []*job) {
	*t = slices.DeleteFunc(*t, func(j *job) bool {
		if j.ended == "" && j.awaited > now {
			return false
		}
		if j.ended == "" {
			there = append(there, j)
		}
		return true
	})
	return there
}

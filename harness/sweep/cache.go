package sweep

import (
	"context"
	"errors"
	"fmt"

	"inferbench/harness/batch"
	"inferbench/harness/server"
	"inferbench/harness/settings"
)

// What was done about the server's prefix cache before a pass, as results say it.
const (
	resetDone        = "done"
	resetUnsupported = "not supported"
	resetOff         = "off"
)

// resetCache resets the server's prefix cache where the settings ask for it. The
// note is for a reader who asked for it and did not get it.
func (sw *Sweep) resetCache(ctx context.Context) (did, note string) {
	asked := sw.Mode == settings.ModeSubmit
	if on := sw.Settings.Server.CacheReset; on != nil {
		asked = *on
	}
	if !asked {
		return resetOff, ""
	}
	err := sw.Target.ResetCache(ctx)
	switch {
	case err == nil:
		return resetDone, ""
	case errors.Is(err, server.ErrNoReset):
		return resetUnsupported, "the server's prefix cache was not reset: it offers no way (vLLM: VLLM_SERVER_DEV_MODE=1)"
	}
	return resetUnsupported, "the server's prefix cache was not reset: " + err.Error()
}

// warmShare is the share of prompt tokens from the prefix cache from which on
// prefill was not measured whole.
const warmShare = 0.01

// cacheOf completes what a result says of the prefix cache: by the counters of
// /metrics where the answers do not tell. Prompts that share nothing, and are
// found there all the same, are marked.
func (sw *Sweep) cacheOf(r *batch.Result, m *measured) {
	c := &r.Performance.Cache
	c.Reset = m.reset
	if seen := m.seen; seen != nil {
		if c.BySource == nil {
			c.BySource = seen.HitsBySource
		}
		if c.CachedTokens == nil && seen.CachedTokens != nil {
			n := int64(*seen.CachedTokens)
			c.CachedTokens, c.HitRate, c.CachedFrom = &n, seen.PrefixHits, "metrics"
		}
	}
	if c.HitRate == nil || sw.Settings.Replay.Kind != nil { // of sessions, hits are the point
		return
	}
	shared := sw.Settings.Workload.SharedPrefix
	known := float64(apart(m.rec)) / float64(max(len(m.rec.Timings), 1)) // canaries that may be found there
	if *c.HitRate >= warmShare+known && shared == 0 && !sw.kind().File {
		r.Mark(batch.WarmCache)
	}
	if *c.HitRate >= shared+known+0.05 || r.Marked(batch.WarmCache) {
		r.Notes = append(r.Notes, fmt.Sprintf("%.3g %% of the prompt tokens came from the server's prefix cache, "+
			"so prefill was not measured whole: "+
			"had the server seen these prompts before? Start it anew, set CACHE_RESET=on, or give another SEED", 100**c.HitRate))
	}
}

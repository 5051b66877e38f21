package sweep

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/batch"
	"inferbench/harness/load"
	"inferbench/harness/scrape"
	"inferbench/harness/server"
	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// Random prompts share nothing: what a cache has of them was there before.
func TestAWarmCacheIsMarked(t *testing.T) {
	told := func(rate float64) stats.Cache {
		n := int64(1000 * rate)
		return stats.Cache{CachedTokens: &n, CachedFrom: "usage", HitRate: &rate}
	}
	counted := func(rate float64) *scrape.Report {
		n := 1000 * rate
		return &scrape.Report{PrefixHits: &rate, CachedTokens: &n, HitsBySource: map[string]float64{"host": rate}}
	}
	for name, c := range map[string]struct {
		answers stats.Cache
		seen    *scrape.Report
		kind    *workload.Kind
		shared  float64
		marked  bool
		noted   bool
		apart   int // canaries, of a hundred requests
		from    string
	}{
		"cold":                            {answers: told(0.009), from: "usage"},
		"warm":                            {answers: told(0.01), marked: true, noted: true, from: "usage"},
		"by the counters alone":           {seen: counted(0.3), marked: true, noted: true, from: "metrics"},
		"answers before counters":         {answers: told(0), seen: counted(0.3), from: "usage"},
		"nobody tells":                    {},
		"a prefix that is shared":         {answers: told(0.5), shared: 0.5, from: "usage"},
		"more than is shared":             {answers: told(0.6), shared: 0.5, noted: true, from: "usage"},
		"canaries that nothing keeps out": {answers: told(0.04), apart: 4, from: "usage"},
		"more than those":                 {answers: told(0.06), apart: 4, marked: true, noted: true, from: "usage"},
		"a file, whose prompts may share": {answers: told(0.04), kind: workload.JSONL, from: "usage"},
	} {
		t.Run(name, func(t *testing.T) {
			sw := &Sweep{}
			sw.Target = server.New("http://h", "", "", nil)
			if c.kind == nil {
				c.kind = workload.RandomIDs
			}
			sw.Settings.Workload.SharedPrefix, sw.Settings.Workload.Dataset = c.shared, c.kind
			r := &batch.Result{Performance: &stats.Summary{Cache: c.answers}}
			rec := &load.Recording{Timings: make([]stats.Timing, 100)}
			for i := range c.apart {
				rec.Timings[i].Apart = true
			}
			sw.cacheOf(r, &measured{reset: resetOff, seen: c.seen, rec: rec})
			assert.Equal(t, c.marked, r.Marked(batch.WarmCache))
			assert.Equal(t, c.noted, len(r.Notes) > 0, r.Notes)
			assert.Equal(t, c.from, r.Performance.CachedFrom)
			assert.Equal(t, resetOff, r.Performance.Reset)
		})
	}
}

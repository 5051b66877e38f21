package stats_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/stats"
)

func TestAuditJudge(t *testing.T) {
	calm := stats.Audit{CPUShare: 0.8, LatenessP99Ms: 5, SchedulingP99Ms: 5, GCPauseShare: 0.01, IdleShare: 0.02, BundledShare: 0.5,
		GCPauseP99Ms: 1000, GCPauseMaxMs: 1000, LatenessMaxMs: 1000, DialMaxMs: 1000, Retries: 9}
	for name, c := range map[string]struct {
		change func(*stats.Audit)
		want   string // the one reason; empty for none
	}{
		"at every limit": {func(a *stats.Audit) {}, ""},
		"cpu":            {func(a *stats.Audit) { a.CPUShare = 0.91 }, "the client used 91 % of its cores (limit 80 %)"},
		"cpu of engine":  {func(a *stats.Audit) { a.CPUShare, a.WithEngine = 0.91, true }, ""},
		"timers":         {func(a *stats.Audit) { a.LatenessP99Ms = 5.1 }, "its timers fired 5.1 ms late at the 99th percentile (limit 5ms)"},
		"scheduler":      {func(a *stats.Audit) { a.SchedulingP99Ms = 12 }, "what was ready to run waited 12.0 ms for a core at the 99th percentile (limit 5ms)"},
		"gc":             {func(a *stats.Audit) { a.GCPauseShare = 0.03 }, "garbage collection had stopped it for 3.0 % of the time (limit 1 %)"},
		"idle slots":     {func(a *stats.Audit) { a.IdleShare = 0.034 }, "for 3.4 % of their time its slots had no request in flight (limit 2 %)"},
		"bundled":        {func(a *stats.Audit) { a.BundledShare = 0.75 }, "75 % of all chunks came in one read with the chunk before, so that the gaps between them are not known (limit 50 %)"},
	} {
		t.Run(name, func(t *testing.T) {
			a := calm
			a.Reasons = []string{"of an earlier judgement"}
			c.change(&a)
			a.Judge()
			assert.Equal(t, c.want != "", a.ClientLimited)
			if c.want == "" {
				assert.Empty(t, a.Reasons)
			} else {
				assert.Equal(t, []string{c.want}, a.Reasons)
			}
		})
	}
}

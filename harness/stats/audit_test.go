package stats_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/stats"
)

func TestAuditJudge(t *testing.T) {
	calm := stats.Audit{CPUShare: 0.8, LatenessP99Ms: 5, SchedulingP99Ms: 5, GCPauseShare: 0.01, IdleShare: 0.02, Bundles: stats.Bundles{TokenEveryMs: 10, BundledShare: 0.5, FirstBundledShare: 0.1},
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
		"bundled":        {func(a *stats.Audit) { a.BundledShare, a.LatenessP50Ms = 0.75, 1.1 }, "75 % of all chunks came in one read with the chunk before, so that the gaps between them are not known (limit 50 %)"},
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

// What the client did of the chunks that came together is told from what was done
// to them: whatever was in between.
func TestAuditTellsWhoHeldTokensBack(t *testing.T) {
	const first = "in 90 % of the answers the first token came together with the second (limit 50 %)"
	for name, c := range map[string]struct {
		audit stats.Audit
		held  string
	}{
		"all chunks":              {stats.Audit{Bundles: stats.Bundles{TokenEveryMs: 10, BundledShare: 0.9, FirstBundledShare: 0.9}}, "90 % of all chunks came in one read with the chunk before, so that the gaps between them are not known (limit 50 %)"},
		"the first token":         {stats.Audit{Bundles: stats.Bundles{TokenEveryMs: 10, BundledShare: 0.01, FirstBundledShare: 0.9}}, first},
		"a late machine's few":    {stats.Audit{LatenessP99Ms: 30, Bundles: stats.Bundles{TokenEveryMs: 10, BundledShare: 0.01, FirstBundledShare: 0.9}}, first},
		"as many as later ones":   {stats.Audit{Bundles: stats.Bundles{TokenEveryMs: 10, BundledShare: 0.2, FirstBundledShare: 0.2}}, ""},
		"a client that is late":   {stats.Audit{LatenessP50Ms: 4, Bundles: stats.Bundles{TokenEveryMs: 10, BundledShare: 0.9, FirstBundledShare: 0.9}}, ""},
		"a client without cores":  {stats.Audit{CPUShare: 0.95, WithEngine: true, Bundles: stats.Bundles{TokenEveryMs: 10, BundledShare: 0.9, FirstBundledShare: 0.9}}, ""},
		"as fast as it can":       {stats.Audit{Bundles: stats.Bundles{TokenEveryMs: 0.2, BundledShare: 0.9, FirstBundledShare: 0.9}}, ""},
		"a client that collected": {stats.Audit{GCPauseShare: 0.2, Bundles: stats.Bundles{TokenEveryMs: 10, FirstBundledShare: 0.9}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c.audit.Judge()
			assert.Equal(t, c.held != "", c.audit.HeldBack)
			assert.Equal(t, c.held, c.audit.HeldBackReason)
			if c.held != "" && c.audit.LatenessP99Ms == 0 {
				assert.False(t, c.audit.ClientLimited, "it is not the client's doing")
			}
		})
	}
}

// The server's own TTFT tells a gateway that holds tokens back from a client that
// was late.
func TestAuditBesideTheServer(t *testing.T) {
	bundled := stats.Bundles{TokenEveryMs: 10, BundledShare: 0.9, FirstBundledShare: 0.9}
	fast := bundled
	fast.TokenEveryMs = 0.5
	for name, c := range map[string]struct {
		audit         stats.Audit
		ours, servers float64
		held, limited bool
	}{
		"held, and the client a little late": {stats.Audit{LatenessP50Ms: 1.5, LatenessP99Ms: 4, Bundles: bundled}, 197, 38, true, false},
		"held, and the client late besides":  {stats.Audit{LatenessP50Ms: 1.5, LatenessP99Ms: 9, Bundles: bundled}, 197, 38, true, true},
		"held, whatever the client":          {stats.Audit{Bundles: bundled}, 197, 38, true, false},
		"a client that is late":              {stats.Audit{LatenessP50Ms: 1.5, LatenessP99Ms: 4, Bundles: bundled}, 45, 38, false, true},
		"a client that is very late":         {stats.Audit{LatenessP50Ms: 30, LatenessP99Ms: 60, Bundles: bundled}, 197, 38, false, true},
		"a client without cores":             {stats.Audit{CPUShare: 0.95, Bundles: bundled}, 197, 38, false, true},
		"as fast as it can":                  {stats.Audit{Bundles: fast}, 197, 38, false, true},
		"nothing came together":              {stats.Audit{}, 197, 38, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			a := c.audit
			a.Judge()
			a.Beside(c.ours, c.servers)
			assert.Equal(t, c.held, a.HeldBack)
			assert.Equal(t, c.limited, a.ClientLimited, "%v", a.Reasons)
			assert.InDelta(t, c.ours-c.servers, *a.BeyondServerMs, 1e-9)
			if c.held {
				assert.Contains(t, a.HeldBackReason, "TTFT is 197 ms here and 38 ms by the server's own clock")
			}
		})
	}
}

package sweep

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/scrape"
	"inferbench/harness/stats"
)

func TestItIsToldWhoseTTFTTheServerHas(t *testing.T) {
	of := func(n float64) *scrape.Report { return &scrape.Report{TTFTOf: &n} }
	for name, c := range map[string]struct {
		seen               *scrape.Report
		successful, failed int
		want               string
	}{
		"the same":            {of(100), 100, 0, ""},
		"nothing seen":        {nil, 100, 0, ""},
		"nothing told":        {&scrape.Report{}, 100, 0, ""},
		"failures with one":   {of(99), 98, 2, ""},
		"another client's":    {of(130), 98, 2, "of 130 requests, 30 more than this pass sent"},
		"one of two replicas": {of(50), 100, 0, "of 50 requests, of 100 that this pass sent"},
	} {
		t.Run(name, func(t *testing.T) {
			got := otherRequests(c.seen, &stats.Summary{Successful: c.successful, Failed: c.failed})
			if c.want == "" {
				assert.Empty(t, got)
			} else {
				assert.Contains(t, got, c.want)
			}
		})
	}
}

// What stands between is told by what the server says of itself beside what the
// client saw.
func TestTheClientBesideTheServer(t *testing.T) {
	for name, c := range map[string]struct {
		seen  *scrape.Report
		audit stats.Audit
		want  []string
	}{
		"nothing seen":    {nil, stats.Audit{}, nil},
		"near":            {told(40, 100), stats.Audit{}, nil},
		"far":             {told(5, 100), stats.Audit{}, []string{"TTFT is 60 ms on average here, and 5 ms by the server's own clock"}},
		"client-limited":  {told(5, 100), stats.Audit{ClientLimited: true}, nil},
		"of others":       {told(5, 130), stats.Audit{}, nil},
		"cannot be":       {told(90, 100), stats.Audit{}, []string{"above the longest that the client saw (80 ms)"}},
		"no figure there": {&scrape.Report{Dropped: "a router"}, stats.Audit{}, []string{"a router"}},
		"held back, as told by the server": {told(5, 100), stats.Audit{LatenessP50Ms: 2, Bundles: stats.Bundles{TokenEveryMs: 10, BundledShare: 0.9}},
			[]string{"something between here and the server holds tokens back (90 % of all chunks came in one read with the chunk before, so that the gaps " +
				"between them are not known (limit 50 %); TTFT is 60 ms here and 5 ms by the server's own clock): turn that off, as proxy_buffering off in nginx " +
				"and option http-no-delay in HAProxy"}},
	} {
		t.Run(name, func(t *testing.T) {
			mean, longest := 60.0, 80.0
			sum := stats.Summary{Successful: 100, TTFT: stats.Dist{Mean: &mean, Max: &longest}}
			notes := besideServer(c.seen, &sum, &c.audit)
			require.Len(t, notes, len(c.want))
			for i, w := range c.want {
				assert.Contains(t, notes[i], w)
			}
		})
	}
}

// told is what a server says whose n requests took this long to their first token.
func told(meanMs, n float64) *scrape.Report {
	return &scrape.Report{TTFTOf: &n, MeanTTFT: &meanMs}
}

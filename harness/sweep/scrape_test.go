package sweep

import (
	"testing"

	"github.com/stretchr/testify/assert"

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

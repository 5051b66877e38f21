package report

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/scrape"
)

// What prefill and decode on different GPUs cost is told in words, as far as it is
// known.
func TestDisaggregatedServingIsTold(t *testing.T) {
	at := func(v float64) *float64 { return &v }
	for name, c := range map[string]struct {
		says scrape.Report
		want string
	}{
		"not so": {scrape.Report{}, ""},
		"all": {scrape.Report{Transfer: &scrape.Transfer{MeanMs: at(12.5), P99Ms: at(40), GB: at(3.2), Failed: at(2)}},
			"CONC 8: KV cache went from prefill to decode in 12.50 ms on average (99th percentile 40 ms), 3.200 GB in all; 2 " +
				"transfers failed."},
		"how much alone": {scrape.Report{Transfer: &scrape.Transfer{GB: at(3.2), Failed: at(0)}},
			"CONC 8: KV cache went from prefill to decode, 3.200 GB in all."},
		"queues": {scrape.Report{Queues: map[string]scrape.Queue{"b": {Mean: 2, Max: 5}, "a": {Mean: 0.5, Max: 1}}},
			"CONC 8: requests in queues on average: a 0.5 (most 1), b 2 (most 5)."},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, strings.Join(disaggregated("8", c.says), " "))
		})
	}
}

func TestBalanceOfRanks(t *testing.T) {
	uneven := 1.5
	assert.Equal(t, "2, 1.500", balance(scrape.Report{Ranks: make([]scrape.Rank, 2), Balance: &uneven}))
	assert.Equal(t, "–", balance(scrape.Report{}))
}

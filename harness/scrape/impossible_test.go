package scrape

import (
	"context"
	"encoding/json"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// looked is the report on looks at these pages, the first before the run.
func looked(t *testing.T, pages ...string) *Report {
	t.Helper()
	var n atomic.Int64
	s := Start(t.Context(), func(context.Context) ([]Page, error) {
		return one(pages[min(int(n.Load()), len(pages)-1)]), nil
	}, names, time.Hour)
	s.Begin(t.Context())
	s.Measuring(time.Now().Add(-time.Second))
	for range pages[1:] {
		n.Add(1)
		s.look(t.Context(), between)
	}
	r := s.Stop(t.Context())
	require.NotNil(t, r)
	return r
}

// A router answers for one engine after another: what is on its page is no
// engine's, and no figure is taken of it.
func TestPagesOfSeveralEnginesInTurn(t *testing.T) {
	a, b := page(2, 0, 0.1, []int{10, 11, 12}), page(3, 1, 0.5, []int{90, 95, 99})
	r := looked(t, a, b, a)
	assert.Contains(t, r.Dropped, "vllm:num_preemptions_total went from 99 to 12")
	assert.Contains(t, r.Dropped, "METRICS_URLS")
	assert.Equal(t, &Report{Every: r.Every, Dropped: r.Dropped, Samples: r.Samples}, r, "no figure is left")
	assert.NotEmpty(t, r.Samples)

	r = looked(t, a+"process_start_time_seconds 17\n", b+"process_start_time_seconds 18\n")
	assert.Contains(t, r.Dropped, "process_start_time_seconds went from 17 to 18", "though no counter went back")

	r = looked(t, a, page(2, 0, 0.1, []int{11, 12, 13}))
	assert.Empty(t, r.Dropped)
	assert.NotNil(t, r.MaxRunning)
}

// A histogram whose sum is no time says nothing of TTFT, and spoils nothing else.
func TestSumsThatAreNoTimes(t *testing.T) {
	before, after := page(1, 0, 0, []int{0, 0, 0}), page(1, 0, 0, []int{50, 100, 100})
	sum := regexp.MustCompile(`(?m)(_sum\S*) \S+$`)
	require.Regexp(t, sum, after)
	for _, odd := range []string{"NaN", "+Inf", "-3"} {
		r := looked(t, before, sum.ReplaceAllString(after, "$1 "+odd))
		assert.Nil(t, r.MeanTTFT, odd)
		assert.NotNil(t, r.MaxRunning, odd)
		_, err := json.Marshal(r)
		assert.NoError(t, err, odd)
	}
	assert.NotNil(t, looked(t, before, after).MeanTTFT)
}

// A page is read as its writer's system ends lines, or does not end the last.
func TestPagesAsTheyAreWritten(t *testing.T) {
	before, after := page(1, 0, 0, []int{0, 0, 0}), page(1, 0, 0, []int{50, 100, 100})
	for name, write := range map[string]func(string) string{
		"\\r\\n":            func(s string) string { return strings.ReplaceAll(s, "\n", "\r\n") },
		"no last line end":  func(s string) string { return strings.TrimRight(s, "\n") },
		"a byte order mark": func(s string) string { return "\ufeff" + s },
	} {
		want, got := looked(t, before, after), looked(t, write(before), write(after))
		assert.Equal(t, want.MeanTTFT, got.MeanTTFT, name)
		assert.Equal(t, want.MaxRunning, got.MaxRunning, name)
	}
}

// The server's own TTFT is never above what the client saw: where it cannot be of
// the same requests it is left out, and within a bucket the client knows better.
func TestServersTTFTBesideTheClients(t *testing.T) {
	before, after := page(1, 0, 0, []int{0, 0, 0}), page(1, 0, 0, []int{50, 100, 100}) // half to 100 ms, half to 500; mean 200
	for name, c := range map[string]struct {
		longest  float64
		requests int
		p99      *float64
		dropped  string
	}{
		"as it may be":               {600, 100, at(492), ""},
		"within a bucket":            {300, 100, at(296), ""},
		"others' requests among its": {300, 90, at(492), ""},
		"above all": {90, 100, nil, "is above the longest that the client saw (90 ms): it is of other requests, as where a " +
			"router answers for one engine after another"},
		"above all, and others'": {90, 40, nil, "is above the longest that the client saw (90 ms): it is of 100 requests, 60 more " +
			"than this pass sent: others use the server too, and theirs waited longer"},
		"of fewer":   {90, 140, nil, "as where a router answers"},
		"on average": {150, 100, nil, "mean 200 ms"},
	} {
		t.Run(name, func(t *testing.T) {
			r := looked(t, before, after)
			r.Beside(c.longest, c.requests)
			if c.dropped == "" {
				assert.Empty(t, r.Dropped)
				assert.InDelta(t, *c.p99, *r.P99TTFT, 1e-6)
				return
			}
			assert.Contains(t, r.Dropped, c.dropped)
			for _, v := range []*float64{r.MeanTTFT, r.MedianTTFT, r.P99TTFT, r.TTFTOf} {
				assert.Nil(t, v)
			}
		})
	}
	r := looked(t, before, after)
	require.NotNil(t, r.CachedTokens)
	r.Beside(600, 200)
	assert.Contains(t, r.Dropped, "of 100 requests, of 200 that this pass sent")
	assert.Equal(t, []any{(*float64)(nil), (*float64)(nil), (*float64)(nil)}, []any{r.CachedTokens, r.PrefixHits, r.Preemptions}, "counts of a part")
	assert.NotNil(t, r.MeanTTFT)
	var none *Report
	none.Beside(1, 1) // a server without metrics
}

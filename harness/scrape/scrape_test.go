package scrape

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
)

// names are those that the pages of these tests use.
var names = []Names{
	{Running: []string{"vllm:num_requests_running"}, Waiting: []string{"vllm:num_requests_waiting"},
		KVCache:     []string{"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"},
		TTFT:        []string{"vllm:time_to_first_token_seconds"},
		Preemptions: []string{"vllm:num_preemptions_total"},
		Cache:       CacheNames{Looked: []string{"vllm:prefix_cache_queries_total"}, Hits: []string{"vllm:prefix_cache_hits_total"}}},
	{Running: []string{"sglang:num_running_reqs"}, Waiting: []string{"sglang:num_queue_reqs"}, KVCache: []string{"sglang:token_usage"}},
}

// one is a server's one page.
func one(text string) []Page { return []Page{{Endpoint: "http://one", Text: []byte(text)}} }

func page(running, waiting int, kv float64, ttfts []int) string {
	return fmt.Sprintf(`# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} %d
vllm:num_requests_running{engine="1",model_name="m"} 1
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} %d
# TYPE vllm:kv_cache_usage_perc gauge
vllm:kv_cache_usage_perc{engine="0",model_name="m"} %g
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.01
# TYPE vllm:num_preemptions_total counter
vllm:num_preemptions_total{engine="0",model_name="m"} %d
# TYPE vllm:prefix_cache_queries_total counter
vllm:prefix_cache_queries_total{engine="0"} %d
# TYPE vllm:prefix_cache_hits_total counter
vllm:prefix_cache_hits_total{engine="0"} %d
# TYPE vllm:time_to_first_token_seconds histogram
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.1"} %d
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.5"} %d
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf"} %d
vllm:time_to_first_token_seconds_sum{engine="0"} %g
vllm:time_to_first_token_seconds_count{engine="0"} %d
`, running, waiting, kv, ttfts[2], 100*ttfts[2], 25*ttfts[2], ttfts[0], ttfts[1], ttfts[2], 0.2*float64(ttfts[2]), ttfts[2])
}

func TestParse(t *testing.T) {
	s, err := parse(one(page(5, 2, 0.42, []int{1, 2, 3})), join(names), time.Now())
	require.NoError(t, err)
	assert.Equal(t, 6.0, *s.Running, "ranks are added up")
	assert.Equal(t, 2.0, *s.Waiting)
	assert.Equal(t, 0.42, *s.KVCache, "of the KV cache the fullest counts")
	assert.Equal(t, 3.0, s.ttft.n)

	for name, text := range map[string]string{
		"sglang":       "# TYPE sglang:num_running_reqs gauge\nsglang:num_running_reqs{model_name=\"l\"} 2.0\n# TYPE sglang:num_queue_reqs gauge\nsglang:num_queue_reqs{model_name=\"l\"} 3.0\n# TYPE sglang:token_usage gauge\nsglang:token_usage{model_name=\"l\"} 0.55\n",
		"vllm of 2024": "vllm:num_requests_running 2\nvllm:num_requests_waiting 3\nvllm:gpu_cache_usage_perc 0.55\n",
	} {
		s, err := parse(one(text), join(names), time.Now())
		require.NoError(t, err, name)
		assert.Equal(t, []float64{2, 3, 0.55}, []float64{*s.Running, *s.Waiting, *s.KVCache}, name)
	}
	s, err = parse(one("vllm:num_requests_running NaN\n"), join(names), time.Now())
	require.NoError(t, err)
	assert.True(t, s.empty(), "NaN is no figure")
	_, err = parse(one("<html>not found</html>"), join(names), time.Now())
	assert.Error(t, err)
}

func TestQuantiles(t *testing.T) {
	c := cumulative{bounds: []float64{0.1, 0.5, 1}, counts: []float64{10, 90, 100}, n: 100}
	for _, q := range []struct{ q, most, want, least float64 }{
		{0.5, math.Inf(1), 0.3, 0.1}, {0.99, math.Inf(1), 0.95, 0.5},
		{0.99, 0.7, 0.68, 0.5}, {0.99, 0.4, 0.95, 0.5}, // the last is of others
	} {
		v, least := c.quantile(q.q, q.most)
		assert.InDelta(t, q.want, *v, 1e-9)
		assert.Equal(t, q.least, least)
	}
	_, ok := c.since(c)
	assert.False(t, ok)
	_, ok = cumulative{n: 5}.since(c)
	assert.False(t, ok, "a server that began again")
}

func TestSampler(t *testing.T) {
	var looks atomic.Int64
	s := Start(context.Background(), func(context.Context) ([]Page, error) {
		n := int(looks.Add(1))
		// The first look is before the run; TTFTs come in as the run goes on.
		return one(page(n, 2*n, 0.1*float64(n), []int{10 + n, 10 + 3*n, 10 + 4*n})), nil
	}, names, 5*time.Millisecond)
	require.Eventually(t, func() bool { return looks.Load() >= 1 }, 10*time.Second, time.Millisecond)
	s.Begin(t.Context())
	s.Measuring(time.Now())
	s.Measuring(time.Now().Add(time.Hour))
	from := looks.Load()
	require.Eventually(t, func() bool { return looks.Load() >= from+3 }, 10*time.Second, time.Millisecond)
	r := s.Stop(context.Background())
	require.NotNil(t, r)
	last := float64(looks.Load())
	assert.Equal(t, last, *r.MaxRunning, "one more by the other rank, and the look after the run does not count")
	assert.Equal(t, 2*(last-1), *r.MaxWaiting)
	assert.InDelta(t, 0.1*(last-1), *r.MaxKVCache, 1e-9)
	assert.InDelta(t, 0.25, *r.PrefixHits, 1e-9)
	assert.Greater(t, *r.Preemptions, 0.0)
	assert.InDelta(t, 200, *r.MeanTTFT, 1e-6)
	assert.InDelta(t, 300, *r.MedianTTFT, 1e-6, "half of the new ones: 1 of 4 is below 100 ms, 3 of 4 below 500")
	assert.LessOrEqual(t, r.Samples[0].AtS, 0.0)
}

// A run between two looks was not seen: what was running is not told, and is
// not the 0 of the look that came after it.
func TestARunBetweenTwoLooks(t *testing.T) {
	looked := make(chan struct{}, 10)
	s := Start(context.Background(), func(context.Context) ([]Page, error) {
		looked <- struct{}{}
		return one(page(0, 0, 0, []int{1, 2, 3})), nil
	}, names, time.Hour)
	<-looked
	require.Eventually(t, func() bool { s.mu.Lock(); defer s.mu.Unlock(); return len(s.samples) == 1 }, 10*time.Second, time.Millisecond)
	s.mu.Lock()
	s.start = time.Now() // as Measuring, but for the look that it asks for
	s.mu.Unlock()
	r := s.Stop(context.Background())
	require.NotNil(t, r)
	assert.Len(t, r.Samples, 2)
	assert.Nil(t, r.MaxRunning)
	assert.Nil(t, r.MeanKVCache)
}

// A page that had no time to answer is not complained of.
func TestALookThatTheEndOfTheRunCutsOff(t *testing.T) {
	looked := make(chan struct{}, 1)
	s := Start(context.Background(), func(ctx context.Context) ([]Page, error) {
		looked <- struct{}{}
		<-ctx.Done()
		return []Page{{Endpoint: "http://h/metrics", Err: ctx.Err()}}, nil
	}, names, time.Hour)
	<-looked
	assert.Nil(t, s.Stop(context.Background()))
	assert.NoError(t, s.Why())
}

// A server that was too busy for the first look is looked at again; one that
// never tells is not asked for ever.
func TestTheFirstLooksMayFail(t *testing.T) {
	var looks atomic.Int64
	s := Start(context.Background(), func(context.Context) ([]Page, error) {
		if looks.Add(1) < tries {
			return nil, context.DeadlineExceeded
		}
		return one(page(5, 2, 0.4, []int{1, 2, 3})), nil
	}, names, time.Millisecond)
	require.Eventually(t, func() bool { return looks.Load() > tries }, 10*time.Second, time.Millisecond)
	s.Measuring(time.Now())
	assert.NotNil(t, s.Stop(context.Background()))

	looks.Store(0)
	s = Start(context.Background(), func(context.Context) ([]Page, error) { looks.Add(1); return nil, errors.New("HTTP 404") }, names, time.Millisecond)
	<-s.done
	assert.EqualValues(t, tries, looks.Load())
}

func TestAServerWithoutMetrics(t *testing.T) {
	for name, source := range map[string]Source{
		"error":      func(context.Context) ([]Page, error) { return nil, errors.New("HTTP 404") },
		"other page": func(context.Context) ([]Page, error) { return one("process_cpu_seconds_total 3\n"), nil },
	} {
		s := Start(context.Background(), source, names, time.Millisecond)
		s.Measuring(time.Now())
		assert.Nil(t, s.Stop(context.Background()), name)
	}
}

// Hits are told by source where the server does, and a counter appears with its
// first hit.
func TestHitsOfThePrefixCache(t *testing.T) {
	sglang := []Names{{Running: []string{"sglang:num_running_reqs"}, Cache: CacheNames{Looked: []string{"sglang:prompt_tokens_total"},
		Hits: []string{"sglang:cached_tokens_total"}, Source: "cache_source"}}}
	vllm := []Names{{Running: []string{"vllm:num_requests_running"}, Cache: CacheNames{Looked: []string{"vllm:prefix_cache_queries_total"},
		Hits: []string{"vllm:prefix_cache_hits_total"}, Elsewhere: []string{"vllm:external_prefix_cache_hits_total"}}}}
	page := func(prompt, device, host int) string {
		return fmt.Sprintf("sglang:num_running_reqs 1\nsglang:prompt_tokens_total %d\nsglang:cached_tokens_total{cache_source=\"device\"} %d\nsglang:cached_tokens_total{cache_source=\"host\"} %d\n", prompt, device, host)
	}
	const none = "sglang:num_running_reqs 1\nsglang:prompt_tokens_total 100\n"
	for name, c := range map[string]struct {
		names        []Names
		before, then string
		share        *float64
		by           map[string]float64
	}{
		"SGLang, by source":      {sglang, page(100, 10, 0), page(200, 30, 5), at(0.25), map[string]float64{"device": 0.2, "host": 0.05}},
		"SGLang, the first hits": {sglang, none, page(200, 50, 0), at(0.5), map[string]float64{"device": 0.5}},
		"SGLang, none":           {sglang, none, "sglang:num_running_reqs 1\nsglang:prompt_tokens_total 300\n", at(0), nil},
		"SGLang began again":     {sglang, page(100, 90, 0), page(300, 10, 0), nil, nil},
		"other tokens":           {sglang, page(100, 0, 0), page(110, 50, 0), nil, nil},
		"vLLM, also elsewhere": {vllm, "vllm:num_requests_running 1\nvllm:prefix_cache_queries_total 0\nvllm:prefix_cache_hits_total 0\n",
			"vllm:num_requests_running 1\nvllm:prefix_cache_queries_total 100\nvllm:prefix_cache_hits_total 10\nvllm:external_prefix_cache_hits_total 20\n",
			at(0.3), map[string]float64{"device": 0.1, "external": 0.2}},
	} {
		t.Run(name, func(t *testing.T) {
			var began atomic.Bool
			s := Start(t.Context(), func(context.Context) ([]Page, error) {
				if began.Load() {
					return one(c.then), nil
				}
				return one(c.before), nil
			}, c.names, time.Hour)
			s.Begin(t.Context())
			began.Store(true)
			s.Measuring(time.Now())
			r := s.Stop(t.Context())
			require.NotNil(t, r)
			assert.Equal(t, c.share, r.PrefixHits)
			assert.Equal(t, c.by, r.HitsBySource)
		})
	}
}

func at(v float64) *float64 { return &v }

// The figures of speculation are of the pass, by either server's counters.
func TestSpeculation(t *testing.T) {
	names := []Names{{Running: []string{"vllm:num_requests_running"}, Guesses: GuessNames{Drafts: []string{"vllm:drafts_total"}, DraftTokens: []string{"vllm:draft_tokens_total"},
		Accepted: []string{"vllm:accepted_total"}, AcceptedAt: []string{"vllm:accepted_per_pos_total"}}},
		{Running: []string{"sglang:num_running_reqs"}, Guesses: GuessNames{Verified: []string{"sglang:verify_total"}, Generated: []string{"sglang:generated_total"}, VerifiedAtOnce: []string{"sglang:at_once"}}}}
	vllm := func(drafts, tokens, accepted, first, second int) string {
		return fmt.Sprintf("vllm:num_requests_running 1\nvllm:drafts_total{engine=\"0\"} %d\nvllm:draft_tokens_total %d\nvllm:accepted_total %d\nvllm:accepted_per_pos_total{position=\"0\"} %d\nvllm:accepted_per_pos_total{position=\"1\"} %d\n", drafts, tokens, accepted, first, second)
	}
	sglang := func(verified, generated int, atOnce string) string {
		return fmt.Sprintf("sglang:num_running_reqs 1\nsglang:verify_total %d\nsglang:generated_total %d\n%s", verified, generated, atOnce)
	}
	for name, c := range map[string]struct {
		before, then string
		want         *stats.Speculation
	}{
		"vLLM": {vllm(100, 200, 150, 90, 60), vllm(200, 400, 200, 130, 70),
			&stats.Speculation{Drafts: at(100), DraftTokens: at(200), AcceptedTokens: 50, AcceptanceRate: at(0.25), AcceptanceLength: at(1.5), PerPosition: []float64{0.4, 0.1}}},
		"SGLang": {sglang(100, 150, "sglang:at_once 4\n"), sglang(200, 400, "sglang:at_once 4\n"),
			&stats.Speculation{Drafts: at(100), DraftTokens: at(300), AcceptedTokens: 150, AcceptanceRate: at(0.5), AcceptanceLength: at(2.5)}},
		"SGLang, draft length not told": {sglang(0, 0, ""), sglang(100, 200, ""),
			&stats.Speculation{Drafts: at(100), AcceptedTokens: 100, AcceptanceLength: at(2)}},
		"none in the pass":                {vllm(100, 200, 150, 90, 60), vllm(100, 200, 150, 90, 60), nil},
		"no speculation":                  {"vllm:num_requests_running 1\n", "vllm:num_requests_running 2\n", nil},
		"the server began again":          {vllm(100, 200, 150, 90, 60), vllm(50, 100, 60, 40, 20), nil},
		"more accepted than were guessed": {vllm(0, 0, 0, 0, 0), vllm(10, 20, 30, 10, 20), nil},
		"negative":                        {vllm(0, 0, 0, 0, 0), vllm(-10, 20, 3, 1, 2), nil},
	} {
		t.Run(name, func(t *testing.T) {
			var began atomic.Bool
			s := Start(t.Context(), func(context.Context) ([]Page, error) {
				if began.Load() {
					return one(c.then), nil
				}
				return one(c.before), nil
			}, names, time.Hour)
			s.Begin(t.Context())
			began.Store(true)
			s.Measuring(time.Now())
			r := s.Stop(t.Context())
			require.NotNil(t, r)
			assert.Equal(t, c.want, r.Speculation)
		})
	}
}

// Several pages are added up, each rank keeps what it had to do, and how uneven
// that was is told.
func TestRanks(t *testing.T) {
	page := func(running0, running1 int) []byte {
		return fmt.Appendf(nil, "vllm:num_requests_running{engine=\"0\"} %d\nvllm:num_requests_running{engine=\"1\"} %d\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.5\n", running0, running1)
	}
	for name, c := range map[string]struct {
		pages   []Page
		running float64
		ranks   int
		balance *float64
	}{
		"one rank":                  {one("vllm:num_requests_running{engine=\"0\"} 4\n"), 4, 0, nil},
		"two ranks of one":          {[]Page{{Endpoint: "http://a", Text: page(6, 2)}}, 8, 2, at(1.5)},
		"two pages, two ranks each": {[]Page{{Endpoint: "http://a", Text: page(6, 2)}, {Endpoint: "http://b", Text: page(4, 4)}}, 16, 4, at(1.5)},
		"idle":                      {[]Page{{Endpoint: "http://a", Text: page(0, 0)}}, 0, 2, nil},
	} {
		t.Run(name, func(t *testing.T) {
			s := Start(t.Context(), func(context.Context) ([]Page, error) { return c.pages, nil }, names, time.Hour)
			s.Measuring(time.Now().Add(-time.Minute))
			r := s.Stop(t.Context())
			require.NotNil(t, r)
			assert.Equal(t, c.running, *r.MaxRunning)
			assert.Len(t, r.Ranks, c.ranks)
			assert.Equal(t, c.balance, r.Balance)
			assert.Len(t, r.Samples[0].Ranks, c.ranks, "each keeps its own series")
			if c.ranks == 4 {
				assert.Equal(t, Rank{Endpoint: "http://a", Rank: "1", MeanRunning: at(2), MaxRunning: at(2), MeanKVCache: at(0.5), MaxKVCache: at(0.5)}, r.Ranks[1])
			}
		})
	}
}

// Each look keeps what its counters stood at, and how much KV cache had come from
// elsewhere: by the time of transfers, their size, or the tokens of other tiers.
func TestALookKeepsItsCounters(t *testing.T) {
	names := Names{Running: []string{"r"}, Preemptions: []string{"p_total"}, Transfer: TransferNames{Seconds: []string{"moved_seconds"}, MB: []string{"mb_total"}},
		Cache: CacheNames{Looked: []string{"q_total"}, LoadedBack: []string{"back_total"}, Elsewhere: []string{"other_total"}}}
	const transfers = "# TYPE moved_seconds histogram\nmoved_seconds_bucket{le=\"+Inf\"} 2\nmoved_seconds_sum 0.5\nmoved_seconds_count 2\n"
	for page, want := range map[string][]*float64{
		"r 1\np_total 3\nq_total 512\nother_total 9\n" + transfers:     {at(3), at(512), at(0.5)},
		"r 1\n# TYPE mb_total counter\nmb_total 1000\nother_total 9\n": {nil, nil, at(1.0485760000000002)},
		"r 1\nother_total 9\n":               {nil, nil, at(9)},
		"r 1\nback_total 7\nother_total 9\n": {nil, nil, at(7)},
		"r 1\n":                              {nil, nil, nil},
	} {
		s, err := parse(one(page), names, time.Now())
		require.NoError(t, err)
		assert.Equal(t, want, []*float64{s.Preemptions, s.Prompts, s.Moved}, page)
	}
}

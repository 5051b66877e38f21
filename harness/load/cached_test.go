package load

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/stats"
	"inferbench/harness/workload"
)

// Cached tokens are the server's word for each request. A server that found none
// often says nothing of them; one that never says has told nothing.
func TestCachedTokensAreCounted(t *testing.T) {
	under := func(details string) string { return `,"prompt_tokens_details":` + details + "}" }
	for name, c := range map[string]struct {
		details func(number int64) string // what follows the counts
		want    any
		rate    any
	}{
		"in each":             {func(int64) string { return under(`{"cached_tokens":4}`) }, 40, 0.5},
		"in some":             {func(n int64) string { return under([]string{"null", `{"cached_tokens":8}`}[n%2]) }, 40, 0.5},
		"none":                {func(int64) string { return under(`{"cached_tokens":0}`) }, 0, 0.0},
		"not told":            {func(int64) string { return under("null") }, nil, nil},
		"another shape":       {func(int64) string { return under(`["x"]`) }, nil, nil},
		"no number":           {func(int64) string { return under(`{"cached_tokens":-3}`) }, nil, nil},
		"more than were sent": {func(int64) string { return under(`{"cached_tokens":800}`) }, nil, nil},
		"more in one":         {func(n int64) string { return under([]string{"null", `{"cached_tokens":9}`}[n/10]) }, nil, nil},
		"DeepSeek's name":     {func(int64) string { return `,"prompt_cache_hit_tokens":4,"prompt_cache_miss_tokens":4}` }, 40, 0.5},
		"Moonshot's name":     {func(int64) string { return `,"cached_tokens":4}` }, 40, 0.5},
		"llama.cpp's timings": {func(int64) string { return `},"timings":{"cache_n":4,"prompt_n":4}` }, 40, 0.5},
		"in two places":       {func(int64) string { return `,"prompt_tokens_details":{"cached_tokens":4},"cached_tokens":8}` }, 40, 0.5},
	} {
		t.Run(name, func(t *testing.T) {
			tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
				if r.URL.Path != "/v1/completions" {
					http.NotFound(w, r)
					return
				}
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprint(w, repeat(a.MaxTokens-1)+event(" a", `"length"`))
				fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d%s}\n\ndata: [DONE]\n\n",
					len(a.ids()), a.MaxTokens, c.details(a.number))
			})
			rec, err := Run(t.Context(), tg, workload.Random{N: 10, ISL: 8, OSL: 4, RangeRatio: 1, Seed: 1}, Options{Conc: 1})
			require.NoError(t, err)
			sum := rec.Summary(1)
			require.Equal(t, 10, sum.Successful, "what is odd there spoils nothing: %v", sum.Errors)
			if c.want == nil {
				assert.Nil(t, sum.CachedTokens)
				assert.Nil(t, sum.HitRate)
				assert.Equal(t, strings.HasPrefix(name, "more"),
					strings.Contains(strings.Join(rec.Notes, "\n"), "more tokens in its prefix cache than the prompt has"), "%v", rec.Notes)
				return
			}
			assert.EqualValues(t, c.want, *sum.CachedTokens)
			assert.Equal(t, c.rate, *sum.HitRate)
			assert.Equal(t, "usage", sum.CachedFrom)
		})
	}
}

// SGLang says in an event of its own where a prompt's cached tokens were, whether
// its usage counts them or not.
func TestCachedTokensAreToldByTier(t *testing.T) {
	for name, c := range map[string]struct {
		ext   string
		usage string
		want  *stats.Tiers
		all   any
	}{
		"beside the usage": {`{"cached_tokens_details":{"device":4,"host":2}}`, `{"cached_tokens":6}`, &stats.Tiers{Device: 4, Host: 2}, 60},
		"alone": {`{"cached_tokens_details":{"device":1,"host":2,"storage":3,"storage_backend":"file"}}`, "null",
			&stats.Tiers{Device: 1, Host: 2, Storage: 3}, 60},
		"nothing found": {`{"cached_tokens_details":{"device":0,"host":0}}`, "null", &stats.Tiers{}, 0},
		"other details": {`{"routed_experts":"x"}`, `{"cached_tokens":6}`, nil, 60},
		"no number":     {`{"cached_tokens_details":{"device":-1,"host":2}}`, "null", nil, nil},
		"no object":     {`[]`, "null", nil, nil},
		"null":          {`null`, "null", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			tg := fake(t, func(w http.ResponseWriter, r *http.Request, a asked) {
				w.Header().Set("Content-Type", "text/event-stream")
				fmt.Fprint(w, repeat(a.MaxTokens-1)+event(" a", `"length"`))
				fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":null,\"sglext\":%s}\n\n", c.ext)
				fmt.Fprintf(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d,\"prompt_tokens_details\":%s}}\n\ndata: [DONE]\n\n",
					len(a.ids()), a.MaxTokens, c.usage)
			})
			rec, err := Run(t.Context(), tg, workload.Random{N: 10, ISL: 8, OSL: 4, RangeRatio: 1, Seed: 1}, Options{Conc: 1})
			require.NoError(t, err)
			require.Equal(t, c.want, rec.Timings[0].Prompt.Tiers)
			sum := rec.Summary(1)
			require.Equal(t, 10, sum.Successful, "%v", sum.Errors)
			if c.all == nil {
				assert.Nil(t, sum.CachedTokens)
				return
			}
			assert.EqualValues(t, c.all, *sum.CachedTokens)
			want := map[string]float64{}
			if c.want != nil {
				for source, n := range map[string]int{"device": c.want.Device, "host": c.want.Host, "storage": c.want.Storage} {
					if n > 0 {
						want[source] = float64(n) / 8
					}
				}
			}
			assert.Equal(t, fmt.Sprint(want), fmt.Sprint(sum.BySource))
		})
	}
}

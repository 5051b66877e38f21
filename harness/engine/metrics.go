package engine

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"inferbench/harness/engine/schedule"
)

// counters is what the engine counts.
type counters struct {
	generated, prompts, steps atomic.Int64
	late                      atomic.Int64 // ns of lateness that the loop did not make up for

	mu       sync.Mutex
	gauges   gauges
	finished map[string]int // requests by how they ended
	ttft     histogram
	tpot     histogram
	e2el     histogram
}

// gauges is how the scheduler stood at its last step.
type gauges struct {
	running, waiting, preemptions int
	kvUsage                       float64
	cache                         schedule.CacheStats
	spec                          schedule.Speculation
}

func (c *counters) see(s *schedule.Scheduler) {
	g := gauges{running: s.Running(), waiting: s.Waiting(), preemptions: s.Preemptions, kvUsage: s.KVUsage(), spec: s.Spec,
		cache: s.CacheStats()}
	g.spec.PerPosition = slices.Clone(s.Spec.PerPosition)
	c.mu.Lock()
	c.gauges = g
	c.mu.Unlock()
}

// ended counts a job of which nothing more will be written.
func (c *counters) ended(j *job) {
	c.prompts.Add(int64(len(j.prompt)))
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.finished == nil {
		c.finished = map[string]int{}
	}
	c.finished[j.ended]++
	if n := len(j.out); n > 0 && j.first > 0 {
		c.ttft.add(float64(j.first-j.arrived) / 1e9)
		c.e2el.add(float64(j.last-j.arrived) / 1e9)
		if n > 1 {
			c.tpot.add(float64(j.last-j.first) / 1e9 / float64(n-1))
		}
	}
}

// bounds of the histograms' buckets, in seconds: vLLM's for the time to first
// token, finer at the low end, where the fast profile is.
var bounds = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5,
	7.5, 10, 20, 40, 80, 160, 320}

type histogram struct {
	buckets [26]int
	count   int
	sum     float64
}

func (h *histogram) add(v float64) {
	i, _ := slices.BinarySearch(bounds, v)
	h.buckets[i]++
	h.count++
	h.sum += v
}

// metrics is GET /metrics, in Prometheus' text format and with the names that
// vLLM and SGLang use.
func (e *Engine) metrics(w http.ResponseWriter, _ *http.Request) {
	c := &e.counters
	c.mu.Lock()
	g, ttft, tpot, e2el := c.gauges, c.ttft, c.tpot, c.e2el
	finished := map[string]int{}
	for k, v := range c.finished {
		finished[k] = v
	}
	c.mu.Unlock()
	var b strings.Builder
	model := fmt.Sprintf("model_name=%q", e.cfg.Model)
	rank := `engine="0",` + model // vLLM names its one rank too
	one := func(kind, name, help string, v any) {
		labels := model
		if strings.HasPrefix(name, "vllm:") {
			labels = rank
		}
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n%s{%s} %v\n", name, help, name, kind, name, labels, v)
	}
	if e.cfg.Dialect != SGLang {
		l := e.profile.Limits
		fmt.Fprintf(&b, "# HELP vllm:cache_config_info How the KV cache is configured.\n# TYPE vllm:cache_config_info "+
			"gauge\n"+
			"vllm:cache_config_info{block_size=\"%d\",cache_dtype=\"auto\",enable_prefix_caching=\"%v\","+
			"engine=\"0\",num_gpu_blocks=\"%d\"} 1\n",
			l.BlockTokens, l.PrefixCaching, l.KVTokens/max(l.BlockTokens, 1))
		one("gauge", "vllm:num_requests_running", "Requests in the running batch.", g.running)
		one("gauge", "vllm:num_requests_waiting", "Requests that wait to run.", g.waiting)
		one("gauge", "vllm:kv_cache_usage_perc", "KV cache in use, 1 is all.", g.kvUsage)
		one("counter", "vllm:num_preemptions_total", "Requests put back for want of KV cache.", g.preemptions)
		one("counter", "vllm:prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.", g.cache.Queried)
		one("counter", "vllm:prefix_cache_hits_total", "Prompt tokens found there.", g.cache.Device)
		if l.HostTokens > 0 {
			one("counter", "vllm:external_prefix_cache_queries_total", "Prompt tokens looked up in the host tier: those not "+
				"found on the device.", g.cache.Queried-g.cache.Device)
			one("counter", "vllm:external_prefix_cache_hits_total", "Prompt tokens found there.", g.cache.Host)
		}
		one("counter", "vllm:prompt_tokens_total", "Prompt tokens of finished requests.", c.prompts.Load())
		one("counter", "vllm:generation_tokens_total", "Tokens generated.", c.generated.Load())
		if l.SpecTokens > 0 {
			one("counter", "vllm:spec_decode_num_drafts_total", "Times that tokens were guessed ahead.", g.spec.Drafts)
			one("counter", "vllm:spec_decode_num_draft_tokens_total", "Tokens guessed ahead.", g.spec.DraftTokens)
			one("counter", "vllm:spec_decode_num_accepted_tokens_total", "Of these, tokens that were right.", g.spec.Accepted)
			fmt.Fprint(&b, "# HELP vllm:spec_decode_num_accepted_tokens_per_pos_total By the position of the guess.\n"+
				"# TYPE vllm:spec_decode_num_accepted_tokens_per_pos_total counter\n")
			for i, n := range g.spec.PerPosition {
				fmt.Fprintf(&b, "vllm:spec_decode_num_accepted_tokens_per_pos_total{%s,position=\"%d\"} %d\n", rank, i, n)
			}
		}
		fmt.Fprint(&b, "# HELP vllm:request_success_total Finished requests by reason.\n"+
			"# TYPE vllm:request_success_total counter\n")
		for _, reason := range []string{endAbort, endClosed, endLength, endStop} {
			fmt.Fprintf(&b, "vllm:request_success_total{%s,finished_reason=%q} %d\n", rank, reason, finished[reason])
		}
		ttft.write(&b, "vllm:time_to_first_token_seconds", "From a request's arrival to its first token's hand-over.", rank)
		tpot.write(&b, "vllm:request_time_per_output_token_seconds", "A request's mean time per token after the first.",
			rank)
		e2el.write(&b, "vllm:e2e_request_latency_seconds", "From a request's arrival to its last token's hand-over.", rank)
	}
	if e.cfg.Dialect != VLLM {
		one("gauge", "sglang:num_running_reqs", "Requests in the running batch.", g.running)
		one("gauge", "sglang:num_queue_reqs", "Requests that wait to run.", g.waiting)
		one("gauge", "sglang:token_usage", "KV cache in use, 1 is all.", g.kvUsage)
		one("counter", "sglang:prompt_tokens_total", "Prompt tokens of finished requests.", c.prompts.Load())
		byTier(&b, model, g.cache)
		one("counter", "sglang:evicted_tokens_total", "Tokens that left the KV cache for want of room.", g.cache.Evicted)
		one("counter", "sglang:load_back_tokens_total", "Tokens that came back from the host tier.", g.cache.LoadedBack)
		one("counter", "sglang:num_retracted_requests_total", "Requests put back for want of KV cache.", g.preemptions)
		one("counter", "sglang:generation_tokens_total", "Tokens generated.", c.generated.Load())
		if n := e.profile.Limits.SpecTokens; n > 0 {
			one("counter", "sglang:spec_verify_calls_total", "Times that guessed tokens were verified.", g.spec.Drafts)
			one("gauge", "sglang:spec_num_draft_tokens", "Tokens verified at once.", n+1)
		}
	}
	one("counter", "inferbench:engine_steps_total", "Steps of the engine.", c.steps.Load())
	one("counter", "inferbench:engine_late_seconds_total", "Time by which steps were longer than the profile says, "+
		"because this machine was busy.", float64(c.late.Load())/1e9)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write([]byte(b.String()))
}

// byTier writes SGLang's counter of cached tokens by where they were: as there,
// each absent until the first hit.
func byTier(b *strings.Builder, model string, c schedule.CacheStats) {
	if c.Device+c.Host == 0 {
		return
	}
	fmt.Fprint(b, "# HELP sglang:cached_tokens_total Prompt tokens found in the prefix cache.\n"+
		"# TYPE sglang:cached_tokens_total counter\n")
	for _, tier := range []struct {
		name   string
		tokens int
	}{{"device", c.Device}, {"host", c.Host}} {
		if tier.tokens > 0 {
			fmt.Fprintf(b, "sglang:cached_tokens_total{%s,cache_source=%q} %d\n", model, tier.name, tier.tokens)
		}
	}
}

func (h *histogram) write(b *strings.Builder, name, help, labels string) {
	fmt.Fprintf(b, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name)
	total := 0
	for i, le := range bounds {
		total += h.buckets[i]
		fmt.Fprintf(b, "%s_bucket{%s,le=\"%g\"} %d\n", name, labels, le, total)
	}
	fmt.Fprintf(b, "%s_bucket{%s,le=\"+Inf\"} %d\n%s_sum{%s} %g\n%s_count{%s} %d\n", name, labels, h.count, name, labels,
		h.sum, name, labels, h.count)
}

package engine

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

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
	moved    histogram // transfers of KV cache
}

// gauges is how the scheduler stood at its last step.
type gauges struct {
	running, waiting, preemptions int
	coming                        int // requests that wait for their KV cache to come from elsewhere
	kvUsage                       float64
	cache                         schedule.CacheStats
	spec                          schedule.Speculation
}

func (c *counters) see(s *schedule.Scheduler, coming int) {
	g := gauges{running: s.Running(), waiting: s.Waiting(), preemptions: s.Preemptions, kvUsage: s.KVUsage(), spec: s.Spec,
		cache: s.CacheStats(), coming: coming}
	g.spec.PerPosition = slices.Clone(s.Spec.PerPosition)
	c.mu.Lock()
	c.gauges = g
	c.mu.Unlock()
}

// transferred counts a KV cache that came from elsewhere.
func (c *counters) transferred(took time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moved.add(took.Seconds())
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

// standing is how a rank stands at one look.
type standing struct {
	gauges
	vllm, sglang       string // labels
	generated, prompts int64
	finished           map[string]int
	ttft, tpot, e2el   histogram
	moved              histogram
}

// apart reports whether KV cache comes from elsewhere.
func (s standing) apart() bool { return s.moved.count > 0 || s.coming > 0 }

// of is the labels of a metric of the name.
func (s standing) of(name string) string {
	if strings.HasPrefix(name, "vllm:") {
		return s.vllm
	}
	return s.sglang
}

// stand looks at every rank. vLLM names its one rank too.
func (e *Engine) stand() (out []standing) {
	model := fmt.Sprintf("model_name=%q", e.cfg.Model)
	for i, l := range e.ranks {
		c := &l.counters
		c.mu.Lock()
		s := standing{gauges: c.gauges, ttft: c.ttft, tpot: c.tpot, e2el: c.e2el, moved: c.moved,
			finished:  maps.Clone(c.finished),
			generated: c.generated.Load(), prompts: c.prompts.Load()}
		c.mu.Unlock()
		s.vllm, s.sglang = fmt.Sprintf("engine=\"%d\",%s", i, model), model
		if len(e.ranks) > 1 {
			s.sglang = fmt.Sprintf("dp_rank=\"%d\",%s", i, model)
		}
		out = append(out, s)
	}
	return out
}

// page is a page of metrics on its way.
type page struct {
	strings.Builder
	ranks []standing
}

// head begins a metric.
func (p *page) head(kind, name, help string) {
	fmt.Fprintf(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

// each writes a metric with a value a rank.
func (p *page) each(kind, name, help string, of func(standing) any) {
	p.head(kind, name, help)
	for _, s := range p.ranks {
		fmt.Fprintf(p, "%s{%s} %v\n", name, s.of(name), of(s))
	}
}

// metrics is GET /metrics, in Prometheus' text format and with the names that
// vLLM and SGLang use.
func (e *Engine) metrics(w http.ResponseWriter, _ *http.Request) {
	p := &page{ranks: e.stand()}
	if e.cfg.Dialect != SGLang {
		e.vllmMetrics(p)
	}
	if e.cfg.Dialect != VLLM {
		e.sglangMetrics(p)
	}
	steps, late := int64(0), int64(0)
	for _, l := range e.ranks {
		steps, late = steps+l.counters.steps.Load(), late+l.counters.late.Load()
	}
	p.head("counter", "inferbench:engine_steps_total", "Steps of the engine.")
	fmt.Fprintf(p, "inferbench:engine_steps_total{model_name=%q} %d\n", e.cfg.Model, steps)
	p.head("counter", "inferbench:engine_late_seconds_total", "Time by which steps were longer than the profile says, "+
		"because this machine was busy.")
	fmt.Fprintf(p, "inferbench:engine_late_seconds_total{model_name=%q} %v\n", e.cfg.Model, float64(late)/1e9)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write([]byte(p.String()))
}

func (e *Engine) vllmMetrics(p *page) {
	l := e.profile.Limits
	p.head("gauge", "vllm:cache_config_info", "How the KV cache is configured.")
	for i := range p.ranks {
		fmt.Fprintf(p, "vllm:cache_config_info{block_size=\"%d\",cache_dtype=\"auto\",enable_prefix_caching=\"%v\","+
			"engine=\"%d\",kv_cache_size_tokens=\"%d\",num_gpu_blocks=\"%d\"} 1\n", l.BlockTokens, l.PrefixCaching, i,
			l.KVTokens, l.KVTokens/max(l.BlockTokens, 1))
	}
	gauge := func(name, help string, of func(standing) any) { p.each("gauge", "vllm:"+name, help, of) }
	counter := func(name, help string, of func(standing) any) { p.each("counter", "vllm:"+name, help, of) }
	gauge("num_requests_running", "Requests in the running batch.", func(s standing) any { return s.running })
	gauge("num_requests_waiting", "Requests that wait to run.", func(s standing) any { return s.waiting + s.coming })
	p.head("gauge", "vllm:num_requests_waiting_by_reason", "Of these, requests by what they wait for.")
	for _, s := range p.ranks {
		fmt.Fprintf(p, "vllm:num_requests_waiting_by_reason{%[1]s,reason=\"capacity\"} %[2]d\n"+
			"vllm:num_requests_waiting_by_reason{%[1]s,reason=\"deferred\"} %[3]d\n", s.vllm, s.waiting, s.coming)
	}
	gauge("kv_cache_usage_perc", "KV cache in use, 1 is all.", func(s standing) any { return s.kvUsage })
	counter("num_preemptions_total", "Requests put back for want of KV cache.",
		func(s standing) any { return s.preemptions })
	counter("prefix_cache_queries_total", "Prompt tokens looked up in the prefix cache.",
		func(s standing) any { return s.cache.Queried })
	counter("prefix_cache_hits_total", "Prompt tokens found there.", func(s standing) any { return s.cache.Device })
	if l.HostTokens > 0 {
		counter("external_prefix_cache_queries_total", "Prompt tokens looked up in the host tier: those not found on "+
			"the device.", func(s standing) any { return s.cache.Queried - s.cache.Device })
		counter("external_prefix_cache_hits_total", "Prompt tokens found there.",
			func(s standing) any { return s.cache.Host })
	}
	counter("prompt_tokens_total", "Prompt tokens of finished requests.", func(s standing) any { return s.prompts })
	counter("generation_tokens_total", "Tokens generated.", func(s standing) any { return s.generated })
	if l.SpecTokens > 0 {
		counter("spec_decode_num_drafts_total", "Times that tokens were guessed ahead.",
			func(s standing) any { return s.spec.Drafts })
		counter("spec_decode_num_draft_tokens_total", "Tokens guessed ahead.",
			func(s standing) any { return s.spec.DraftTokens })
		counter("spec_decode_num_accepted_tokens_total", "Of these, tokens that were right.",
			func(s standing) any { return s.spec.Accepted })
		p.head("counter", "vllm:spec_decode_num_accepted_tokens_per_pos_total", "By the position of the guess.")
		for _, s := range p.ranks {
			for i, n := range s.spec.PerPosition {
				fmt.Fprintf(p, "vllm:spec_decode_num_accepted_tokens_per_pos_total{%s,position=\"%d\"} %d\n", s.vllm, i, n)
			}
		}
	}
	p.head("counter", "vllm:request_success_total", "Finished requests by reason.")
	for _, s := range p.ranks {
		for _, reason := range []string{endAbort, endClosed, endLength, endStop} {
			fmt.Fprintf(p, "vllm:request_success_total{%s,finished_reason=%q} %d\n", s.vllm, reason, s.finished[reason])
		}
	}
	if slices.ContainsFunc(p.ranks, standing.apart) {
		p.histogram("vllm:nixl_xfer_time_seconds", "Transfers of KV cache.", 1,
			func(s standing) histogram { return s.moved })
	}
	p.histogram("vllm:time_to_first_token_seconds", "From a request's arrival to its first token's hand-over.", 1,
		func(s standing) histogram { return s.ttft })
	p.histogram("vllm:request_time_per_output_token_seconds", "A request's mean time per token after the first.", 1,
		func(s standing) histogram { return s.tpot })
	p.histogram("vllm:e2e_request_latency_seconds", "From a request's arrival to its last token's hand-over.", 1,
		func(s standing) histogram { return s.e2el })
}

func (e *Engine) sglangMetrics(p *page) {
	gauge := func(name, help string, of func(standing) any) { p.each("gauge", "sglang:"+name, help, of) }
	counter := func(name, help string, of func(standing) any) { p.each("counter", "sglang:"+name, help, of) }
	gauge("num_running_reqs", "Requests in the running batch.", func(s standing) any { return s.running })
	gauge("num_queue_reqs", "Requests that wait to run.", func(s standing) any { return s.waiting })
	if slices.ContainsFunc(p.ranks, standing.apart) {
		gauge("num_decode_transfer_queue_reqs", "Requests that wait for their KV cache.",
			func(s standing) any { return s.coming })
		p.histogram("sglang:kv_transfer_latency_ms", "Transfers of KV cache.", 1000,
			func(s standing) histogram { return s.moved })
	}
	gauge("token_usage", "KV cache in use, 1 is all.", func(s standing) any { return s.kvUsage })
	counter("prompt_tokens_total", "Prompt tokens of finished requests.", func(s standing) any { return s.prompts })
	p.byTier()
	counter("evicted_tokens_total", "Tokens that left the KV cache for want of room.",
		func(s standing) any { return s.cache.Evicted })
	counter("load_back_tokens_total", "Tokens that came back from the host tier.",
		func(s standing) any { return s.cache.LoadedBack })
	counter("num_retracted_requests_total", "Requests put back for want of KV cache.",
		func(s standing) any { return s.preemptions })
	counter("generation_tokens_total", "Tokens generated.", func(s standing) any { return s.generated })
	if n := e.profile.Limits.SpecTokens; n > 0 {
		counter("spec_verify_calls_total", "Times that guessed tokens were verified.",
			func(s standing) any { return s.spec.Drafts })
		gauge("spec_num_draft_tokens", "Tokens verified at once.", func(standing) any { return n + 1 })
	}
}

// byTier writes SGLang's counter of cached tokens by where they were: as there,
// each absent until the first hit.
func (p *page) byTier() {
	began := false
	for _, s := range p.ranks {
		for _, tier := range []struct {
			name   string
			tokens int
		}{{"device", s.cache.Device}, {"host", s.cache.Host}} {
			if tier.tokens == 0 {
				continue
			}
			if !began {
				p.head("counter", "sglang:cached_tokens_total", "Prompt tokens found in the prefix cache.")
				began = true
			}
			fmt.Fprintf(p, "sglang:cached_tokens_total{%s,cache_source=%q} %d\n", s.sglang, tier.name, tier.tokens)
		}
	}
}

// histogram writes a histogram of each rank, in units of which so many are a second.
func (p *page) histogram(name, help string, units float64, of func(standing) histogram) {
	p.head("histogram", name, help)
	for _, s := range p.ranks {
		h, total, labels := of(s), 0, s.of(name)
		for i, le := range bounds {
			total += h.buckets[i]
			fmt.Fprintf(p, "%s_bucket{%s,le=\"%g\"} %d\n", name, labels, le*units, total)
		}
		fmt.Fprintf(p, "%s_bucket{%s,le=\"+Inf\"} %d\n%s_sum{%s} %g\n%s_count{%s} %d\n", name, labels, h.count, name, labels,
			h.sum*units, name, labels, h.count)
	}
}

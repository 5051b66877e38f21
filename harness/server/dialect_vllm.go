package server

import "inferbench/harness/scrape"

// VLLM speaks as [OpenAI] does. Its /metrics page has had other names before
// its V1 engine.
var VLLM = &Dialect{
	Name:    "vllm",
	OwnedBy: []string{"vllm"},
	Metrics: scrape.Names{
		Running:     []string{"vllm:num_requests_running"},
		Waiting:     []string{"vllm:num_requests_waiting"},
		KVCache:     []string{"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"},
		TTFT:        []string{"vllm:time_to_first_token_seconds"},
		Preemptions: []string{"vllm:num_preemptions_total", "vllm:num_preemptions"},
		CacheLooked: []string{"vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total", "vllm:prefix_cache_queries"},
		CacheHits:   []string{"vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total", "vllm:prefix_cache_hits"},
	},
}

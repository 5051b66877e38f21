package server

import "inferbench/harness/scrape"

// others names the figures of makes of which nothing else is known here, as their
// documentation has them. TensorRT-LLM's page is /prometheus/metrics, which
// METRICS_URLS names.
var others = []scrape.Names{
	{
		Running: []string{"trtllm_num_requests_running", "trtllm_num_active_requests"},
		Waiting: []string{"trtllm_num_requests_waiting", "trtllm_server_queue_length"},
		KVCache: []string{"trtllm_kv_cache_utilization"}, TTFT: []string{"trtllm_time_to_first_token_seconds"},
		Cache: scrape.CacheNames{Looked: []string{"trtllm_prompt_tokens_total"},
			Hits: []string{"trtllm_prompt_cached_tokens_total"}},
		Guesses: scrape.GuessNames{
			DraftTokens: []string{"trtllm_spec_decode_num_draft_tokens_total", "trtllm_spec_decode_drafted_tokens_total"},
			Accepted: []string{"trtllm_spec_decode_num_accepted_tokens_total",
				"trtllm_spec_decode_accepted_tokens_total"},
		},
	},
	{
		Running: []string{"atom:requests_running"}, Waiting: []string{"atom:requests_waiting"},
		KVCache: []string{"atom:kv_cache_usage_ratio"}, Preemptions: []string{"atom:preemptions_total"},
		Cache: scrape.CacheNames{Looked: []string{"atom:prompt_tokens_total"},
			Hits:      []string{"atom:prefix_cache_cached_tokens_total"},
			Elsewhere: []string{"atom:prefix_cache_offload_tokens_total"}},
		Guesses: scrape.GuessNames{Drafts: []string{"atom:mtp_decode_steps_total"},
			DraftTokens: []string{"atom:mtp_draft_tokens_total"}, Accepted: []string{"atom:mtp_accepted_tokens_total"}},
	},
}

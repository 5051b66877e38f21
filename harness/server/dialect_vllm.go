package server

import (
	"regexp"
	"strings"

	"github.com/tidwall/gjson"

	"inferbench/harness/scrape"
)

// VLLM speaks as [OpenAI] does. Its /metrics page has had other names before
// its V1 engine.
var VLLM = &Dialect{
	Name:    "vllm",
	OwnedBy: []string{"vllm"},
	Pages:   vllmPages,
	Resets:  vllmResets,

	NoMetrics: "without --disable-log-stats",
	Profiler: &Profiler{Needs: `--profiler-config '{"profiler":"torch","torch_profiler_dir":"/tmp/trace"}', or before ` +
		"0.13 VLLM_TORCH_PROFILER_DIR", Trace: "the folder that the server's --profiler-config or " +
		"VLLM_TORCH_PROFILER_DIR names, on its machine"},
	SaltKey: "cache_salt",
	Metrics: scrape.Names{
		Running:     []string{"vllm:num_requests_running"},
		Waiting:     []string{"vllm:num_requests_waiting"},
		KVCache:     []string{"vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"},
		TTFT:        []string{"vllm:time_to_first_token_seconds"},
		Preemptions: []string{"vllm:num_preemptions_total", "vllm:num_preemptions"},
		Queues:      []string{"vllm:num_requests_waiting_by_reason", "vllm:num_requests_kv_fetch_by_stage"},
		Cache: scrape.CacheNames{
			Looked: []string{"vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total",
				"vllm:prefix_cache_queries"},
			Hits: []string{"vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total",
				"vllm:prefix_cache_hits"},
			Elsewhere: []string{"vllm:external_prefix_cache_hits_total"},
		},
		Guesses: scrape.GuessNames{
			Drafts:      []string{"vllm:spec_decode_num_drafts_total", "vllm:spec_decode_num_drafts"},
			DraftTokens: []string{"vllm:spec_decode_num_draft_tokens_total", "vllm:spec_decode_num_draft_tokens"},
			Accepted:    []string{"vllm:spec_decode_num_accepted_tokens_total", "vllm:spec_decode_num_accepted_tokens"},
			AcceptedAt: []string{"vllm:spec_decode_num_accepted_tokens_per_pos_total",
				"vllm:spec_decode_num_accepted_tokens_per_pos"},
		},
		Transfer: scrape.TransferNames{
			Seconds:  []string{"vllm:nixl_xfer_time_seconds"},
			Bytes:    []string{"vllm:nixl_bytes_transferred"},
			Failures: []string{"vllm:nixl_num_failed_transfers_total", "vllm:nixl_num_kv_expired_reqs_total"},
		},
	},
}

// vllmResets needs a server in development mode.
var vllmResets = []Reset{{"/reset_prefix_cache?reset_external=true"}}

// vllmPages are /server_info, which only a server in development mode has, and
// the configuration of the cache, which every one shows.
var vllmPages = []Page{
	{[]string{"/server_info?config_format=json"}, vllmConfig},
	{[]string{"/metrics"}, infoSeries("vllm:cache_config_info")},
}

var assignment = regexp.MustCompile(`(\w+)=('[^']*'|"[^"]*"|[^\s,()]+)`)

// vllmConfig reads vllm_config, an object or, of older versions, Python's way of
// writing one.
func vllmConfig(body []byte) []map[string]string {
	config := gjson.GetBytes(body, "vllm_config")
	if config.IsObject() {
		return []map[string]string{leaves(config, map[string]string{})}
	}
	flags := map[string]string{}
	for _, m := range assignment.FindAllStringSubmatch(config.String(), -1) {
		if _, ok := flags[m[1]]; !ok {
			flags[m[1]] = strings.Trim(m[2], `'"`)
		}
	}
	return []map[string]string{flags}
}

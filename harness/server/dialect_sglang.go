package server

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"github.com/tidwall/gjson"

	"inferbench/harness/scrape"
)

// SGLang leaves scoring to its native /generate: its completions endpoint warns
// that echo and logprobs do not go together (lm-evaluation-harness #2982).
var SGLang = &Dialect{
	Name:    "sglang",
	OwnedBy: []string{"sglang"},
	Ways:    []Way{generate, echo},
	Pages:   sglangPages,
	Resets:  sglangResets,

	NoMetrics: "with --enable-metrics",
	Profiler: &Profiler{Needs: "its HTTP server, not behind a router",
		Trace: "the folder in the server's SGLANG_TORCH_PROFILER_DIR, /tmp without one, on its machine"},
	SaltKey:  "extra_key",
	TiersKey: "return_cached_tokens_details",
	Metrics: scrape.Names{
		Running:     []string{"sglang:num_running_reqs"},
		Waiting:     []string{"sglang:num_queue_reqs"},
		KVCache:     []string{"sglang:token_usage"},
		TTFT:        []string{"sglang:time_to_first_token_seconds"},
		Preemptions: []string{"sglang:num_retracted_requests_total"},
		Queues: []string{"sglang:num_prefill_bootstrap_queue_reqs", "sglang:num_prefill_prealloc_queue_reqs",
			"sglang:num_prefill_inflight_queue_reqs", "sglang:num_decode_prealloc_queue_reqs",
			"sglang:num_decode_transfer_queue_reqs"},
		Cache: scrape.CacheNames{
			Looked:     []string{"sglang:prompt_tokens_total"},
			Hits:       []string{"sglang:cached_tokens_total"},
			LoadedBack: []string{"sglang:load_back_tokens_total"},
			Source:     "cache_source",
		},
		Guesses: scrape.GuessNames{
			Verified:       []string{"sglang:spec_verify_calls_total"},
			Generated:      []string{"sglang:generation_tokens_total"},
			VerifiedAtOnce: []string{"sglang:spec_num_draft_tokens"},
		},
		Transfer: scrape.TransferNames{
			Ms:       []string{"sglang:kv_transfer_latency_ms"},
			MB:       []string{"sglang:kv_transfer_total_mb_total", "sglang:kv_transfer_total_mb"},
			Failures: []string{"sglang:num_transfer_failed_reqs_total", "sglang:num_bootstrap_failed_reqs_total"},
		},
	},
}

// sglangResets waits for what still runs, up to half a minute; a server without
// a storage tier has no more to forget.
var sglangResets = []Reset{{"/flush_cache?timeout=30"}, {"/hicache/storage-backend/clear"}}

// sglangPages is where its arguments stand: under its newer name, then its older.
var sglangPages = []Page{{[]string{"/server_info", "/get_server_info"}, sglangArguments}}

// sglangArguments reads a server's arguments, or those of the workers behind a
// router that tells prefill from decode.
func sglangArguments(body []byte) (instances []map[string]string) {
	page := gjson.ParseBytes(body)
	workers := append(page.Get("prefill").Array(), page.Get("decode").Array()...)
	if len(workers) == 0 {
		workers = []gjson.Result{page}
	}
	for _, w := range workers {
		if w.Get("tp_size").Exists() || w.Get("model_path").Exists() {
			instances = append(instances, leaves(w, map[string]string{}))
		}
	}
	return instances
}

var generate = Way{Path: "/generate", score: (*Scorer).generate, greedy: (*Scorer).greedyGenerate}

// generate scores by SGLang's native endpoint. input_token_logprobs holds
// [logprob, id, text] for every prompt token from logprob_start_len on, the
// first of them null. The body is what lm-evaluation-harness's sglang-generate
// sends, for one prompt.
func (s *Scorer) generate(ctx context.Context, tokens []int32, from int, best bool) ([]Scored, error) {
	var b json.RawMessage
	err := s.t.PostRetry(ctx, s.retry, "/generate", map[string]any{
		"input_ids": tokens, "sampling_params": map[string]any{"max_new_tokens": s.maxTokens, "temperature": 0},
		"return_logprob": true, "logprob_start_len": 0, "top_logprobs_num": 1,
	}, &b)
	if err != nil {
		return nil, err
	}
	meta := gjson.GetBytes(b, "meta_info")
	entries, err := sglangEntries(meta.Get("input_token_logprobs"), len(tokens))
	if err != nil {
		return nil, err
	}
	if len(entries) != len(tokens) {
		return nil, fmt.Errorf("%w: %d values for %d prompt tokens", ErrNoPromptLogprobs, len(entries), len(tokens))
	}
	scored := make([]Scored, 0, len(tokens)-from)
	for i := from; i < len(tokens); i++ {
		if entries[i].id != tokens[i] {
			return nil, fmt.Errorf("%w: token %d is %d, sent was %d", ErrOtherTokens, i, entries[i].id, tokens[i])
		}
		scored = append(scored, Scored{Logprob: entries[i].logprob, Best: entries[i].logprob})
	}
	if best {
		err = addSGLangBest(scored, meta.Get("input_top_logprobs"), from, len(tokens))
	}
	return scored, err
}

// addSGLangBest is addBest for input_top_logprobs, a list of entries for each
// token.
func addSGLangBest(scored []Scored, top gjson.Result, from, n int) (err error) {
	i := 0
	top.ForEach(func(_, alternatives gjson.Result) bool {
		if at := i - from; at >= 0 && at < len(scored) {
			var entries []sglangEntry
			if entries, err = sglangEntries(alternatives, 2); err != nil {
				return false
			}
			for _, e := range entries {
				scored[at].Best = max(scored[at].Best, e.logprob)
			}
		}
		i++
		return true
	})
	if err == nil && i != n {
		err = fmt.Errorf("%w: input_top_logprobs has %d entries for %d tokens", ErrNoPromptLogprobs, i, n)
	}
	return err
}

// sglangEntry is [logprob, id, text or null]; a null logprob is NaN.
type sglangEntry struct {
	logprob float64
	id      int32
}

func sglangEntries(list gjson.Result, n int) (out []sglangEntry, err error) {
	if !list.IsArray() {
		return nil, ErrNoPromptLogprobs
	}
	out = make([]sglangEntry, 0, n)
	list.ForEach(func(_, v gjson.Result) bool {
		var e sglangEntry
		i := 0
		v.ForEach(func(_, part gjson.Result) bool {
			switch i {
			case 0:
				e.logprob, err = logprob(part)
			case 1:
				e.id, err = tokenID(part)
			}
			i++
			return err == nil && i < 2
		})
		if err == nil && i < 2 {
			err = fmt.Errorf("%w: %s is not [logprob, id, text]", ErrNoPromptLogprobs, oneLine(v.Raw))
		}
		if err != nil {
			err = fmt.Errorf("token %d: %w", len(out), err)
			return false
		}
		out = append(out, e)
		return true
	})
	return out, err
}

func (s *Scorer) greedyGenerate(ctx context.Context, prompt []int32, n int) (*Continuation, error) {
	var b json.RawMessage
	sampling := map[string]any{"max_new_tokens": n, "temperature": 0, "ignore_eos": true}
	maps.Copy(sampling, s.sampling)
	err := s.t.PostRetry(ctx, s.retry, "/generate", map[string]any{
		"input_ids": prompt, "return_logprob": true, "sampling_params": sampling,
	}, &b)
	if err != nil {
		return nil, err
	}
	entries, err := sglangEntries(gjson.GetBytes(b, "meta_info.output_token_logprobs"), n)
	if err != nil {
		return nil, fmt.Errorf("the answer has no output_token_logprobs: %w", err)
	}
	c := new(Continuation)
	for _, e := range entries {
		c.IDs, c.Logprobs = append(c.IDs, e.id), append(c.Logprobs, e.logprob)
	}
	return c, nil
}

package engine

import (
	"encoding/json"
	"net/http"

	"inferbench/harness/engine/ngram"
)

const vocab = ngram.Vocab

// tokenize is vLLM's POST /tokenize: a prompt, or messages, to ids.
func (e *Engine) tokenize(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Model      string        `json:"model"`
		Prompt     *string       `json:"prompt"`
		Messages   []chatMessage `json:"messages"`
		Specials   *bool         `json:"add_special_tokens"`
		Generation *bool         `json:"add_generation_prompt"`
		Strings    bool          `json:"return_token_strs"`
	}
	_, bad := readBody(r, &in)
	if bad == nil {
		bad = e.checkModel(in.Model)
	}
	var ids []int32
	switch {
	case bad != nil:
	case in.Prompt != nil:
		ids = tokenize(*in.Prompt, in.Specials == nil || *in.Specials)
	case len(in.Messages) > 0:
		ids = chatPrompt(in.Messages, in.Generation == nil || *in.Generation)
	default:
		bad = badRequest("prompt", "give a prompt or messages to tokenize")
	}
	if bad != nil {
		writeError(w, bad)
		return
	}
	out := map[string]any{"count": len(ids), "max_model_len": e.profile.MaxModelLen, "tokens": ids, "token_strs": nil}
	if in.Strings {
		strs := make([]string, len(ids))
		for i, t := range ids {
			strs[i] = tokenText(t)
		}
		out["token_strs"] = strs
	}
	answer(w, out)
}

// detokenize is vLLM's POST /detokenize: ids to text, specials shown.
func (e *Engine) detokenize(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Model  string  `json:"model"`
		Tokens []int32 `json:"tokens"`
	}
	ids, bad := readBody(r, &in, "tokens")
	if ids == nil {
		ids = in.Tokens
	}
	if bad == nil {
		bad = e.checkModel(in.Model)
	}
	if bad == nil {
		bad = checkIDs(ids)
	}
	if bad != nil {
		writeError(w, bad)
		return
	}
	answer(w, map[string]string{"prompt": detokenize(ids, true)})
}

// tokenizerInfo is vLLM's GET /tokenizer_info: the tokenizer's configuration.
func (e *Engine) tokenizerInfo(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{
		"tokenizer_class": "ByteTokenizer", "add_bos_token": true, "add_eos_token": false,
		"bos_token": bosText, "eos_token": eosText, "pad_token": nil, "unk_token": nil,
		"bos_token_id": ngram.BOS, "eos_token_id": ngram.EOS, "vocab_size": vocab,
		"model_max_length": e.profile.MaxModelLen, "chat_template": chatTemplate,
		"added_tokens_decoder": map[string]any{
			"256": map[string]any{"content": bosText, "special": true},
			"257": map[string]any{"content": eosText, "special": true},
		},
	})
}

// vllmConfig is vLLM's GET /server_info, as far as it makes sense here.
func (e *Engine) vllmConfig(w http.ResponseWriter, _ *http.Request) {
	l := e.profile.Limits
	parallel := map[string]any{"data_parallel_size": e.cfg.Ranks, "pipeline_parallel_size": 1}
	if e.cfg.GPUs > 0 {
		parallel["tensor_parallel_size"] = e.cfg.GPUs / e.cfg.Ranks
	}
	answer(w, map[string]any{"vllm_config": map[string]any{
		"model_config":     map[string]any{"model": e.cfg.Model, "max_model_len": e.profile.MaxModelLen},
		"cache_config":     map[string]any{"block_size": l.BlockTokens, "enable_prefix_caching": l.PrefixCaching},
		"scheduler_config": map[string]any{"max_num_seqs": l.MaxRunning, "max_num_batched_tokens": l.TokenBudget},
		"parallel_config":  parallel,
	}})
}

func checkIDs(ids []int32) *apiError {
	for i, t := range ids {
		if t < 0 || t >= vocab {
			return badRequest("", "token id %d (position %d) is out of vocabulary: ids are 0 to %d", t, i, vocab-1)
		}
	}
	return nil
}

// The keys that the real vLLM sends though they say nothing here, so that what is
// read of it is read of the embedded engine in its dialect. They were recorded:
// e2e/realengine/testdata/vllm-wire.json.

// appendNulls appends keys with null, where they belong.
func appendNulls(b []byte, where bool, keys ...string) []byte {
	if where {
		for _, k := range keys {
			b = append(append(append(b, `,"`...), k...), `":null`...)
		}
	}
	return b
}

// appendRest appends what follows the usage of a whole answer.
func (x *call) appendRest(b []byte) []byte {
	b = appendNulls(b, x.e.cfg.Dialect == VLLM, "service_tier", "kv_transfer_params", "ec_transfer_params", "metrics")
	return x.appendFingerprint(b)
}

func (x *call) appendFingerprint(b []byte) []byte {
	if x.e.cfg.Dialect != VLLM {
		return b
	}
	return appendJSON(append(b, `,"system_fingerprint":`...), "inferbench-"+Version)
}

// usageOf is whose usage an object is.
type usageOf int

const (
	streamedCompletion usageOf = iota
	streamedChat
	wholeCompletion
	wholeChat
)

// add adds the keys of vLLM's usage; created is how many prompt tokens were not
// in the cache.
func (of usageOf) add(usage, details map[string]any, created int) {
	switch of {
	case wholeCompletion:
		details["created_cache_tokens"] = nil
	case streamedChat, wholeChat:
		details["created_cache_tokens"] = created
	}
	if of == wholeCompletion || of == wholeChat {
		details["multimodal_tokens"], usage["completion_tokens_details"] = nil, nil
	}
}

// permission is what vLLM says that one may do with a model.
func permission(created int64) []any {
	return []any{map[string]any{"id": "modelperm-inferbench", "object": "model_permission", "created": created,
		"allow_create_engine": false, "allow_sampling": true, "allow_logprobs": true, "allow_search_indices": false,
		"allow_view": true, "allow_fine_tuning": false, "organization": "*", "group": nil, "is_blocking": false}}
}

// notThere answers for a page or a verb that there is not, as FastAPI does.
func notThere(mux *http.ServeMux, w http.ResponseWriter, r *http.Request) {
	status := http.StatusNotFound
	for _, verb := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = verb
		if _, pattern := mux.Handler(other); pattern != "/" {
			status = http.StatusMethodNotAllowed
		}
	}
	b, _ := json.Marshal(map[string]string{"detail": http.StatusText(status)}) // texts cannot fail
	writeJSON(w, status, b)
}

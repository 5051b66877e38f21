package engine

import (
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
		bad = checkIDs("tokens", ids)
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
	parallel := map[string]any{"data_parallel_size": 1, "pipeline_parallel_size": 1}
	if e.cfg.GPUs > 0 {
		parallel["tensor_parallel_size"] = e.cfg.GPUs
	}
	answer(w, map[string]any{"vllm_config": map[string]any{
		"model_config":     map[string]any{"model": e.cfg.Model, "max_model_len": e.profile.MaxModelLen},
		"cache_config":     map[string]any{"block_size": l.BlockTokens, "enable_prefix_caching": l.PrefixCaching},
		"scheduler_config": map[string]any{"max_num_seqs": l.MaxRunning, "max_num_batched_tokens": l.TokenBudget},
		"parallel_config":  parallel,
	}})
}

func checkIDs(param string, ids []int32) *apiError {
	for i, t := range ids {
		if t < 0 || t >= vocab {
			return badRequest(param, "token id %d (position %d) is out of vocabulary: ids are 0 to %d", t, i, vocab-1)
		}
	}
	return nil
}

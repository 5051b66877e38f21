package server

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Answers are as the servers' sources write them: SGLang 0.5.23
// (/server_info), vLLM 0.32.0 (/server_info of its development mode, /metrics),
// llama.cpp's llama-server (/props).
const (
	sglangInfo = `{"model_path":"/models/ds","tokenizer_path":"/models/ds","tp_size":8,"dp_size":8,"pp_size":1,"ep_size":4,"enable_dp_attention":true,
		"quantization":"fp8","dtype":"auto","kv_cache_dtype":"fp8_e4m3","speculative_algorithm":"EAGLE","speculative_num_steps":3,"disable_radix_cache":true,
		"chunked_prefill_size":196608,"api_key":"other-key-of-the-server","admin_api_key":null,"ssl_keyfile_password":"pw-pw-pw","max_total_num_tokens":500000,
		"hf_token":"hf_0123456789","load_format":"auto","dist_init_addr":"http://u:pw@h:1","kv_cache_extra":{"auth_token":"pw-pw-pw","page_size":1},
		"internal_states":[{"last_gen_throughput":12.5}],"version":"0.5.23"}`
	vllmInfo = `{"vllm_config":{"model_config":{"model":"/models/l","dtype":"torch.bfloat16","quantization":null,"max_model_len":4096},
		"parallel_config":{"tensor_parallel_size":2,"pipeline_parallel_size":2,"data_parallel_size":1},
		"speculative_config":{"method":"ngram","num_speculative_tokens":4},"cache_config":{"enable_prefix_caching":true}}}`
	vllmText  = `{"vllm_config":"model='/models/l', speculative_config=None, tokenizer='/models/l', dtype=torch.bfloat16, max_seq_len=4096, tensor_parallel_size=4, pipeline_parallel_size=1, data_parallel_size=2, quantization=None, kv_cache_dtype=auto, enable_prefix_caching=True"}`
	vllmCache = "# TYPE vllm:cache_config_info gauge\nvllm:cache_config_info{kv_cache_size_tokens=\"4096\",block_size=\"128\",cache_dtype=\"fp8\",enable_prefix_caching=\"True\",engine=\"0\",gpu_memory_utilization=\"0.9\"} 1.0\n"
	disagg    = `{"prefill":[{"tp_size":4,"pp_size":1,"version":"0.5.23"}],"decode":[{"tp_size":8,"dp_size":2,"version":"0.5.23"},{"tp_size":8,"dp_size":1,"version":"0.5.23"}]}`
)

func TestWhatAServerSaysOfItself(t *testing.T) {
	for name, c := range map[string]struct {
		owner string
		pages map[string]string
		want  About // without its flags
		flags map[string]string
	}{
		"SGLang": {"sglang", map[string]string{"/server_info": sglangInfo},
			About{Engine: "sglang", Version: "0.5.23", ModelPath: "/models/ds", GPUs: 8, TP: 8, PP: 1, DP: 8, EP: 4, DType: "auto",
				Quantization: "fp8", KVCacheDType: "fp8_e4m3", KVCacheTokens: 4_000_000, Speculation: "EAGLE", From: []string{"/server_info"}},
			map[string]string{"disable_radix_cache": "true", "chunked_prefill_size": "196608", "speculative_num_steps": "3", "api_key": "[secret]",
				"ssl_keyfile_password": "[secret]", "hf_token": "[secret]", "max_total_num_tokens": "500000"}},
		"SGLang, before": {"sglang", map[string]string{"/get_server_info": `{"model_path":"m","tp_size":1,"dp_size":4,"version":"0.4"}`},
			About{Engine: "sglang", Version: "0.4", ModelPath: "m", GPUs: 4, TP: 1, DP: 4, From: []string{"/get_server_info"}}, nil},
		"a router of prefill and decode": {"sglang", map[string]string{"/get_server_info": disagg},
			About{Engine: "sglang", Version: "0.5.23", GPUs: 4 + 16 + 8, TP: 8, DP: 1, From: []string{"/get_server_info"}}, nil},
		"vLLM": {"vllm", map[string]string{"/version": `{"version":"0.32.0"}`, "/server_info": vllmInfo, "/metrics": vllmCache},
			About{Engine: "vllm", Version: "0.32.0", ModelPath: "/models/l", GPUs: 4, TP: 2, PP: 2, DP: 1, DType: "torch.bfloat16", KVCacheDType: "fp8", KVCacheTokens: 4096,
				Speculation: "{method:ngram,num_speculative_tokens:4}", From: []string{"/server_info?config_format=json", "/metrics"}},
			map[string]string{"enable_prefix_caching": "True", "block_size": "128", "max_model_len": "4096"}},
		"vLLM, as text": {"vllm", map[string]string{"/server_info": vllmText},
			About{Engine: "vllm", ModelPath: "/models/l", GPUs: 8, TP: 4, PP: 1, DP: 2, DType: "torch.bfloat16", KVCacheDType: "auto", From: []string{"/server_info?config_format=json"}},
			map[string]string{"enable_prefix_caching": "True"}},
		"vLLM, as started": {"vllm", map[string]string{"/version": `{"version":"0.32.0"}`, "/metrics": vllmCache},
			About{Engine: "vllm", Version: "0.32.0", KVCacheDType: "fp8", KVCacheTokens: 4096, From: []string{"/metrics"}}, nil},
		"vLLM of two replicas": {"vllm", map[string]string{"/metrics": vllmCache + strings.ReplaceAll(strings.SplitAfter(vllmCache, "\n")[1], `engine="0"`, `engine="1"`)},
			About{Engine: "vllm", DP: 2, KVCacheDType: "fp8", KVCacheTokens: 8192, From: []string{"/metrics"}}, nil},
		"a router, one of whose workers does not say": {"sglang", map[string]string{"/get_server_info": `{"prefill":[{"tp_size":4,"max_total_num_tokens":10}],"decode":[{"tp_size":4}]}`},
			About{Engine: "sglang", GPUs: 8, TP: 4, From: []string{"/get_server_info"}}, nil},
		"behind a gateway": {"a-gateway", map[string]string{"/get_server_info": `{"model_path":"m","tp_size":2,"version":"0.5"}`},
			About{Engine: "unknown", Version: "0.5", ModelPath: "m", GPUs: 2, TP: 2, From: []string{"/get_server_info"}}, nil},
		"llama.cpp": {"llamacpp", map[string]string{"/props": `{"default_generation_settings":{"n_ctx":2048},"total_slots":4,"model_path":"/m.gguf","build_info":"b6000-abc"}`},
			About{Engine: "llama.cpp", Version: "b6000-abc", ModelPath: "/m.gguf", From: []string{"/props"}}, map[string]string{"total_slots": "4"}},
		"vLLM, accepting at a set length": {"vllm", map[string]string{"/server_info": `{"vllm_config":{"speculative_config":{"rejection_sample_method":"synthetic","synthetic_acceptance_length":2.5}}}`},
			About{Engine: "vllm", Speculation: "{rejection_sample_method:synthetic,synthetic_acceptance_length:2.5}", SyntheticLength: 2.5,
				From: []string{"/server_info?config_format=json"}}, nil},
		"nothing":     {"x", nil, About{Engine: "unknown"}, nil},
		"other pages": {"sglang", map[string]string{"/server_info": `{"name":"my server"}`, "/get_server_info": "<html>"}, About{Engine: "sglang"}, nil},
		"odd numbers": {"sglang", map[string]string{"/server_info": `{"model_path":7,"tp_size":-8,"dp_size":"many","version":{}}`},
			About{Engine: "sglang", ModelPath: "7", From: []string{"/server_info"}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			pages := map[string]string{"/v1/models": fmt.Sprintf(`{"data":[{"id":"A","owned_by":%q}]}`, c.owner)}
			for path, body := range c.pages {
				pages[path] = body
			}
			tg := New(server(t, pages).URL, "", "k3y-that-nobody-sees", nil)
			require.NoError(t, tg.Wait(t.Context(), WaitOptions{}))
			got := tg.About
			for k, v := range c.flags {
				assert.Equal(t, v, got.Flags[k], k)
			}
			for _, secret := range []string{"other-key", "pw-pw", "hf_0123", "u:pw"} {
				assert.NotContains(t, fmt.Sprint(got), secret)
			}
			assert.NotContains(t, got.Flags, "last_gen_throughput", "a state is no flag")
			got.Flags = nil
			assert.Equal(t, c.want, got)
			assert.Equal(t, c.want.Version, tg.Version)
		})
	}
}

// A flag is a text of the server's like any other, and there are not too many.
func TestFlagsPassTheGate(t *testing.T) {
	var flags []string
	for i := range 1000 {
		flags = append(flags, fmt.Sprintf(`"cache_%d":"\u001b[2J k3y-that-nobody-sees %s"`, i, strings.Repeat("x", 1000)))
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/models":
			fmt.Fprint(w, `{"data":[{"id":"A","owned_by":"sglang"}]}`)
		case "/server_info":
			fmt.Fprintf(w, `{"model_path":"m",%s}`, strings.Join(flags, ","))
		}
	}))
	defer s.Close()
	tg := New(s.URL, "", "k3y-that-nobody-sees", nil)
	require.NoError(t, tg.Wait(t.Context(), WaitOptions{}))
	assert.Len(t, tg.About.Flags, mostFlags)
	for _, v := range tg.About.Flags {
		assert.True(t, strings.HasPrefix(v, "�[2J [secret] x"), v)
		assert.Less(t, len(v), 400)
	}
}

func TestSyntheticAcceptanceIsRecognised(t *testing.T) {
	for want, a := range map[bool]About{
		true:  {Speculation: "{method:mtp,rejection_sample_method:synthetic,synthetic_acceptance_length:2.5}"},
		false: {Speculation: "{method:mtp,num_speculative_tokens:4}"},
	} {
		assert.Equal(t, want, a.Synthetic())
	}
	assert.True(t, About{Flags: map[string]string{"simulate_acc_len": "3"}}.Synthetic())
	assert.False(t, About{}.Synthetic())
}

func TestAnEngineWithoutAVersion(t *testing.T) {
	assert.Equal(t, "unknown", New("http://h", "m", "", nil).Engine())
	assert.Equal(t, VLLM.Name+" 0.32", (&Server{Dialect: VLLM, Version: "0.32"}).Engine())
}

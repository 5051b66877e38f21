package hint

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
)

// The texts are those of the suite, of the operating system, and of the
// servers (vLLM, SGLang, llama.cpp, TensorRT-LLM) as their sources and issues
// quote them.
func TestAdvice(t *testing.T) {
	for text, want := range map[string]string{
		"no server at http://127.0.0.1:9 after 0s (READY_TIMEOUT); last heard: dial tcp 127.0.0.1:9: connect: connection refused": "start the server",
		"20 of 20 requests failed: POST http://127.0.0.1:9/v1/completions: dial tcp 127.0.0.1:9: connect: connection refused":     "the server has gone",
		`MODEL="gpt-5" is not what the server serves; it lists: m`:                                                                "set MODEL",
		"This model's maximum context length is 2048 tokens. However, you requested 2304 tokens":                                  "longer context",
		"The decoder prompt (length 5000) is longer than the maximum model length of 4096.":                                       "longer context",
		"Requested token count exceeds the model's maximum context length of 4096 tokens.":                                        "longer context",
		"The input (5000 tokens) is longer than the model's context length (4096 tokens).":                                        "longer context",
		"the request exceeds the available context size (4096 tokens), try increasing it":                                         "longer context",
		"isl=8192/osl=1024/conc=4: ISL+OSL is 9216, but m takes 4096 tokens in all":                                               "longer context",
		"ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`":                           "ran out of KV cache",
		"KV cache pool is full. Retract requests.":                                                                                "ran out of KV cache",
		"failed to find a memory slot for batch of size 1":                                                                        "ran out of KV cache",
		"CUDA out of memory. Tried to allocate 2.00 GiB":                                                                          "ran out of KV cache",
		"POST http://h/v1/completions: HTTP 503: The request queue is full.":                                                      "takes no more at once",
		"write b/result.json: write b/.result.json1: no space left on device":                                                     "free some space",
		"batch folder (RESULTS_DIR): mkdir /data/batch_isl1_osl1: permission denied":                                              "a folder that you may write to",
		"results folder (RESULTS_DIR): mkdir /etc/passwd: not a directory":                                                        "a folder that you may write to",
		"GET http://h/v1/models: HTTP 401: the API key is missing or wrong":                                                       "API_KEY",
		"POST http://h/v1/completions: no answer within REQUEST_TIMEOUT":                                                          "raise REQUEST_TIMEOUT",
		"Get \"https://h/v1/models\": tls: failed to verify certificate: x509: certificate signed by unknown authority":           "CA_FILE",
		"dial tcp: lookup gpu-node: no such host":                                                                                 "host name in BASE_URL",
		"dial tcp 10.0.0.1:80: connect: no route to host":                                                                         "firewall",
		"POST http://h/v1/completions: HTTP 404: The model `gpt-5` does not exist.":                                               "set MODEL",
		"POST http://h/v1/completions: HTTP 404: Not Found":                                                                       "ENDPOINT=chat",
		"write b/summary.txt: open b/.summary.txt1: permission denied":                                                            "a folder that you may write to",
		"no server at http://h after 1s (READY_TIMEOUT); last heard: GET http://h/health: HTTP 503: loading model":                "longer with READY_TIMEOUT",
		"no server at http://h after 1s (READY_TIMEOUT); last heard: dial tcp: i/o timeout":                                       "longer with READY_TIMEOUT",
		"no server at http://h after 1s (READY_TIMEOUT); last heard: dial tcp: lookup gpu: no such host":                          "host name in BASE_URL",
		"socket: too many open files":                                                                                             "ulimit -n",
		"this sweep needs about 2h3m more, but go test would kill it in 1m0s: add -timeout 0 (the make targets do)":               "",
		`REQUEST_TIMEOUT="0s" (from the environment): want a duration above 0, such as 90s or 45m`:                                "",
		"score at http://h/v1/completions: connection reset; /generate: HTTP 404: there is no POST /generate":                     "",
		"stream ended after 17 of 1024 tokens":                                                                                    "",
	} {
		if want == "" {
			assert.Equal(t, text, Add(text))
			continue
		}
		assert.Contains(t, Add(text), want, text)
		assert.NotContains(t, Add(text), "\n")
		assert.Equal(t, Add(text), Add(Add(text)), "told once")
	}
}

func TestErrStaysWhatItWas(t *testing.T) {
	err := Err(fmt.Errorf("write x: %w", syscall.ENOSPC))
	assert.ErrorIs(t, err, syscall.ENOSPC)
	assert.ErrorContains(t, err, "free some space")
	plain := errors.New("something else")
	assert.Equal(t, plain, Err(plain))
	assert.NoError(t, Err(nil))
	assert.ErrorIs(t, Err(fs.ErrNotExist), fs.ErrNotExist)
}

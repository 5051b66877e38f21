package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/hint"
)

// The texts are those of the servers (vLLM, SGLang, llama.cpp, TensorRT-LLM,
// nginx) as their sources and issues quote them.
func TestAdviceForAnswers(t *testing.T) {
	for _, c := range []struct {
		status     int
		path, says string
		want       string // a part of the advice
	}{
		{400, "/v1/completions", "This model's maximum context length is 2048 tokens. However, you requested 2304 tokens", "longer context"},
		{400, "/v1/completions", "The decoder prompt (length 5000) is longer than the maximum model length of 4096.", "longer context"},
		{400, "/v1/completions", "Requested token count exceeds the model's maximum context length of 4096 tokens.", "longer context"},
		{400, "/generate", "The input (5000 tokens) is longer than the model's context length (4096 tokens).", "longer context"},
		{400, "/v1/completions", "the request exceeds the available context size (4096 tokens), try increasing it", "longer context"},
		{500, "/v1/completions", "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`", "ran out of KV cache"},
		{0, "/v1/completions", "KV cache pool is full. Retract requests.", "ran out of KV cache"},
		{500, "/v1/completions", "failed to find a memory slot for batch of size 1", "ran out of KV cache"},
		{0, "/v1/completions", "CUDA out of memory. Tried to allocate 2.00 GiB", "ran out of KV cache"},
		{503, "/v1/completions", "The request queue is full.", "takes no more at once"},
		{429, "/v1/completions", "no reason given", "takes no more at once"},
		{401, "/v1/models", "the API key is missing or wrong", "API_KEY"},
		{403, "/v1/models", "Forbidden", "API_KEY"},
		{407, "/v1/completions", "Proxy Authentication Required", "needs no proxy"},
		{404, "/v1/completions", "The model `gpt-5` does not exist.", "set MODEL"},
		{404, "/v1/completions", "Not Found", "ENDPOINT=chat"},
		{404, "/v1/chat/completions", "Not Found", "ENDPOINT=completions"},
		{413, "/v1/completions", "<html>413 Request Entity Too Large</html>", "client_max_body_size"},
		{502, "/v1/completions", "Bad Gateway", "the server behind it"},
		{500, "/v1/completions", "Internal Server Error", "log says why"},
		{404, "/tokenize", "Not Found", ""},
		{400, "/v1/completions", "temperature: must be above 0", "set TEMPERATURE to what the server takes"},
		{400, "/v1/chat/completions", "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "set MAX_TOKENS_KEY=max_completion_tokens"},
		{422, "/v1/completions", "Extra inputs are not permitted: max_tokens", "set MAX_TOKENS_KEY to what the server calls"},
		{422, "/v1/completions", "Extra inputs are not permitted: stream_options", `EXTRA_BODY='{"stream_options":null}'`},
		{400, "/v1/completions", "body.ignore_eos: unknown field", `EXTRA_BODY='{"ignore_eos":null}'`},
		{400, "/v1/completions", "'max_tokens' is too large: 9000. This model's maximum context length is 4096 tokens", LongerContext},
		{500, "/v1/completions", "max_tokens", itsLog},
	} {
		err := AdviseAnswer(errors.New(c.says), c.status, c.path, c.says)
		if assert.EqualError(t, err, c.says); c.want == "" {
			assert.Empty(t, hint.For(err), c.says)
			continue
		}
		assert.Contains(t, hint.For(err), c.want, c.says)
	}
}

func TestAdviceForConnections(t *testing.T) {
	dial := func(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }
	for _, c := range []struct {
		err  error
		want string // a part of the advice
	}{
		{dial(os.NewSyscallError("connect", syscall.ECONNREFUSED)), "the server has gone"},
		{dial(os.NewSyscallError("connect", syscall.EHOSTUNREACH)), "firewall"},
		{dial(os.NewSyscallError("connect", syscall.ENETUNREACH)), "firewall"},
		{dial(os.ErrDeadlineExceeded), "firewall"},
		{dial(&net.DNSError{Err: "no such host", Name: "gpu-node", IsNotFound: true}), "host name in BASE_URL"},
		{dial(&net.DNSError{Err: "server misbehaving", Name: "gpu-node", IsTemporary: true}), "name server"},
		{dial(os.NewSyscallError("socket", syscall.EMFILE)), "ulimit -n"},
		{dial(os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)), "lower CONC"},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, "raise REQUEST_TIMEOUT"},
		{context.DeadlineExceeded, "raise REQUEST_TIMEOUT"},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "why it closed the connection"},
		{io.ErrUnexpectedEOF, "why it closed the connection"},
		{context.Canceled, ""},
		{errors.New("stream ended after 17 of 1024 tokens"), ""},
	} {
		err := AdviseNetwork(fmt.Errorf("POST http://h/v1/completions: %w", c.err))
		if c.want == "" {
			assert.Empty(t, hint.For(err), err)
			continue
		}
		assert.Contains(t, hint.For(err), c.want, err)
	}
	assert.NoError(t, AdviseNetwork(nil))
}

// Two messages never send the user to each other: that the other endpoint may be
// tried is said only where it is there.
func TestTheOtherEndpointIsNamedOnlyWhereItIs(t *testing.T) {
	for name, c := range map[string]struct {
		there, ask string
		want       string
	}{
		"chat alone":              {"/v1/chat/completions", "/v1/completions", "the server has no completions endpoint: try ENDPOINT=chat"},
		"completions alone":       {"/v1/completions", "/v1/chat/completions", "the server has no chat endpoint: try ENDPOINT=completions"},
		"neither, asked for text": {"/v1/embeddings", "/v1/completions", "the server has neither"},
		"neither, asked to chat":  {"/v1/embeddings", "/v1/chat/completions", "the server has neither"},
	} {
		t.Run(name, func(t *testing.T) {
			tg, _ := script(t, map[string][]string{"/v1/models": {"200 {}"}, c.there: {"422 want messages"}})
			err := tg.Post(t.Context(), c.ask, map[string]any{}, nil)
			assert.Contains(t, hint.For(tg.Explain(t.Context(), err)), c.want)
		})
	}
}

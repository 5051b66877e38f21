package load

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"inferbench/harness/server"
)

// asked is what a fake server got.
type asked struct {
	Model     string          `json:"model"`
	Prompt    json.RawMessage `json:"prompt"`
	MaxTokens int             `json:"max_tokens"`
	Stream    bool            `json:"stream"`
	IgnoreEOS bool            `json:"ignore_eos"`
	Tokens    []int32         `json:"tokens"`
	Options   struct {
		IncludeUsage bool `json:"include_usage"`
		Continuous   bool `json:"continuous_usage_stats"`
	} `json:"stream_options"`
	Messages []struct {
		Content string `json:"content"`
	} `json:"messages"`
	number int64 // of the request at this server, from 1
}

func (a asked) ids() []int32 {
	var ids []int32
	json.Unmarshal(a.Prompt, &ids)
	return ids
}

// fake is a server whose every answer is written by the test.
func fake(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, a asked)) *server.Server {
	t.Helper()
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := asked{number: n.Add(1)}
		b, _ := io.ReadAll(r.Body)
		if err := json.Unmarshal(b, &a); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, r, a)
	}))
	t.Cleanup(s.Close)
	return server.New(s.URL, "m", "k3y", nil)
}

// stream answers as vLLM does: a chunk a token, usage, [DONE].
func stream(w http.ResponseWriter, tokens, prompt int, pause time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	for i := range tokens {
		reason := "null"
		if i == tokens-1 {
			reason = `"length"`
		}
		io.WriteString(w, event(" a", reason))
		w.(http.Flusher).Flush()
		time.Sleep(pause)
	}
	io.WriteString(w, usage(prompt, tokens)+"data: [DONE]\n\n")
}

func event(text, reason string) string {
	return fmt.Sprintf("data: {\"id\":\"cmpl-1\",\"object\":\"text_completion\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"text\":%q,\"logprobs\":null,\"finish_reason\":%s}]}\n\n", text, reason)
}

func usage(in, out int) string {
	return fmt.Sprintf("data: {\"id\":\"cmpl-1\",\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"total_tokens\":%d,\"completion_tokens\":%d}}\n\n", in, in+out, out)
}

// repeat is n events of a token.
func repeat(n int) string { return strings.Repeat(event(" a", "null"), n) }

// raw is keys of an extra body.
type raw = map[string]json.RawMessage

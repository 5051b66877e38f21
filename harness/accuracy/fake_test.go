package accuracy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"inferbench/harness/server"
)

// fake is a server at the socket whose tokens are bytes and whose
// log-probabilities are a fixed function of a token and the one before it.
type fake struct {
	noTokenize, noPrefix   bool
	alwaysBOS              bool                                                 // /tokenize adds a BOS, whatever it was told
	tokenize               string                                               // what /tokenize answers in place of tokens: status and body
	completions, generate  func(ids []int32, body map[string]any) (int, string) // status and body; nil answers properly
	before                 func(w http.ResponseWriter, r *http.Request) bool    // true: answered
	inFlight, most, scores atomic.Int32
}

const fakeBOS = 256

func fakeLogprob(before, token int32) float64 { return -1 - float64((before*31+token*17)%29)/10 }

func fakeScore(ids []int32) (out []any) {
	out = []any{nil}
	for i := 1; i < len(ids); i++ {
		out = append(out, fakeLogprob(ids[i-1], ids[i]))
	}
	return append(out, -0.5) // the generated one
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.before != nil && f.before(w, r) {
		return
	}
	var in struct {
		Prompt  json.RawMessage `json:"prompt"`
		Special bool            `json:"add_special_tokens"`
		IDs     []int32         `json:"input_ids"`
	}
	body := map[string]any{}
	var raw json.RawMessage
	if r.Method == http.MethodPost {
		_ = json.NewDecoder(r.Body).Decode(&raw)
		_ = json.Unmarshal(raw, &in)
		_ = json.Unmarshal(raw, &body)
	}
	answer := func(v any) { _ = json.NewEncoder(w).Encode(v) }
	custom := func(how func([]int32, map[string]any) (int, string), ids []int32) bool {
		if how == nil {
			return false
		}
		status, text := how(ids, body)
		if status == 0 {
			return false
		}
		w.WriteHeader(status)
		fmt.Fprint(w, text)
		return true
	}
	switch r.URL.Path {
	case "/tokenize":
		if f.noTokenize {
			http.NotFound(w, r)
			return
		}
		if status, text, ok := strings.Cut(f.tokenize, " "); ok {
			code, _ := strconv.Atoi(status)
			w.WriteHeader(code)
			fmt.Fprint(w, text)
			return
		}
		var text string
		_ = json.Unmarshal(in.Prompt, &text)
		ids := []int32{}
		if f.alwaysBOS || in.Special && !f.noPrefix {
			ids = append(ids, fakeBOS)
		}
		for _, b := range []byte(text) {
			ids = append(ids, int32(b))
		}
		answer(map[string]any{"tokens": ids, "count": len(ids)})
	case "/v1/completions":
		for n, most := f.inFlight.Add(1), f.most.Load(); n > most && !f.most.CompareAndSwap(most, n); {
			most = f.most.Load()
		}
		defer f.inFlight.Add(-1)
		f.scores.Add(1)
		var ids []int32
		_ = json.Unmarshal(in.Prompt, &ids)
		if custom(f.completions, ids) {
			return
		}
		answer(map[string]any{"choices": []any{map[string]any{"index": 0, "logprobs": map[string]any{"token_logprobs": fakeScore(ids)}}},
			"usage": map[string]any{"prompt_tokens": len(ids), "completion_tokens": 1}})
	case "/generate":
		if custom(f.generate, in.IDs) {
			return
		}
		var entries []any
		for i, lp := range fakeScore(in.IDs)[:len(in.IDs)] {
			entries = append(entries, []any{lp, in.IDs[i], nil})
		}
		answer(map[string]any{"text": "x", "meta_info": map[string]any{"input_token_logprobs": entries}})
	default:
		http.NotFound(w, r)
	}
}

// serve starts f and is a target for it, whose retries do not wait.
func serve(t *testing.T, f *fake) *server.Server {
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return server.New(s.URL, "fake", "", nil)
}

var quick = server.Retry{Tries: 3, First: time.Millisecond, Longest: time.Millisecond}

func wikitextAt(file string) map[string]string { return map[string]string{"WIKITEXT": file} }

func perplexity(r *Result) *Metrics { return r.Measured.(*Metrics) }

func exact(r *Result) *ExactMatch { return r.Measured.(*ExactMatch) }

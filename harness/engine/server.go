package engine

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// handler returns the engine's HTTP face.
func (e *Engine) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {})
	mux.HandleFunc("GET /v1/models", e.models)
	mux.HandleFunc("GET /metrics", e.metrics)
	mux.HandleFunc("GET /inferbench/info", e.info)
	mux.HandleFunc("GET /inferbench/trace", e.traces)
	mux.HandleFunc("DELETE /inferbench/trace", e.clearTraces)
	mux.HandleFunc("GET /inferbench/faults", e.getFaults)
	mux.HandleFunc("PUT /inferbench/faults", e.putFaults)
	mux.HandleFunc("GET /inferbench/noise", e.getNoise)
	mux.HandleFunc("PUT /inferbench/noise", e.putNoise)
	mux.HandleFunc("POST /v1/completions", e.completions)
	mux.HandleFunc("POST /v1/chat/completions", e.chat)
	mux.HandleFunc("POST /start_profile", e.startProfile) // as both have it
	mux.HandleFunc("POST /stop_profile", e.stopProfile)
	if e.cfg.Dialect != SGLang {
		mux.HandleFunc("GET /version", e.version)
		mux.HandleFunc("POST /reset_prefix_cache", e.flushCache)
		if e.cfg.Dialect == VLLM { // SGLang has another page under that name
			mux.HandleFunc("GET /server_info", e.vllmConfig)
		}
		mux.HandleFunc("GET /tokenizer_info", e.tokenizerInfo)
	}
	if e.cfg.Dialect == SGLang { // where both are offered, the answers are vLLM's
		for _, at := range []string{"", "/v1"} {
			mux.HandleFunc("POST "+at+"/tokenize", e.tokenizeAll)
			mux.HandleFunc("POST "+at+"/detokenize", e.detokenizeAll)
		}
	} else {
		mux.HandleFunc("POST /tokenize", e.tokenize)
		mux.HandleFunc("POST /detokenize", e.detokenize)
	}
	if e.cfg.Dialect != VLLM {
		mux.HandleFunc("POST /generate", e.generate)
		mux.HandleFunc("GET /get_model_info", e.modelInfo)
		mux.HandleFunc("GET /model_info", e.modelInfo) // its newer name
		mux.HandleFunc("GET /get_server_info", e.serverInfo)
		mux.HandleFunc("GET /server_info", e.serverInfo)
		mux.HandleFunc("GET /health_generate", e.healthGenerate)
		mux.HandleFunc("GET /flush_cache", e.flushCache)
		mux.HandleFunc("POST /flush_cache", e.flushCache)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if e.cfg.Dialect == VLLM {
			notThere(mux, w, r)
			return
		}
		writeError(w, &apiError{http.StatusNotFound, "NotFoundError", "there is no " + r.Method + " " + r.URL.Path, ""})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if id := r.Header.Get("X-Request-Id"); id != "" {
			w.Header().Set("X-Request-Id", id)
		}
		switch {
		case e.loading():
			w.Header().Set("Retry-After", "1")
			writeError(w, &apiError{http.StatusServiceUnavailable, "ServiceUnavailableError", "the model is still loading", ""})
		case !e.authorized(r):
			writeError(w, &apiError{http.StatusUnauthorized, "Unauthorized", "the API key is missing or wrong", ""})
		default:
			mux.ServeHTTP(w, r)
		}
	})
}

// authorized reports whether a request carries the key, where one is asked.
// As with the real servers, what only tells whether the server lives asks none.
func (e *Engine) authorized(r *http.Request) bool {
	switch r.URL.Path {
	case "/health", "/health_generate", "/version", "/metrics":
		return true
	}
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return e.cfg.APIKey == "" || ok && subtle.ConstantTimeCompare([]byte(key), []byte(e.cfg.APIKey)) == 1
}

func (e *Engine) models(w http.ResponseWriter, _ *http.Request) {
	m := map[string]any{"id": e.cfg.Model, "object": "model", "created": e.born.Unix(), "owned_by": "inferbench",
		"root": e.cfg.Model, "parent": nil, "max_model_len": e.profile.MaxModelLen}
	if e.cfg.Dialect == VLLM {
		m["permission"] = permission(e.born.Unix())
	} else {
		m["meta"] = map[string]any{"n_vocab": vocab, "n_ctx_train": e.profile.MaxModelLen, "profile": e.profile.Name}
	}
	answer(w, map[string]any{"object": "list", "data": []any{m}})
}

func (e *Engine) version(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]string{"version": Version})
}

func answer(w http.ResponseWriter, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		writeError(w, &apiError{http.StatusInternalServerError, "InternalServerError", err.Error(), ""})
		return
	}
	writeJSON(w, http.StatusOK, b)
}

// checkModel refuses a model that is not served; none named means the one.
func (e *Engine) checkModel(name string) *apiError {
	if name == "" || name == e.cfg.Model {
		return nil
	}
	return &apiError{http.StatusNotFound, "NotFoundError", "The model " + strconv.Quote(name) + " does not exist.",
		"model"}
}

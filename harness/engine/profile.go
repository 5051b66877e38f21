package engine

import "net/http"

// startProfile is vLLM's and SGLang's POST /start_profile. What it would record is
// recorded always, at GET /inferbench/trace.
func (e *Engine) startProfile(w http.ResponseWriter, _ *http.Request) {
	if !e.profiling.CompareAndSwap(false, true) {
		writeError(w, badRequest("", "the profiler runs already: POST /stop_profile ends it"))
		return
	}
	_, _ = w.Write([]byte("Start profiling.\n"))
}

// stopProfile is POST /stop_profile.
func (e *Engine) stopProfile(w http.ResponseWriter, _ *http.Request) {
	if !e.profiling.CompareAndSwap(true, false) {
		writeError(w, badRequest("", "the profiler does not run: POST /start_profile starts it"))
		return
	}
	_, _ = w.Write([]byte("Stop profiling. The trace is at /inferbench/trace.\n"))
}

package engine

import "net/http"

// The engine's own endpoints: what no real server has. They lie under
// /inferbench/, and ask for the API key like all others.

// info is GET /inferbench/info: the profile, its limits and its cost model.
func (e *Engine) info(w http.ResponseWriter, _ *http.Request) {
	answer(w, map[string]any{"version": Version, "profile": e.profile, "dialect": e.cfg.Dialect, "uptime_ns": e.now()})
}

// traces is GET /inferbench/trace, with ?id= for one request's.
func (e *Engine) traces(w http.ResponseWriter, r *http.Request) {
	answer(w, map[string]any{"clock": "ns since the engine's start, monotonic", "start_unix_ns": e.born.UnixNano(),
		"requests": e.trace.find(r.URL.Query().Get("id"))})
}

func (e *Engine) clearTraces(w http.ResponseWriter, _ *http.Request) {
	e.trace.clear()
	w.WriteHeader(http.StatusNoContent)
}

// getFaults is GET /inferbench/faults: the rules in force, how often each
// struck, and what there is.
func (e *Engine) getFaults(w http.ResponseWriter, _ *http.Request) {
	f := e.faults.Load()
	f.mu.Lock()
	struck := map[string]int{}
	for k, v := range f.struck {
		struck[k] = v
	}
	f.mu.Unlock()
	known := map[string]string{}
	for _, n := range faultNames {
		known[n.name] = n.does
	}
	answer(w, map[string]any{"faults": f.text, "struck": struck, "known": known})
}

// putFaults is PUT /inferbench/faults: other rules from now on.
func (e *Engine) putFaults(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Faults string `json:"faults"`
	}
	_, bad := readBody(r, &in)
	if bad == nil {
		if err := e.SetFaults(in.Faults); err != nil {
			bad = badRequest("faults", "%v", err)
		}
	}
	if bad != nil {
		writeError(w, bad)
		return
	}
	e.getFaults(w, r)
}

type noise struct {
	All    float64 `json:"noise"`
	Decode float64 `json:"decode_noise"`
}

// getNoise is GET /inferbench/noise: standard deviations in nats.
func (e *Engine) getNoise(w http.ResponseWriter, _ *http.Request) {
	v := e.views.Load()
	answer(w, noise{v.prefill.Sigma(), v.decode.Sigma() - v.prefill.Sigma()})
}

// putNoise is PUT /inferbench/noise.
func (e *Engine) putNoise(w http.ResponseWriter, r *http.Request) {
	var in noise
	_, bad := readBody(r, &in)
	if bad == nil && !(in.All >= 0 && in.Decode >= 0 && in.All+in.Decode <= maxNoise) {
		bad = badRequest("noise", "noise %g and decode_noise %g: want 0 or more, and at most %d together", in.All, in.Decode,
			maxNoise)
	}
	if bad != nil {
		writeError(w, bad)
		return
	}
	e.SetNoise(in.All, in.Decode)
	e.getNoise(w, r)
}

// maxNoise is where no trace of a model is left.
const maxNoise = 100

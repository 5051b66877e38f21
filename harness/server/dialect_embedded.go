package server

import "context"

// Embedded is the suite's own engine, reached over its socket like any other.
// Its endpoints are vLLM's and SGLang's.
var Embedded = &Dialect{
	Name:     "embedded",
	OwnedBy:  []string{"inferbench"},
	SaltKey:  "cache_salt",
	TiersKey: "return_cached_tokens_details",
	Describe: (*Server).ownProfile,
	Profiler: &Profiler{Needs: "nothing", Trace: "the engine's record of every request, GET /inferbench/trace"},
}

func (t *Server) ownProfile(ctx context.Context) {
	t.Loopback = true
	var info struct{ Profile struct{ Name string } }
	if t.Get(ctx, "/inferbench/info", &info) == nil {
		t.Profile = t.name(info.Profile.Name)
	}
}

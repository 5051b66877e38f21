package server

import "slices"

// OpenAI is the API as OpenAI wrote it down, and what a server is taken to
// speak that is not recognised. Both ways of scoring are tried, since a router
// may hide whose server it is.
var OpenAI = &Dialect{
	Resets: slices.Concat(sglangResets, vllmResets),
	Name:   "unknown",
	Ways:   []Way{echo, generate},
	Pages:  slices.Concat(sglangPages, vllmPages),
	Profiler: &Profiler{Needs: "a profiler (vLLM: --profiler-config, SGLang has one always)",
		Trace: "where the server was told to write it, on its machine"},
}

var echo = Way{Path: "/v1/completions", score: (*Scorer).echo, greedy: (*Scorer).greedyCompletion}

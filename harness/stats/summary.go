package stats

import (
	"time"
)

// Summary is the figures of one run, flat, under the keys of a result file.
// Every number in it is finite; a figure that does not exist is nil (JSON
// null), never a zero that looks measured.
type Summary struct {
	Successful        int      `json:"successful_requests"`
	Failed            int      `json:"failed_requests"`
	Duration          float64  `json:"benchmark_duration"` // s
	InputTokens       *int64   `json:"total_input_tokens"` // of successful requests, as all below; null where nobody counted them
	OutputTokens      int64    `json:"total_generated_tokens"`
	RequestThroughput float64  `json:"request_throughput"`     // req/s
	OutputThroughput  float64  `json:"output_throughput"`      // tok/s
	TotalThroughput   *float64 `json:"total_token_throughput"` // tok/s, input and output
	TputPerGPU        *float64 `json:"tput_per_gpu"`           // tok/s/GPU, of TotalThroughput
	Interactivity     *float64 `json:"interactivity"`          // tok/s/user: 1000 / median TPOT

	// A latency's statistics lie flat in a result file: mean_ttft_ms,
	// median_ttft_ms, … p99.9_ttft_ms, max_ttft_ms.
	TTFT Dist `json:"*_ttft_ms"`
	TPOT Dist `json:"*_tpot_ms"`
	ITL  Dist `json:"*_itl_ms"`
	E2EL Dist `json:"*_e2el_ms"`

	// ITLPerToken spreads each gap between chunks over the tokens that the later
	// one carried. It is absent where the server does not tell how many, and where
	// every chunk carried one: then it is ITL.
	ITLPerToken *Dist `json:"*_itl_per_token_ms,omitempty"`

	// ITLKept says how the ITL percentiles were taken: "exact", or "histogram"
	// where a run had more gaps than are kept whole (see [Collector]).
	ITLKept string `json:"itl_percentiles"`

	Tokens // who counted them, and how they came
	Cache  // how much of the prompts the server had already

	// Speculation is null where there is none, or the server does not tell.
	// StepsPerGPU are decode steps a second and GPU: output throughput over the
	// acceptance length, to compare servers whose drafts differ.
	Speculation *Speculation `json:"spec_decode"`
	StepsPerGPU *float64     `json:"steps_per_s_per_gpu,omitempty"`

	Power *Power `json:"power,omitempty"` // absent where nothing was there to measure it with

	*Wait    // where requests were scheduled: how long they waited in the client, part of TTFT and E2EL
	*Goodput // where an SLO was given

	*Sessions // where requests are turns of sessions

	// Steady is the part of the run with all requests in flight; null where
	// there is none to speak of.
	Steady *Steady `json:"steady_state"`

	// Errors are the kinds of failure by their frequency, at most [MaxErrors];
	// OtherErrors are the requests that failed for other reasons than these.
	Errors      Failures     `json:"errors,omitempty"`
	OtherErrors *OtherErrors `json:"other_errors,omitempty"`
}

// Tokens says whose counts a summary rests on, and how the tokens came.
type Tokens struct {
	// TokensFrom says who counted the output tokens: "usage" (the server),
	// "chunks" (the client, where the server sends no usage), or "both".
	TokensFrom string `json:"token_counts_from"`

	// InputFrom says who counted the input tokens: "sent" (the client, which made
	// the prompts or measured them), "usage" (the server), or "both"; empty where
	// nobody did.
	InputFrom string `json:"input_tokens_from,omitempty"`

	// ServerInputTokens are the input tokens that the server counts; null where it
	// does not count them in every answer. InputOffset is by how much each of its
	// counts is above what was sent: a BOS token, a chat's template.
	ServerInputTokens *int64 `json:"server_input_tokens"`
	InputOffset       *int   `json:"input_token_offset"`

	PerChunk *float64 `json:"tokens_per_chunk"` // mean
	Untimed  int64    `json:"untimed_tokens"`   // that came in no chunk of their own
}

// Cache says how much of the prompts came from the server's prefix cache.
type Cache struct {
	CachedTokens *int64             `json:"cached_tokens"`                      // of input; null where the server does not tell
	CachedFrom   string             `json:"cached_tokens_from,omitempty"`       // "usage", of each request, or "metrics", counters over the run
	HitRate      *float64           `json:"cache_hit_rate"`                     // share of the input tokens
	BySource     map[string]float64 `json:"cache_hit_rate_by_source,omitempty"` // likewise, by where they were: device, host, storage, external
	Reset        string             `json:"cache_reset,omitempty"`              // before the run: "done", "not supported" or "off"
}

// Wait is how long past their scheduled times requests were sent: they waited
// for a free slot, or the client was late. It is the part of TTFT and E2EL
// that is not the server's.
type Wait struct {
	Mean   *float64 `json:"mean_client_wait_ms"`
	Median *float64 `json:"median_client_wait_ms"`
	P99    *float64 `json:"p99_client_wait_ms"`
	Max    *float64 `json:"max_client_wait_ms"`
}

// Run is what a summary is taken of.
type Run struct {
	Timings  []Timing
	Duration time.Duration
	GPUs     int        // throughput is divided by it; less than one counts as one
	Folded   *Histogram // of the gaps between tokens, where the timings do not hold them
	SLO      SLO        // for goodput; may be nil

	FoldedTokens *Histogram // of the gaps a token, likewise
	InputOffset  Offset     // see [Tokens]
	Sessions     []Session  // by [Turn.Session]; nil where requests are of none
	WarmUps      int        // requests of sessions before the clock started
}

// Summary takes the figures.
func (r Run) Summary() Summary {
	var s Summary
	r.latencies(&s)
	r.throughput(&s)
	s.Tokens, s.ITLPerToken = r.tokens(), r.perToken()
	s.Cache = r.cache(s.InputTokens)
	timed := Timed(r.Timings)
	s.Goodput = goodput(timed, r.SLO, s.Duration*float64(len(timed))/float64(max(len(r.Timings), 1)))
	s.Sessions = r.sessions()
	s.Steady = steady(r.Timings, r.Duration, r.GPUs)
	s.Errors = FailuresOf(r.Timings)
	if len(s.Errors) > MaxErrors {
		rest := s.Errors[MaxErrors:]
		s.Errors, s.OtherErrors = s.Errors[:MaxErrors], &OtherErrors{len(rest), rest.Requests()}
	}
	return s
}

// latencies counts the requests and takes the latencies of those that succeeded and
// are not apart ([Timing.Apart]).
func (r Run) latencies(s *Summary) {
	var (
		ttft, e2el, waits []time.Duration
		tpot              []float64 // ns
		gaps              []Gaps
		nGaps             int
		scheduled         bool
	)
	for _, t := range r.Timings {
		if t.Err != "" {
			s.Failed++
			continue
		}
		s.Successful++
		s.OutputTokens += int64(t.OutputTokens)
		if t.Apart {
			continue
		}
		ttft = append(ttft, t.TTFT())
		e2el = append(e2el, t.E2EL())
		if t.HasTPOT() {
			tpot = append(tpot, t.tpot())
		}
		gaps = append(gaps, t.ITL)
		nGaps += t.ITL.Len()
		waits = append(waits, t.Waited)
		scheduled = scheduled || t.Waited > 0
	}
	s.TTFT, s.TPOT, s.E2EL = DistOf(ttft), DistOf(tpot), DistOf(e2el)
	s.ITL, s.ITLKept = distOfGaps(gaps, nGaps), "exact"
	if r.Folded != nil {
		s.ITL, s.ITLKept = r.Folded.dist(), "histogram"
	}
	if m := s.TPOT.Median; m != nil && *m > 0 {
		v := 1000 / *m
		s.Interactivity = &v
	}
	if scheduled {
		w := DistOf(waits)
		s.Wait = &Wait{w.Mean, w.Median, w.P99, w.Max}
	}
}

// throughput takes the duration and the rates, of the requests that [Run.latencies]
// has counted.
func (r Run) throughput(s *Summary) {
	s.InputTokens = inputTokens(r.Timings)
	sec := r.Duration.Seconds()
	if sec > 0 {
		s.Duration = sec
		s.RequestThroughput = float64(s.Successful) / sec
		s.OutputThroughput = float64(s.OutputTokens) / sec
	}
	if s.InputTokens != nil {
		total := 0.0
		if sec > 0 {
			total = float64(*s.InputTokens+s.OutputTokens) / sec
		}
		perGPU := total / float64(max(r.GPUs, 1))
		s.TotalThroughput, s.TputPerGPU = &total, &perGPU
	}
}

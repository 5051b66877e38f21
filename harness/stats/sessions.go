package stats

import (
	"maps"
	"slices"
	"time"
)

// Turn is a request's place in a session.
type Turn struct {
	Session int `json:"session"` // in order of their begin, from 0
	Stream  int `json:"stream"`  // 0 is the session's root, others are its sub-agents
	Number  int `json:"number"`  // among its stream's turns, from 1

	// Blocks are those of the prompt, and Hits how many of its leading ones an
	// infinite prefix cache would hold; of a text, tokens. Both are 0 where nobody knows.
	Blocks int `json:"blocks"`
	Hits   int `json:"hits"`

	Out int `json:"out,omitempty"` // tokens of the answer, as recorded; 0 where nobody knows
}

// Session is how one session went.
type Session struct {
	ID           string // under which it was sent
	Trace        string // that it is a replay of
	Lane         int
	Began, Ended time.Duration
	Whole        bool // it was begun at its first turn, not in its middle
	Done, Failed bool // to its end; by a turn that failed. Neither: the run's end cut it off
}

// Sessions are the figures of a run whose requests are turns of sessions.
type Sessions struct {
	Completed int      `json:"sessions_completed"`
	Failed    int      `json:"sessions_failed"`           // a turn of theirs failed
	PerHour   *float64 `json:"sessions_per_hour_per_gpu"` // completed; null where none was
	Times     Times    `json:"session_completion_s"`      // from the first turn to the last answer, of those completed and begun at their first turn
	Turns     int      `json:"turns_completed"`
	TurnsLost int      `json:"turns_failed"`
	WarmUps   int      `json:"warmup_turns"`               // sent before the clock started, and in no other figure
	InFlight  Peak     `json:"requests_in_flight"`         // over the run: a session has as many as it has sub-agents at work
	InputRate *float64 `json:"input_throughput"`           // input tokens a second; null where nobody counted them
	Uncached  *float64 `json:"uncached_input_throughput"`  // those of them that the server computed; null where it does not tell
	Hits      *float64 `json:"theoretical_cache_hit_rate"` // share of blocks that an infinite cache would hold; null where there are no blocks

	// The speed that a user sees, in tokens a second, with the time to the first
	// token in it and without: see [Speeds].
	E2ENormIntvty Speeds `json:"e2e_norm_intvty"`
	Intvty        Speeds `json:"intvty"`

	ByTurn    []TurnFigures    `json:"ttft_by_turn"`
	BySession []SessionFigures `json:"sessions"`
}

// Times is how long sessions took, in seconds; null where none was completed.
type Times struct {
	Mean *float64 `json:"mean"`
	P50  *float64 `json:"p50"`
	P90  *float64 `json:"p90"`
	P99  *float64 `json:"p99"`
}

// Speeds is the speed that a user sees, in tokens a second. Each is 1 over that
// statistic of the seconds a token takes, so that the percentiles are of the slow
// tail: 90 % of requests were at least as fast as P90 (intvty and e2e_norm_intvty of
// InferenceX).
type Speeds struct {
	Mean *float64 `json:"mean"`
	P50  *float64 `json:"p50"`
	P75  *float64 `json:"p75"`
	P90  *float64 `json:"p90"`
	P95  *float64 `json:"p95"`
}

// Peak is the number of requests in flight.
type Peak struct {
	Mean *float64 `json:"mean"`
	Max  int      `json:"max"`
}

// TurnFigures are those of all streams' turns of one number.
type TurnFigures struct {
	Turn     int      `json:"turn"` // from 1
	Requests int      `json:"requests"`
	P50      float64  `json:"p50_ms"`
	P99      float64  `json:"p99_ms"`
	Cached   *float64 `json:"cached_share"` // of the input tokens; null where the server does not tell
}

// SessionFigures are those of one session.
type SessionFigures struct {
	ID      string   `json:"id"`
	Trace   string   `json:"trace"`
	Lane    int      `json:"lane"`
	BeganS  float64  `json:"began_s"`
	EndedS  float64  `json:"ended_s"`
	Status  string   `json:"status"` // done, failed, or cut off: by the end of the run
	Turns   int      `json:"turns"`  // that succeeded
	Input   int64    `json:"input_tokens"`
	Output  int64    `json:"output_tokens"`
	Hits    *float64 `json:"theoretical_cache_hit_rate"`
	HitRate *float64 `json:"cache_hit_rate"`
}

// tally adds up requests.
type tally struct {
	turns                 int
	input, output, cached int64
	blocks, hits          int
	told, unknown         bool
}

func (a *tally) add(t *Timing) {
	a.turns++
	a.input, a.output = a.input+int64(t.InputTokens), a.output+int64(t.OutputTokens)
	a.cached, a.told = a.cached+int64(t.Prompt.Cached), a.told || t.Prompt.CachedTold
	a.unknown = a.unknown || t.Prompt.Unknown
	if t.Turn != nil {
		a.blocks, a.hits = a.blocks+t.Turn.Blocks, a.hits+t.Turn.Hits
	}
}

func (a *tally) hitRate() *float64 { return share(a.hits, a.blocks) }

// cachedShare is null where the server told of no request, or nobody counted.
func (a *tally) cachedShare() *float64 {
	if !a.told || a.unknown || a.cached > a.input {
		return nil
	}
	return share(a.cached, a.input)
}

func share[N int | int64](part, of N) *float64 {
	if of == 0 {
		return nil
	}
	v := float64(part) / float64(of)
	return &v
}

// sessions takes the figures of a run of sessions; nil where it is none.
func (r Run) sessions() *Sessions {
	if r.Sessions == nil {
		return nil
	}
	s := &Sessions{WarmUps: r.WarmUps}
	var all tally
	each := make([]tally, len(r.Sessions))
	turns := map[int][]*Timing{}
	for i := range r.Timings {
		t := &r.Timings[i]
		if t.Err != "" {
			s.TurnsLost++
			continue
		}
		all.add(t)
		if t.Turn != nil {
			each[t.Turn.Session].add(t)
			turns[t.Turn.Number] = append(turns[t.Turn.Number], t)
		}
	}
	s.Turns, s.Hits = all.turns, all.hitRate()
	s.InFlight = r.inFlight()
	if sec := r.Duration.Seconds(); sec > 0 {
		if !all.unknown {
			s.InputRate = share(all.input, 1)
			*s.InputRate /= sec
		}
		if cached := all.cachedShare(); cached != nil {
			v := float64(all.input-all.cached) / sec
			s.Uncached = &v
		}
	}
	r.completed(s, each)
	s.Intvty, s.E2ENormIntvty = r.speeds()
	for _, n := range slices.Sorted(maps.Keys(turns)) {
		s.ByTurn = append(s.ByTurn, figuresOf(n, turns[n]))
	}
	return s
}

// completed fills in what is of whole sessions.
func (r Run) completed(s *Sessions, each []tally) {
	var times []float64
	for i, v := range r.Sessions {
		f := SessionFigures{ID: v.ID, Trace: v.Trace, Lane: v.Lane, BeganS: v.Began.Seconds(), EndedS: v.Ended.Seconds(),
			Status: "cut off", Turns: each[i].turns, Input: each[i].input, Output: each[i].output,
			Hits: each[i].hitRate(), HitRate: each[i].cachedShare()}
		switch {
		case v.Failed:
			f.Status = "failed"
			s.Failed++
		case v.Done:
			f.Status = "done"
			s.Completed++
			if v.Whole {
				times = append(times, (v.Ended - v.Began).Seconds())
			}
		}
		s.BySession = append(s.BySession, f)
	}
	if sec := r.Duration.Seconds(); sec > 0 && s.Completed > 0 {
		v := float64(s.Completed) / sec * 3600 / float64(max(r.GPUs, 1))
		s.PerHour = &v
	}
	if len(times) > 0 {
		slices.Sort(times)
		at := func(p float64) *float64 { v := Percentile(times, p); return &v }
		s.Times = Times{mean(times), at(50), at(90), at(99)}
	}
}

func mean(of []float64) *float64 {
	sum := 0.0
	for _, v := range of {
		sum += v
	}
	sum /= float64(len(of))
	return &sum
}

// speeds is the speed of the requests after their first token and in all.
func (r Run) speeds() (decode, whole Speeds) {
	var perToken, perAnswer []float64 // s
	for i := range r.Timings {
		t := &r.Timings[i]
		if t.Err != "" || t.OutputTokens == 0 {
			continue
		}
		perAnswer = append(perAnswer, t.E2EL().Seconds()/float64(t.OutputTokens))
		if t.HasTPOT() {
			perToken = append(perToken, t.tpot()/1e9)
		}
	}
	return speedsOf(perToken), speedsOf(perAnswer)
}

func speedsOf(seconds []float64) Speeds {
	if len(seconds) == 0 {
		return Speeds{}
	}
	slices.Sort(seconds)
	over := func(v float64) *float64 {
		if v <= 0 {
			return nil
		}
		v = 1 / v
		return &v
	}
	at := func(p float64) *float64 { return over(Percentile(seconds, p)) }
	return Speeds{over(*mean(seconds)), at(50), at(75), at(90), at(95)}
}

func figuresOf(number int, ts []*Timing) TurnFigures {
	var all tally
	var ttft []time.Duration
	for _, t := range ts {
		all.add(t)
		ttft = append(ttft, t.TTFT())
	}
	d := DistOf(ttft)
	return TurnFigures{Turn: number, Requests: len(ts), P50: *d.Median, P99: *d.P99, Cached: all.cachedShare()}
}

// inFlight is the mean over the run, and the most.
func (r Run) inFlight() Peak {
	_, _, most := plateau(r.Timings)
	p := Peak{Max: most}
	if r.Duration > 0 {
		sum := 0.0
		for i := range r.Timings {
			if t := &r.Timings[i]; max(t.Done, t.Last) > t.Sent {
				sum += (max(t.Done, t.Last) - t.Sent).Seconds()
			}
		}
		v := sum / r.Duration.Seconds()
		p.Mean = &v
	}
	return p
}

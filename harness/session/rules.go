package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// Rules say how sessions are replayed. The zero value of each but Lanes switches it
// off.
type Rules struct {
	Lanes int // sessions that are live at a time, their sub-agents not counted
	Seed  int64
	Run   string // what marks and ids of sessions are made from, besides their place: one run, one text

	Context int // traces that have a turn of more tokens than this are left out; 0: none
	Traces  int // so many of the others are used, the first ones; 0: all

	Duration time.Duration // no turn is sent later
	Drain    time.Duration // answers may take so long after that, and what takes longer is cut off; 0: no limit
	Sessions int           // no further session is begun once there were so many; 0: one of each trace, without a Duration

	// EnterFrom and EnterTo are between which parts of its recorded time, 0 to 1, the
	// first session of each lane is entered; turns before that are history.
	EnterFrom, EnterTo float64

	Primers bool // before the clock starts, each stream that is under way sends its last turn again, for one token
	WarmUp  int  // then each lane goes on by so many turns of one token, without delays

	// Grace is how long the warm-up's answers may take once its last request is sent: the
	// run is given up where one takes longer. 0 is no limit.
	Grace time.Duration

	SystemIdle time.Duration // with no request in flight, all delays are cut so that this is the longest silence
	TreeIdle   time.Duration // likewise of one session
	Mark       bool          // a text of its own goes before each session's prompts, so that no two share any
	ErrorShare float64       // the run stops once more of its requests than this failed; 0: it never does
	Live       bool          // the server's own answers stand in the history, in place of the recorded ones
}

// MarshalJSON writes the rules with their units: s for times, and what is switched off
// as 0 or false.
func (r Rules) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"lanes": r.Lanes, "seed": r.Seed, "run": r.Run, "context": r.Context, "traces": r.Traces,
		"duration_s": r.Duration.Seconds(), "drain_s": r.Drain.Seconds(), "sessions": r.Sessions,
		"entry": [2]float64{r.EnterFrom, r.EnterTo}, "primers": r.Primers,
		"warmup_requests_per_lane": r.WarmUp, "warmup_grace_s": r.Grace.Seconds(),
		"system_idle_cap_s": r.SystemIdle.Seconds(), "tree_idle_cap_s": r.TreeIdle.Seconds(),
		"cache_bust_marker": r.Mark, "failed_request_threshold": r.ErrorShare,
		"live_answers": r.Live,
	})
}

// Check says what is wrong with rules, if anything.
func (r Rules) Check() error {
	switch {
	case r.Lanes < 1:
		return errors.New("want at least one session at a time")
	case !(r.EnterFrom >= 0 && r.EnterFrom <= r.EnterTo && r.EnterTo <= 1):
		return fmt.Errorf("sessions cannot be entered from %v to %v of their time: want 0 to 1", r.EnterFrom, r.EnterTo)
	case r.Context < 0 || r.Traces < 0 || r.Duration < 0 || r.Sessions < 0 || r.WarmUp < 0 ||
		r.Grace < 0 || r.Drain < 0 || r.SystemIdle < 0 || r.TreeIdle < 0:
		return errors.New("a rule below 0")
	case !(r.ErrorShare >= 0 && r.ErrorShare <= 1):
		return fmt.Errorf("a share of errors of %v: want 0 to 1", r.ErrorShare)
	}
	return nil
}

// AgentX are the rules of InferenceX's agentic scenario, as agentx-harness 1.0.12 has
// them, for so many lanes.
func AgentX(lanes int) Rules {
	return Rules{Lanes: lanes, Seed: 42, Traces: 393, Duration: time.Hour, Drain: 30 * time.Second,
		EnterFrom: 0.25, EnterTo: 0.75, Primers: true, WarmUp: 10, Grace: 30 * time.Minute,
		SystemIdle: 10 * time.Second, TreeIdle: 300 * time.Second, Mark: true, ErrorShare: 0.10}
}

// Limits of AgentX that are no rule of a replay.
const (
	AgentXShortest = 15 * time.Minute // a shorter run is not valid
	AgentXCoverage = 0.95             // the least share of requests that must have the figures
)

// Select returns the traces that the rules use, and says how many were left out
// because they are longer than the context.
func (r Rules) Select(traces []Trace) (fit []Trace, tooLong int) {
	for _, t := range traces {
		if r.Context > 0 && t.Peak() > r.Context {
			tooLong++
			continue
		}
		if r.Traces == 0 || len(fit) < r.Traces {
			fit = append(fit, t)
		}
	}
	return fit, tooLong
}

// order is the sequence of traces that sessions are made of: pass after pass over all
// of them, each shuffled anew.
type order struct {
	seed int64
	n    int
	perm []int
	pass int // of perm, from 1
}

// at is the trace of session i, and how many passes over all traces came before it.
func (o *order) at(i int) (trace, pass int) {
	pass = i / o.n
	if pass+1 != o.pass {
		o.pass = pass + 1
		o.perm = rand.New(rand.NewPCG(uint64(o.seed), uint64(o.pass))).Perm(o.n)
	}
	return o.perm[i%o.n], pass
}

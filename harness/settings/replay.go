package settings

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"inferbench/harness/session"
)

// Replay says how sessions are replayed.
type Replay struct {
	Kind     *session.Kind // nil: what is sent are no sessions
	Scenario string        // whose rules these are; empty: their own

	Affinity [][2]string // headers of requests: name and value, which holds {session} and the like
	Token    string      // header of an answer that later requests of its session send back; empty: none

	given []rule // in place of the scenario's
}

// rule is a setting that is one of the rules of a replay.
type rule struct {
	env, value string
	apply      func(*session.Rules)
}

// agentX is the scenario of that name.
const agentX = "agentx"

var replays = []row{
	{Env: "SCENARIO", set: setScenario,
		Help: "agentx: replay sessions by InferenceX's rules, and say whether the run is valid by them; none leaves each " +
			"rule to its setting"},
	{Env: "REPLAY_SESSIONS",
		set:  replayed("REPLAY_SESSIONS", atLeast(1), func(r *session.Rules, n int) { r.Sessions = n }),
		Help: "sessions a cell; none means one of each that there is, or as many as DURATION allows"},
	{Env: "REPLAY_ENTRY", set: replayed("REPLAY_ENTRY", entry, func(r *session.Rules, e [2]float64) {
		r.EnterFrom, r.EnterTo = e[0], e[1]
	}), Help: "between which parts of its time each lane's first session is entered, as 0.25:0.75; none is at its " +
		"beginning (agentx: 0.25:0.75)"},
	{Env: "REPLAY_PRIMERS", set: replayed("REPLAY_PRIMERS", strconv.ParseBool,
		func(r *session.Rules, b bool) { r.Primers = b }),
		Help: "true: before the clock starts, each stream that is entered sends its last turn again, for one token " +
			"(agentx: true)"},
	{Env: "REPLAY_WARMUP", set: replayed("REPLAY_WARMUP", atLeast(0), func(r *session.Rules, n int) { r.WarmUp = n }),
		Help: "then each lane goes on by so many turns of one token; none is 0 (agentx: 10)"},
	{Env: "REPLAY_GRACE", set: replayed("REPLAY_GRACE", pause, func(r *session.Rules, d time.Duration) { r.Grace = d }),
		Help: "how long answers of that warm-up may take once its last request is sent, or the run is given up; none is no " +
			"limit but REQUEST_TIMEOUT (agentx: 30m)"},
	{Env: "REPLAY_DRAIN", set: replayed("REPLAY_DRAIN", pause, func(r *session.Rules, d time.Duration) { r.Drain = d }),
		Help: "how long answers may take once DURATION is over: what takes longer is cut off, and in no figure; none is no " +
			"limit but REQUEST_TIMEOUT (agentx: 30s)"},
	{Env: "REPLAY_IDLE", set: replayed("REPLAY_IDLE", pause, func(r *session.Rules, d time.Duration) { r.SystemIdle = d }),
		Help: "longest silence of all lanes together, after which all delays are cut; 0s is no limit, none is 10s"},
	{Env: "REPLAY_TREE_IDLE",
		set:  replayed("REPLAY_TREE_IDLE", pause, func(r *session.Rules, d time.Duration) { r.TreeIdle = d }),
		Help: "likewise of one session and its sub-agents; none is 300s"},
	{Env: "REPLAY_MARKS", set: replayed("REPLAY_MARKS", strconv.ParseBool, func(r *session.Rules, b bool) { r.Mark = b }),
		Help: "true: each session's prompts begin with a mark of its own, so that it finds nothing of another's in the " +
			"prefix cache; none is true, and false where sessions are meant to share"},
	{Env: "REPLAY_CONTEXT",
		set:  replayed("REPLAY_CONTEXT", atLeast(1), func(r *session.Rules, n int) { r.Context = n }),
		Help: "tokens of context: sessions with a longer turn are left out; none is the server's own"},
	{Env: "REPLAY_TRACES", set: replayed("REPLAY_TRACES", atLeast(1), func(r *session.Rules, n int) { r.Traces = n }),
		Help: "how many of the sessions that fit are used, the first ones; none is all (agentx: 393)"},
	{Env: "REPLAY_ERRORS", set: replayed("REPLAY_ERRORS", share, func(r *session.Rules, f float64) { r.ErrorShare = f }),
		Help: "share of requests, 0 to 1, that may fail: a run with more is given up and FAILED; none is 0.1"},
	{Env: "LIVE_ANSWERS", set: replayed("LIVE_ANSWERS", strconv.ParseBool, func(r *session.Rules, b bool) { r.Live = b }),
		Help: "true: what the server itself answers (reasoning apart) stands in the history of later turns, in place of " +
			"the recorded answers; none is false, and true where none were recorded"},
	{Env: "SESSION_HEADER", set: setSessionHeader,
		Help: "more headers by which a router knows a session, as X-Session-ID: {session}; X-Parent: {parent} ({session} " +
			"is the conversation's id, {root} its session's); X-Correlation-ID and X-Session-Affinity are always sent"},
	{Env: "SESSION_TOKEN_HEADER", set: setTokenHeader,
		Help: "header of an answer, as X-Session-Token, that later requests of the session send back; none is none"},
}

func setSessionHeader(s *Settings, v string) error {
	for _, line := range strings.FieldsFunc(v, func(r rune) bool { return r == ';' || r == '\n' }) {
		name, value, ok := strings.Cut(line, ":")
		w := Workload{Headers: map[string][]string{}}
		if !ok || !strings.Contains(value, "{") {
			return errors.New("want Name: value with {session}, {root} or {parent} in it, as X-Session-ID: {session}")
		}
		if err := w.addHeader(len(s.Replay.Affinity), name, value); err != nil {
			return err
		}
		for _, word := range []string{"{session}", "{root}", "{parent}"} {
			value = strings.ReplaceAll(value, word, "")
		}
		if strings.ContainsAny(value, "{}") {
			return errors.New("what stands in braces is {session}, {root} or {parent}")
		}
		_, value, _ = strings.Cut(line, ":")
		s.Replay.Affinity = append(s.Replay.Affinity, [2]string{strings.TrimSpace(name), strings.TrimSpace(value)})
	}
	return nil
}

func setTokenHeader(s *Settings, v string) error {
	if strings.ContainsFunc(v, notToken) {
		return errors.New("want the name of a header, as X-Session-Token")
	}
	s.Replay.Token = v
	return nil
}

func setScenario(s *Settings, v string) error {
	if v != agentX {
		return errors.New("want " + agentX)
	}
	s.Replay.Scenario = v
	return nil
}

// replayed is a setting of a rule: how it is read, and what it changes.
func replayed[T any](env string, read func(string) (T, error), apply func(*session.Rules, T)) func(*Settings,
	string) error {
	return func(s *Settings, v string) error {
		t, err := read(v)
		if errors.Is(err, strconv.ErrSyntax) {
			return errors.New("want true or false")
		}
		if err != nil {
			return err
		}
		s.Replay.given = append(s.Replay.given, rule{env, v, func(r *session.Rules) { apply(r, t) }})
		return nil
	}
}

func atLeast(least int) func(string) (int, error) {
	return func(v string) (int, error) {
		n, err := strconv.Atoi(v)
		if err != nil || n < least {
			return 0, fmt.Errorf("want a whole number, %d or more", least)
		}
		return n, nil
	}
}

func pause(v string) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 {
		return 0, errors.New("want a duration such as 10s")
	}
	return d, nil
}

func share(v string) (float64, error) {
	f, err := strconv.ParseFloat(v, 64)
	if err != nil || !(f >= 0 && f <= 1) {
		return 0, errors.New("want a number from 0 to 1")
	}
	return f, nil
}

func entry(v string) ([2]float64, error) {
	from, to, _ := strings.Cut(v, ":")
	a, err := share(from)
	b, also := share(to)
	if err != nil || also != nil || a > b {
		return [2]float64{}, errors.New("want FROM:TO, each from 0 to 1, as 0.25:0.75")
	}
	return [2]float64{a, b}, nil
}

// nameScenario gives the cells of sessions their name.
func (s *Settings) nameScenario() {
	switch r := s.Replay; {
	case r.Scenario != "":
		s.Selection.Scenario = r.Scenario
	case r.Kind != nil:
		s.Selection.Scenario = r.Kind.Name
	}
}

// chatUnless asks the chat endpoint, which is the scenario's, unless another one was
// given: that is recorded though it is the default elsewhere.
func (s *Settings) chatUnless(from sources) {
	for _, r := range table {
		if r.Env != "ENDPOINT" {
			continue
		}
		given := !from.find(r).fallback || from.plan[r.Env] != ""
		switch {
		case !given:
			s.Workload.Chat = true
		case !s.Workload.Chat:
			if s.Given == nil {
				s.Given = map[string]string{}
			}
			s.Given[r.Env] = "completions"
		}
	}
}

// Rules are those by which sessions are replayed in so many lanes. The reasons say in
// what they are not the scenario's; there are none where none is asked for.
func (s Settings) Rules(lanes int) (rules session.Rules, reasons []string) {
	rules = session.Rules{Lanes: lanes, Seed: s.Workload.Seed, SystemIdle: 10 * time.Second,
		TreeIdle: 300 * time.Second, Mark: !s.Replay.Kind.Shared && !s.Replay.Kind.Texts, ErrorShare: 0.1,
		Live: s.Replay.Kind.Live}
	if s.Replay.Scenario == agentX {
		rules = session.AgentX(lanes)
	}
	given := s.Replay.given
	if v := s.Given["SEED"]; v != "" {
		given = append(given[:len(given):len(given)], rule{"SEED", v, func(r *session.Rules) { r.Seed = s.Workload.Seed }})
	}
	for _, g := range given {
		before := rules
		if g.apply(&rules); rules != before && s.Replay.Scenario != "" && g.env != "REPLAY_CONTEXT" {
			reasons = append(reasons, g.env+"="+g.value+" is not the scenario's")
		}
	}
	if d := s.Shape.Duration; d > 0 {
		rules.Duration = d
	}
	if s.Replay.Scenario == agentX && rules.Duration < session.AgentXShortest {
		reasons = append(reasons, fmt.Sprintf("DURATION=%s is shorter than %s", rules.Duration, session.AgentXShortest))
	}
	return rules, reasons
}

func (s Settings) liveAnswers() bool {
	rules, _ := s.Rules(1)
	return rules.Live
}

func (s Settings) checkReplay() error {
	r, w, t := s.Replay, s.Workload, s.Shape
	if r.Kind == nil {
		switch {
		case r.Scenario != "":
			return fmt.Errorf("SCENARIO=%s replays sessions: set DATASET to %s", r.Scenario, session.KindNames())
		case len(r.given) > 0:
			return fmt.Errorf("%s is of a replay of sessions: set DATASET to %s", r.given[0].env, session.KindNames())
		case len(r.Affinity) > 0 || r.Token != "":
			return fmt.Errorf("SESSION_HEADER and SESSION_TOKEN_HEADER are of a replay of sessions: set DATASET to %s",
				session.KindNames())
		}
		return nil
	}
	switch {
	case r.Kind.File && w.Path == "":
		return fmt.Errorf("DATASET=%s needs DATASET_PATH, the file or folder to read", r.Kind)
	case !r.Kind.File && w.Path != "":
		return fmt.Errorf("DATASET_PATH is set, but DATASET=%s reads no file", r.Kind)
	case r.Kind.Texts && !w.Chat:
		return fmt.Errorf("DATASET=%s is of texts: set ENDPOINT=chat", r.Kind)
	case !w.Chat && s.liveAnswers():
		return errors.New("LIVE_ANSWERS are texts: set ENDPOINT=chat")
	case s.Mode == ModeSubmit:
		return errors.New("no leaderboard takes sessions: measure them with MODE=perf")
	case s.Shard.Count > 1:
		return errors.New("SHARD: sessions are replayed by one client, whose lanes share one clock: leave it out")
	}
	canaries := s.Given["CANARY_SHARE"]
	asked := canaries != "" && canaries != "auto" && s.Accuracy.CanaryShare > 0
	for env, given := range map[string]bool{"CANARY_SHARE": asked,
		"ISL": s.Selection.ISL > 0, "OSL": s.Selection.OSL > 0,
		"NUM_PROMPTS": s.Selection.NumPrompts.Given(), "WARMUP": w.WarmUp != nil, "SHARED_PREFIX": w.SharedPrefix > 0,
		"REQUEST_RATE": t.Rate > 0, "TRACE": t.Trace, "RAMP_UP": t.RampUp > 0} {
		if given {
			return fmt.Errorf("DATASET=%s: sessions say themselves what is sent and when: leave %s out", r.Kind, env)
		}
	}
	return nil
}

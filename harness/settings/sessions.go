package settings

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"inferbench/harness/session"
)

// syntheticSessions are the settings of sessions that are made up.
var syntheticSessions = []row{
	{Env: "SESSIONS", Default: "16", set: whole(1, func(s *Settings) *int { return &s.Sessions.Sessions }),
		Help: "how many different sessions DATASET=sessions makes up"},
	{Env: "SESSION_TURNS", Default: "normal:8:3", set: dist(func(s *session.Synthetic) *session.Dist { return &s.Turns }),
		Help: "turns of a session, its sub-agents' not counted: a number, normal:MEAN:SD or lognormal:MEAN:SD, as all " +
			"of these"},
	{Env: "SESSION_SYSTEM_TOKENS", Default: "2048",
		set: whole(0, func(s *Settings) *int { return &s.Sessions.System }),
		Help: "tokens of the system prompt and tools that all of a session's prompts begin with, rounded up to " +
			"blocks of 64"},
	{Env: "SESSION_INPUT_TOKENS", Default: "lognormal:500:400",
		set:  dist(func(s *session.Synthetic) *session.Dist { return &s.Input }),
		Help: "new tokens of each turn: what the user or a tool says"},
	{Env: "SESSION_OUTPUT_TOKENS", Default: "lognormal:150:100",
		set:  dist(func(s *session.Synthetic) *session.Dist { return &s.Output }),
		Help: "tokens of each answer"},
	{Env: "SESSION_TOOL_DELAY", Default: "lognormal:0.5:0.5",
		set:  dist(func(s *session.Synthetic) *session.Dist { return &s.Delay }),
		Help: "seconds from an answer to the next request: a tool at work"},
	{Env: "SESSION_SUBAGENTS", Default: "1", set: dist(func(s *session.Synthetic) *session.Dist { return &s.SubAgents }),
		Help: "sub-agents of a session; the turn after the one that spawns them waits for them"},
	{Env: "SESSION_SUBAGENT_TURNS", Default: "3",
		set: dist(func(s *session.Synthetic) *session.Dist { return &s.SubAgentTurns }), Help: "turns of a sub-agent"},
	{Env: "SESSION_COMPACTION", Default: "8000:4000", set: setCompaction,
		Help: "FROM:TO: a prompt that would have more than FROM tokens is cut to TO, of which only the system prompt was " +
			"there before; none never is"},
}

func dist(field func(*session.Synthetic) *session.Dist) func(*Settings, string) error {
	return func(s *Settings, v string) (err error) {
		*field(&s.Sessions), err = session.ParseDist(v)
		return err
	}
}

// checkSynthetic is an error where settings of made-up sessions are given for others,
// which would not heed them.
func (s Settings) checkSynthetic() error {
	for _, r := range syntheticSessions {
		if s.Given[r.Env] != "" && s.Replay.Kind != session.Made {
			return fmt.Errorf("%s is of sessions that are made up: set DATASET=%s, or leave it out", r.Env, session.Made)
		}
	}
	return nil
}

func setCompaction(s *Settings, v string) error {
	m := &s.Sessions
	if v == "none" {
		m.Compact, m.Keep = 0, 0
		return nil
	}
	from, to, _ := strings.Cut(v, ":")
	var err, also error
	m.Compact, err = strconv.Atoi(from)
	m.Keep, also = strconv.Atoi(to)
	if err != nil || also != nil || m.Keep < 1 || m.Compact <= m.Keep {
		return errors.New("want FROM:TO in tokens, FROM the larger, as 8000:4000, or none")
	}
	return nil
}

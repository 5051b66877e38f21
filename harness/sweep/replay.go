package sweep

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"inferbench/harness/batch"
	"inferbench/harness/hint"
	"inferbench/harness/load"
	"inferbench/harness/session"
	"inferbench/harness/settings"
	"inferbench/harness/stats"
	"inferbench/harness/traces"
	"inferbench/harness/workload"
)

// recordings are the sessions of a sweep, which are read once.
type recordings struct {
	once   sync.Once
	traces []session.Trace
	notes  []string
	err    error
}

// traces are the sessions that the settings name.
func (sw *Sweep) traces(ctx context.Context) ([]session.Trace, []string, error) {
	r, s := &sw.sessions, sw.Settings
	r.once.Do(func() {
		if s.Replay.Kind.File {
			r.traces, r.notes, r.err = sw.readTraces(ctx)
			return
		}
		made := s.Sessions
		made.Seed = s.Workload.Seed
		r.traces, r.err = made.Traces(ctx)
	})
	return r.traces, r.notes, r.err
}

// readTraces reads the sessions of a file.
func (sw *Sweep) readTraces(ctx context.Context) ([]session.Trace, []string, error) {
	s := sw.Settings
	o := traces.Options{Kind: s.Replay.Kind, Path: s.Workload.Path}
	if name, ok := strings.CutPrefix(o.Path, settings.HubPrefix); ok {
		cache := Cache(s.Accuracy.Fetch)
		cache.Token = s.Board.HFToken
		folder, err := cache.DataSet(ctx, name)
		if err != nil {
			return nil, nil, err
		}
		o.Path = folder
	}
	if o.Kind.Texts || o.Kind.Mixed {
		for _, c := range sw.Cells { // texts are counted: no more of them than are needed
			rules, _ := s.Rules(c.Conc)
			o.Most = max(o.Most, rules.Traces, rules.Sessions)
		}
		if o.Kind.Mixed {
			o.Most = 0
		}
		count, err := load.Counter(ctx, sw.Target)
		if err != nil {
			return nil, nil, err
		}
		o.Count = count
	}
	return traces.Open(ctx, o)
}

// prepareReplay readies the replay of sessions.
func (sw *Sweep) prepareReplay(ctx context.Context, p pass) (*measured, runner, load.Options, error) {
	o := sw.plan(p).Options
	o.Affinity.Token = sw.Settings.Replay.Token
	for _, h := range sw.Settings.Replay.Affinity {
		o.Affinity.Headers = append(o.Affinity.Headers, load.Header{Name: h[0], Value: h[1]})
	}
	all, notes, err := sw.traces(ctx)
	if err != nil {
		return nil, nil, o, err
	}
	rules, _ := sw.Settings.Rules(p.Cell.Conc)
	rules.Run = fmt.Sprintf("%d %s %d", sw.Begin.UnixNano(), p.Cell.Name(), p.Number)
	if rules.Context == 0 {
		rules.Context = sw.Target.MaxLen
	}
	fit, tooLong := rules.Select(all)
	if len(fit) == 0 {
		return nil, nil, o, fmt.Errorf("none of %d sessions fits into a context of %d tokens", len(all), rules.Context)
	}
	if tooLong > 0 {
		notes = append(notes[:len(notes):len(notes)], fmt.Sprintf("%d of %d sessions have a turn of more than %d tokens "+
			"and are left out", tooLong, len(all), rules.Context))
	}
	if n := rules.Sessions; n > 0 && n < rules.Lanes {
		notes = append(notes[:len(notes):len(notes)], fmt.Sprintf("REPLAY_SESSIONS=%d: no more were live at a time, and so "+
			"never CONC=%d", n, rules.Lanes))
	}
	if err := sw.followTexts(all, &rules); err != nil {
		return nil, nil, o, err
	}
	wire, note, err := sw.wire(ctx)
	if err != nil {
		return nil, nil, o, err
	}
	if note != "" {
		notes = append(notes[:len(notes):len(notes)], note)
	}
	replay, err := session.NewReplay(fit, rules)
	if err != nil {
		return nil, nil, o, err
	}
	run := func(ctx context.Context, o load.Options) (*load.Recording, error) {
		return load.Replay(ctx, sw.Target, replay, wire, o)
	}
	return &measured{src: openings{fit, wire}, rules: &rules, notes: notes}, run, o, nil
}

// followTexts has the server's own answers stand in the history of sessions that have
// none of their own. It is an error where the settings do not allow what texts need.
func (sw *Sweep) followTexts(all []session.Trace, rules *session.Rules) error {
	for i := range all {
		switch t := &all[i]; {
		case t.Texts() && !sw.Settings.Workload.Chat:
			return hint.New(fmt.Errorf("session %s is of texts, which only a chat can send", t.ID), "set ENDPOINT=chat")
		case t.Live && sw.Settings.Given["LIVE_ANSWERS"] != "" && !rules.Live:
			return hint.New(fmt.Errorf("session %s has no answers of its own: the server's stand in its history", t.ID),
				"leave LIVE_ANSWERS out")
		case t.Live:
			rules.Live = true
		}
	}
	return nil
}

// wire writes the prompts of turns. The note is what to know of them.
func (sw *Sweep) wire(ctx context.Context) (w session.Wire, note string, err error) {
	seed := sw.Settings.Workload.Seed
	if sw.Settings.Workload.Chat {
		words, note, err := sw.words(ctx)
		return &session.Chat{Seed: seed, Words: words}, note, err
	}
	if sw.Target.TextOnly {
		err := fmt.Errorf("%s takes prompts as text alone, not the token ids that sessions are sent in", sw.Target.BaseURL)
		return nil, "", hint.New(err, "set ENDPOINT=chat")
	}
	if err := load.FindVocab(ctx, sw.Target, sw.Settings.Server.RequestTimeout); err != nil {
		return nil, "", err
	}
	low, high := workload.Random{Vocab: sw.Target.Vocab}.IDs()
	return session.IDs{Seed: seed, Low: low, High: high}, "sessions are sent as token ids on /v1/completions, which " +
		"share exactly the recorded blocks; the scenarios of others are chats", nil
}

// words are those that text is made of.
func (sw *Sweep) words(ctx context.Context) (words []string, note string, err error) {
	if sw.Settings.Replay.Kind.Texts {
		return nil, "", nil
	}
	count, err := load.Counter(ctx, sw.Target)
	if err != nil {
		return nil, "", err
	}
	if count == nil {
		return session.Words(), "nobody has counted the tokens of the words that prompts are made of: the server has no " +
			"tokenizer (/tokenize), and TOKENIZER names none", nil
	}
	words, err = session.Vocabulary(func(text string) (int, error) { return count(ctx, text) })
	return words, "", err
}

// openings are the beginnings of the sessions' first prompts, which the decode audit
// looks at.
type openings struct {
	traces []session.Trace
	wire   session.Wire
}

// openingTokens is how much of a first prompt is taken.
const openingTokens = 1024

func (s openings) Len() int { return len(s.traces) }

func (s openings) Request(i int) (workload.Request, error) {
	n := len(s.traces)
	live := &session.Live{Trace: &s.traces[(i%n+n)%n]}
	r, err := s.wire.Request(nil, nil, &session.Request{Index: i, Live: live, Out: 64})
	r.Tokens = r.Tokens[:min(len(r.Tokens), openingTokens)]
	return r, err
}

// judgeReplay is an error where too many turns failed, or the figures contradict each
// other.
func (m *measured) judgeReplay(sum *stats.Summary) error {
	switch why, do := sum.WhyFailed(); {
	case m.rec.Stopped != "":
		return hint.New(fmt.Errorf("given up: %s: %s", m.rec.Stopped, why), do)
	case sum.Successful == 0 && sum.Failed == 0:
		return errors.New("no request was sent")
	case float64(sum.Failed) > m.rules.ErrorShare*float64(sum.Failed+sum.Successful):
		return hint.New(fmt.Errorf("%d of %d turns failed, more than REPLAY_ERRORS allows: %s", sum.Failed,
			sum.Failed+sum.Successful, why), do)
	}
	return m.contradictions()
}

// scenarioOf says in a result by which rules sessions were replayed, and whether the
// run is valid by those of the scenario.
func (sw *Sweep) scenarioOf(r *batch.Result, m *measured) {
	c := &batch.Scenario{Name: r.Args.Scenario, Rules: m.rules}
	r.Scenario = c
	if sum := r.Performance; sum != nil && sum.Failed > 0 && r.Status == batch.Passed {
		why, _ := sum.WhyFailed()
		r.Notes = append(r.Notes, fmt.Sprintf("%d of %d turns failed, and ended their sessions: %s", sum.Failed,
			sum.Failed+sum.Successful, why))
	}
	if sw.Settings.Replay.Scenario == "" {
		return
	}
	_, c.Reasons = sw.Settings.Rules(m.rules.Lanes)
	if r.Status != batch.Passed {
		c.Reasons = append(c.Reasons, "the cell has not PASSED")
	}
	if !sw.Settings.Workload.Chat {
		c.Reasons = append(c.Reasons, "prompts are token ids on /v1/completions, and the scenario's are chats")
	}
	if k := sw.Settings.Replay.Kind; k != session.Weka {
		c.Reasons = append(c.Reasons, fmt.Sprintf("DATASET=%s is not the scenario's, which is %s", k, session.Weka))
	}
	for _, key := range []string{"ignore_eos", "max_tokens"} {
		if _, changed := sw.Settings.Workload.ExtraBody[key]; changed {
			c.Reasons = append(c.Reasons, "EXTRA_BODY changes "+key+": answers need not be as long as recorded")
		}
	}
	if share := covered(m.rec); share < session.AgentXCoverage {
		c.Reasons = append(c.Reasons, fmt.Sprintf("only %.3g %% of the requests have their figures, less than %g %%",
			100*share, 100*session.AgentXCoverage))
	}
	valid := len(c.Reasons) == 0
	c.Valid = &valid
	verdict := "valid"
	if !valid {
		verdict = "not valid: " + strings.Join(c.Reasons, "; ")
	}
	r.Notes = append(r.Notes, fmt.Sprintf("by the rules of %s this run is %s", c.Name, verdict))
}

// covered is the share of requests, 0 to 1, that have a latency and a count of tokens by
// the server.
func covered(rec *load.Recording) float64 {
	if rec == nil || len(rec.Timings) == 0 {
		return 0
	}
	n := 0
	for _, t := range rec.Timings {
		if t.Err == "" && !t.NoUsage {
			n++
		}
	}
	return float64(n) / float64(len(rec.Timings))
}

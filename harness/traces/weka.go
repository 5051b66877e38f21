package traces

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"inferbench/harness/session"
)

// wekaTrace is a recorded session as Weka and AgentX have it: a JSON object, in a file
// of its own or on a line. No other keys may be there.
type wekaTrace struct {
	ID        *string        `json:"id"`
	Models    []string       `json:"models"`
	BlockSize *int           `json:"block_size"`
	Scope     *string        `json:"hash_id_scope"`
	Tool      int            `json:"tool_tokens"`
	System    int            `json:"system_tokens"`
	Requests  []wekaRequest  `json:"requests"`
	Totals    jsontext.Value `json:"totals"`
}

// wekaRequest is an entry of requests: an API call that was not streamed ("n") or was
// ("s"), or a sub-agent with calls of its own.
type wekaRequest struct {
	T    *float64 `json:"t"` // s from the session's start
	Type string   `json:"type"`

	wekaCall
	wekaAgent
}

// wekaCall are the keys of a call.
type wekaCall struct {
	Model       *string        `json:"model"`
	In          *int           `json:"in"`
	Out         *int           `json:"out"`
	HashIDs     blockIDs       `json:"hash_ids"`
	InputTypes  jsontext.Value `json:"input_types"`
	OutputTypes jsontext.Value `json:"output_types"`
	Stop        *string        `json:"stop"`
	APITime     *float64       `json:"api_time"`   // s
	ThinkTime   *float64       `json:"think_time"` // s
	TTFT        *float64       `json:"ttft"`       // s
}

// wekaAgent are the keys of a sub-agent.
type wekaAgent struct {
	AgentID      *string       `json:"agent_id"`
	SubagentType *string       `json:"subagent_type"`
	DurationMs   *float64      `json:"duration_ms"`
	TotalTokens  *float64      `json:"total_tokens"`
	ToolUses     *float64      `json:"tool_use_count"`
	Status       *string       `json:"status"`
	Models       []string      `json:"models"`
	Tool         int           `json:"tool_tokens"`
	System       int           `json:"system_tokens"`
	Requests     []wekaRequest `json:"requests"`
}

// blockIDs are ids of blocks. They are most of a file, and are read in one go.
type blockIDs []uint32

// UnmarshalJSONFrom reads a list of whole numbers from 0 to below 2³².
func (b *blockIDs) UnmarshalJSONFrom(d *jsontext.Decoder) error {
	list, err := d.ReadValue()
	if err != nil || string(list) == "null" {
		return err
	}
	ids := make(blockIDs, 0, bytes.Count(list, []byte{','})+1)
	n, digits := uint64(0), false
	for i, c := range list {
		switch {
		case c >= '0' && c <= '9':
			if n, digits = 10*n+uint64(c-'0'), true; n > math.MaxUint32 {
				return errBlockID
			}
		case c == ',' || c == ']':
			if digits {
				ids = append(ids, uint32(n))
			}
			n, digits = 0, false
		case (c != '[' || i > 0) && c != ' ' && c != '\n' && c != '\r' && c != '\t':
			return errBlockID
		}
	}
	*b = ids
	return nil
}

var errBlockID = errors.New("want whole numbers, 0 or more and below 2^32")

// readWeka reads a file of one trace, of one on each line, or a parquet of such rows.
func readWeka(ctx context.Context, s *source) error {
	if s.isParquet() {
		return wekaRows(ctx, s)
	}
	if err := s.text(); err != nil {
		return err
	}
	dec := jsontext.NewDecoder(s.in)
	for n := 1; ; n++ {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		var t wekaTrace
		err := json.UnmarshalDecode(dec, &t, json.RejectUnknownMembers(true))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.wrong(n, t.ID, err)
		}
		if err := s.addWeka(&t); err != nil {
			return s.wrong(n, t.ID, err)
		}
	}
}

// wrong is the error of trace n of the file: which trace, request and key it is in.
func (s *source) wrong(n int, id *string, err error) error {
	name := fmt.Sprintf("trace %d", n)
	if id != nil && *id != "" {
		name = "trace " + printable(*id)
	}
	return fmt.Errorf("%s: %s: %w", s.file, name, inWords(err))
}

// inWords is an error of a JSON value that is not what it should be, with its place.
func inWords(err error) error {
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) && syntactic.Err != nil {
		what := fmt.Sprintf("not valid JSON at byte %d: %v", syntactic.ByteOffset, syntactic.Err)
		if syntactic.JSONPointer == "" {
			return errors.New(what)
		}
		return fmt.Errorf("%s: %s", place(string(syntactic.JSONPointer)), what)
	}
	var semantic *json.SemanticError
	if errors.As(err, &semantic) {
		what := "not what stands there"
		switch {
		case errors.Is(err, json.ErrUnknownName):
			what = "an unknown key"
		case errors.Is(err, strconv.ErrSyntax) && semantic.GoType != nil:
			what = fmt.Sprintf("it is not %s", wanted(semantic.GoType.Kind().String()))
		case errors.Is(err, strconv.ErrRange):
			what = "the number is too large"
		case semantic.Err != nil:
			what = semantic.Err.Error()
		case semantic.GoType != nil:
			what = fmt.Sprintf("a JSON %v where %v is wanted", kindName(semantic.JSONKind),
				wanted(semantic.GoType.Kind().String()))
		}
		if semantic.JSONPointer == "" { // of the whole
			return errors.New(what)
		}
		return fmt.Errorf("%s: %s", place(string(semantic.JSONPointer)), what)
	}
	return err
}

// kindName is what a kind of JSON value is called.
func kindName(k jsontext.Kind) string {
	switch k {
	case '[':
		return "list"
	case '{':
		return "object"
	}
	return k.String()
}

// printable is a name as an error of one line can have it.
func printable(name string) string {
	if len(name) > mostName {
		name = name[:mostName] + "…"
	}
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// mostName is how much of a name an error shows, in bytes.
const mostName = 100

// wanted is a Go kind in words.
func wanted(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"):
		return "a whole number"
	case strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "string":
		return "a text"
	case kind == "slice":
		return "a list"
	}
	return "an object"
}

// place is a JSON pointer in words: /requests/3/in is request 3, key in.
func place(pointer string) string {
	var out []string
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i := 0; i < len(parts); i++ {
		if parts[i] == "requests" && i+1 < len(parts) {
			i++
			out = append(out, "request "+printable(parts[i]))
			continue
		}
		if _, err := strconv.Atoi(parts[i]); err == nil {
			out = append(out, "entry "+parts[i])
			continue
		}
		out = append(out, "key "+printable(parts[i]))
	}
	return strings.Join(out, ", ")
}

// addWeka makes a session of a trace.
func (s *source) addWeka(w *wekaTrace) error {
	switch {
	case w.ID == nil || *w.ID == "":
		return errors.New("key id: there is none")
	case w.BlockSize == nil || *w.BlockSize < 1:
		return errors.New("key block_size: want 1 or more")
	case w.Scope == nil || *w.Scope != "local":
		return errors.New(`key hash_id_scope: want "local", the only scope that is known`)
	case w.Tool < 0 || w.System < 0:
		return errors.New("keys tool_tokens, system_tokens: want 0 or more")
	}
	m := wekaMaker{source: s, ends: map[int]ending{}, trace: session.Trace{ID: *w.ID, Block: *w.BlockSize,
		Streams: []session.Stream{{Parent: -1, Prefix: w.Tool + w.System}}}}
	for i := range w.Requests {
		if err := m.add(&w.Requests[i], i); err != nil {
			return fmt.Errorf("request %d, %w", i, err)
		}
	}
	return m.finish()
}

// wekaMaker makes a session of a trace.
type wekaMaker struct {
	*source
	trace  session.Trace
	calls  [][]call // of the root and each sub-agent, which may be of several agents
	ends   map[int]ending
	latest time.Duration
}

// ending is the recorded end of a stream that another one spawned.
type ending struct {
	at     time.Duration
	waited bool // by the spawner's first request that comes after it
	chain  bool // it was found among the root's own requests
}

// add takes in entry i of the trace.
func (m *wekaMaker) add(r *wekaRequest, i int) error {
	if r.T == nil || *r.T < 0 {
		return errors.New("key t: want 0 or more")
	}
	at := seconds(*r.T)
	if at < m.latest {
		m.odd.backwards++
	}
	m.latest = max(m.latest, at)
	if r.Type == "subagent" {
		return m.agent(r, at)
	}
	return m.call(r, 0, at)
}

// call takes in a request of a stream.
func (m *wekaMaker) call(r *wekaRequest, stream int, at time.Duration) error {
	switch {
	case r.Type != "n" && r.Type != "s":
		return fmt.Errorf(`key type: %q, want n, s or, not within a sub-agent, subagent`, r.Type)
	case r.AgentID != nil || r.SubagentType != nil || r.Status != nil || r.wekaAgent.Requests != nil:
		return errors.New("keys of a sub-agent: it is of another type")
	case r.Type == "n" && r.TTFT != nil:
		return errors.New("key ttft: only what was streamed (type s) has one")
	case r.Model == nil:
		return errors.New("key model: there is none")
	case r.In == nil || *r.In < 1 || *r.In > mostTokens:
		return fmt.Errorf("key in: want 1 token or more, %d at most", mostTokens)
	case r.Out == nil || *r.Out < 0 || *r.Out > mostTokens:
		return fmt.Errorf("key out: want 0 tokens or more, %d at most", mostTokens)
	case r.APITime != nil && *r.APITime < 0:
		return errors.New("key api_time: want 0 or more, or null")
	}
	turn := session.Turn{Stream: stream, At: at, In: *r.In, Out: *r.Out, Blocks: r.HashIDs}
	if r.APITime != nil {
		turn.Took = seconds(*r.APITime)
	}
	if turn.Out == 0 {
		turn.Out = 1
		m.odd.noOutput++
	}
	for len(m.calls) <= stream {
		m.calls = append(m.calls, nil)
	}
	m.calls[stream] = append(m.calls[stream], call{turn, *r.Model})
	return nil
}

// agent takes in a sub-agent.
func (m *wekaMaker) agent(r *wekaRequest, at time.Duration) error {
	switch {
	case r.Model != nil || r.In != nil || r.Out != nil || r.HashIDs != nil:
		return errors.New("keys of a call: it is a sub-agent")
	case r.AgentID == nil:
		return errors.New("key agent_id: there is none")
	case r.Status == nil:
		return errors.New("key status: there is none")
	case r.wekaAgent.Tool < 0 || r.wekaAgent.System < 0:
		return errors.New("keys tool_tokens, system_tokens: want 0 or more")
	case r.DurationMs != nil && *r.DurationMs < 0:
		return errors.New("key duration_ms: want 0 or more, or null")
	}
	if len(r.wekaAgent.Requests) == 0 {
		m.odd.empty++
		return nil
	}
	if len(m.calls) == 0 || len(m.calls[0]) == 0 {
		m.odd.orphans++
		return nil
	}
	stream := len(m.trace.Streams)
	m.trace.Streams = append(m.trace.Streams, session.Stream{ID: *r.AgentID, Parent: 0, Spawned: at,
		Prefix: r.wekaAgent.Tool + r.wekaAgent.System})
	end := at
	for i := range r.wekaAgent.Requests {
		inner := &r.wekaAgent.Requests[i]
		if inner.T == nil || *inner.T < 0 {
			return fmt.Errorf("request %d, key t: want 0 or more", i)
		}
		t := seconds(*inner.T)
		if t < at {
			t += at // of an older file, from the spawn
		}
		if err := m.call(inner, stream, t); err != nil {
			return fmt.Errorf("request %d, %w", i, err)
		}
		calls := m.calls[stream]
		end = max(end, calls[len(calls)-1].end())
	}
	if r.DurationMs != nil {
		end = at + seconds(*r.DurationMs/1000)
	}
	m.ends[stream] = ending{at: end, waited: *r.Status != "async_launched"}
	return nil
}

// finish puts the turns in order and says what waits for what.
func (m *wekaMaker) finish() error {
	m.split()
	m.gather()
	t := &m.trace
	t.Settle()
	for _, stream := range slices.Sorted(maps.Keys(m.ends)) {
		if end := m.ends[stream]; !end.chain && (!end.waited || t.Join(stream, end.at) < 0) {
			m.odd.background++
		}
	}
	last := make([][]uint32, len(t.Streams))
	for k := range t.Turns {
		u := &t.Turns[k]
		before := last[u.Stream]
		if n := t.Streams[u.Stream].Prefix; u.Blocks != nil && t.Previous(k) < 0 && (n+t.Block-1)/t.Block > len(u.Blocks) {
			return fmt.Errorf("%s: they are %d tokens, and the %d hash_ids of the first request do not cover them",
				whoseTokens(t.Streams[u.Stream].ID), n, len(u.Blocks))
		}
		if n := session.Common(before, u.Blocks); n < len(before)-1 {
			m.odd.shrunk++
		}
		last[u.Stream] = u.Blocks
	}
	return m.source.take(*t)
}

// whoseTokens names the keys of an agent's tools and system prompt; the root has no id.
func whoseTokens(agent string) string {
	if agent == "" {
		return "keys tool_tokens, system_tokens"
	}
	return fmt.Sprintf("agent_id %s, keys tool_tokens, system_tokens", printable(agent))
}

// split tells the agents of each list of requests apart, and makes turns of them. An
// agent that is found among a sub-agent's requests was spawned, and has ended, with it.
func (m *wekaMaker) split() {
	t := &m.trace
	for list, calls := range m.calls {
		agents, opening := chains(calls)
		for i, indexes := range agents {
			of := list
			if i > 0 {
				of = len(t.Streams)
				t.Streams = append(t.Streams, m.found(list, i, calls, indexes, opening))
			}
			for _, at := range indexes {
				turn := calls[at].Turn
				turn.Stream = of
				t.Turns = append(t.Turns, turn)
			}
		}
	}
}

// found is the stream of agent i of a list, which is not the list's own. It has the
// tools and system prompt of that one if it begins with the same blocks of them.
func (m *wekaMaker) found(list, i int, calls []call, of []int, opening []uint32) session.Stream {
	t := &m.trace
	own := t.Streams[list]
	s := session.Stream{ID: strings.TrimPrefix(fmt.Sprintf("%s/chain-%d", own.ID, i), "/"), Spawned: calls[of[0]].At}
	if n := (own.Prefix + t.Block - 1) / t.Block; begins(opening, firstBlocks(calls, of), n) {
		s.Prefix = own.Prefix
	}
	m.odd.chains++
	end := ending{chain: true}
	for _, k := range of {
		end.at = max(end.at, calls[k].end())
	}
	if list > 0 {
		s.Spawned, end = own.Spawned, m.ends[list]
	}
	m.ends[len(t.Streams)] = end
	return s
}

// gather has streams that were spawned behind the same turn of the root's, and that the
// same one waits for, begin by the time since the first of them was spawned.
func (m *wekaMaker) gather() {
	t := &m.trace
	var root []session.Turn // in order of time
	for _, u := range t.Turns {
		if u.Stream == 0 {
			root = append(root, u)
		}
	}
	slices.SortStableFunc(root, func(a, b session.Turn) int { return cmp.Compare(a.At, b.At) })
	type group struct {
		behind, before int // how many of the root's turns had begun at the spawn; and before the end
		chain          bool
	}
	groups := map[group]time.Duration{}
	of := func(stream int) group {
		begun := func(at time.Duration) int {
			return sort.Search(len(root), func(i int) bool { return root[i].At >= at })
		}
		end := m.ends[stream]
		return group{begun(t.Streams[stream].Spawned + 1), begun(end.at), end.chain}
	}
	for stream := range m.ends {
		g := of(stream)
		if first, ok := groups[g]; !ok || t.Streams[stream].Spawned < first {
			groups[g] = t.Streams[stream].Spawned
		}
	}
	first := make([]time.Duration, len(t.Streams))
	for stream := range m.ends {
		first[stream] = groups[of(stream)]
	}
	for stream := range m.ends {
		t.Streams[stream].Spawned = first[stream]
	}
}

// seconds is a recorded time, at most ten years: several can be added up.
func seconds(s float64) time.Duration {
	return time.Duration(min(s, 10*365*24*3600) * float64(time.Second))
}

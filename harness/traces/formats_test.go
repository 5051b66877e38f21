package traces_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/session"
	"inferbench/harness/traces"
)

func open(t *testing.T, k *session.Kind, name, text string, change ...func(*traces.Options)) ([]session.Trace, []string, error) {
	t.Helper()
	o := traces.Options{Kind: k, Path: write(t, name, text)}
	for _, c := range change {
		c(&o)
	}
	return traces.Open(t.Context(), o)
}

// byWord counts a token a word.
func byWord(o *traces.Options) {
	o.Count = func(_ context.Context, text string) (int, error) { return len(strings.Fields(text)), nil }
}

func TestMooncake(t *testing.T) {
	all, notes, err := open(t, session.Mooncake, "m.jsonl", `{"session_id":"s","timestamp":1000,"input_length":600,"output_length":5,"hash_ids":[1,2]}
{"timestamp":1200,"input_length":100,"output_length":0,"hash_ids":[1]}
{"session_id":"s","delay":250,"input_length":1100,"output_length":7,"hash_ids":[1,2,3]}

{"session_id":"s","timestamp":2000,"input_length":600,"output_length":7,"hash_ids":[9]}`)
	require.NoError(t, err)
	require.Len(t, all, 2)
	ms := time.Millisecond
	assert.Equal(t, session.Trace{ID: "s", Block: 512, Global: true, Streams: []session.Stream{{Parent: -1}}, Turns: []session.Turn{
		{After: -1, In: 600, Out: 5, Blocks: []uint32{1, 2}},
		{After: 0, At: 250 * ms, Delay: 250 * ms, In: 1100, Out: 7, Blocks: []uint32{1, 2, 3}},
		{After: 1, At: 1000 * ms, Delay: 750 * ms, In: 600, Out: 7, Blocks: []uint32{9}},
	}}, all[0])
	assert.Equal(t, "line-2", all[1].ID)
	assert.Len(t, notes, 2)
}

// Lines of texts are sessions whose answers are the server's own; messages and payloads
// are whole in themselves. Keys of a line's own go into its body.
func TestMooncakeTexts(t *testing.T) {
	all, notes, err := open(t, session.Mooncake, "m.jsonl", `{"session_id":"s","text_input":"one two","output_length":5,"type":"mooncake_trace"}
{"session_id":"s","delay":250,"text_input":"three","extra":{"temperature":0.5,"model":"gpt"}}
{"messages":[{"role":"user","content":"a b"}],"output_length":0,"tools":[{"type":"function"}]}
{"payload":{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"c d e"}]}],"max_completion_tokens":9,"stream":false,"top_p":1}}`, byWord)
	require.NoError(t, err)
	require.Len(t, all, 3)
	ms := time.Millisecond
	assert.Equal(t, session.Trace{ID: "s", Live: true, Streams: []session.Stream{{Parent: -1}}, Turns: []session.Turn{
		{After: -1, In: 2, Out: 5, Says: []session.Message{{Role: "user", Content: "one two"}}},
		{After: 0, At: 250 * ms, Delay: 250 * ms, In: 8, Out: 220, Says: []session.Message{{Role: "user", Content: "three"}},
			Body: map[string]json.RawMessage{"temperature": json.RawMessage("0.5")}},
	}}, all[0])
	assert.Equal(t, session.Turn{After: -1, In: 2, Out: 1, Whole: true, Says: []session.Message{{Role: "user", Content: "a b"}},
		Body: map[string]json.RawMessage{"tools": json.RawMessage(`[{"type":"function"}]`)}}, all[1].Turns[0])
	assert.False(t, all[1].Live, "it has its answers with it")
	last := all[2].Turns[0]
	assert.Equal(t, []any{3, 9, true}, []any{last.In, last.Out, last.Whole})
	assert.JSONEq(t, `{"role":"user","content":[{"type":"text","text":"c d e"}]}`, string(last.Says[0].Verbatim))
	assert.Equal(t, map[string]json.RawMessage{"top_p": json.RawMessage("1")}, last.Body)
	assert.Equal(t, []string{"1 recorded answers have no tokens: they are asked for one",
		"1 turns do not say how long their answer is: 220 tokens are asked for",
		"2 turns name a model of their own: all are asked of MODEL"}, notes)
}

func TestMooncakeErrors(t *testing.T) {
	for want, line := range map[string]string{
		"line 2: want one of the keys input_length":          `{"output_length":1}`,
		"line 2: want one of the keys input_length,":         `{"text_input":"a","input_length":1}`,
		"line 2: key input_length":                           `{"input_length":0,"output_length":1}`,
		"line 2: key output_length":                          `{"input_length":5,"output_length":-1}`,
		"line 2: key prompt: an unknown key":                 `{"prompt":"a","output_length":1}`,
		"line 2: key text_input: it is empty":                `{"text_input":"","output_length":1}`,
		"line 2: key messages: there are none":               `{"messages":[]}`,
		"line 2: key messages, entry 0, key role":            `{"messages":[{"content":"x"}]}`,
		"line 2: key tools: only":                            `{"text_input":"a","tools":[{}]}`,
		"line 2: key hash_ids: only":                         `{"text_input":"a","hash_ids":[1]}`,
		"line 2: key type: \"bailian\"":                      `{"type":"bailian","text_input":"a"}`,
		"line 2: key payload: it has no list of messages":    `{"payload":{"prompt":"x"}}`,
		"line 2: key payload, key messages, entry 0":         `{"payload":{"messages":[7]}}`,
		"line 2: key extra: \"stream\" is the client's own":  `{"text_input":"a","extra":{"stream":false}}`,
		"line 2: key extra: key max_tokens: want a whole":    `{"text_input":"a","extra":{"max_tokens":"x"}}`,
		"line 2: tokens of the answer: want 0 or more":       `{"text_input":"a","output_length":-1}`,
		"line 2: its session has lines of lengths and lines": `{"session_id":"s","text_input":"a"}`,
		"line 2: key delay: want 0 or more":                  `{"input_length":5,"output_length":1,"delay":-1}`,
		"line 2: key timestamp: want 0 or more":              `{"input_length":5,"output_length":1,"timestamp":-5}`,
		"line 2: key hash_ids: want whole numbers":           `{"input_length":5,"output_length":1,"hash_ids":[1.5]}`,
		"line 2: key session_id: a JSON number where a ":     `{"input_length":5,"output_length":1,"session_id":7}`,
		"line 2: not valid JSON at byte 14":                  `{"input_length`,
	} {
		_, _, err := open(t, session.Mooncake, "m.jsonl", `{"session_id":"s","input_length":5,"output_length":1}`+"\n"+line)
		assert.ErrorContains(t, err, want)
	}
}

func TestMultiTurn(t *testing.T) {
	all, _, err := open(t, session.Multi, "m.jsonl", `{"session_id":"s","turns":[{"role":"system","text":"be brief"},{"text":"one two","output_length":5},{"texts":["three",{"name":"x","contents":["four"]}],"delay":1000,"extra":{"seed":1}}]}
{"turns":[{"timestamp":500,"text":"a"},{"timestamp":800,"text":"b"}]}
{"session_id":"s","turns":[{"text":"five","role":"tool"}]}
{"turns":[{"role":"system","text":"alone"}]}`, byWord)
	require.NoError(t, err)
	require.Len(t, all, 3)
	assert.Equal(t, session.Trace{ID: "s", Live: true, Streams: []session.Stream{{Parent: -1}}, Turns: []session.Turn{
		{After: -1, In: 4, Out: 5, Says: []session.Message{{Role: "system", Content: "be brief"}, {Role: "user", Content: "one two"}}},
		{After: 0, At: s, Delay: s, In: 11, Out: 220, Says: []session.Message{{Role: "user", Content: "three\nfour"}},
			Body: map[string]json.RawMessage{"seed": json.RawMessage("1")}},
		{After: 1, At: s, In: 232, Out: 220, Says: []session.Message{{Role: "tool", Content: "five"}}},
	}}, all[0])
	assert.Equal(t, 300*time.Millisecond, all[1].Turns[1].Delay)
	assert.Equal(t, "system", all[2].Turns[0].Says[0].Role)
	for want, line := range map[string]string{
		"line 1: key turns: there are none":                  `{"turns":[]}`,
		"line 1: turn 0, key text: there is none":            `{"turns":[{"role":"user"}]}`,
		"line 1: key turns, entry 0, key image: an unknown":  `{"turns":[{"image":"x.png","text":"a"}]}`,
		"line 1: turn 0, keys text and texts: want one":      `{"turns":[{"text":"a","texts":["b"]}]}`,
		"line 1: turn 0, key texts, entry 0: want a text":    `{"turns":[{"texts":[7]}]}`,
		"line 1: turn 0, key role: answers are the server's": `{"turns":[{"text":"a","role":"assistant"}]}`,
		"session line-1: turn 0, key delay: want 0 or more":  `{"turns":[{"text":"a","delay":-1}]}`,
		`session line-1: turn 0, key extra: "prompt" is the`: `{"turns":[{"text":"a","extra":{"prompt":1}}]}`,
	} {
		_, _, err := open(t, session.Multi, "m.jsonl", line)
		assert.ErrorContains(t, err, want)
	}
}

// Conversations that fork begin with what was said before, those that are spawned anew,
// and joins are waited for.
func TestDAG(t *testing.T) {
	const file = `{"session_id":"root","pre_session_spawns":["early"],"turns":[{"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"one two"}],"max_tokens":5,"tools":[{"type":"function"}],"spawns":["sub",{"children":["sub"],"join_at":2}]},{"messages":[{"role":"user","content":"three"}],"delay":1000,"model":"m"},{"messages":[{"role":"user","content":"four"}],"max_tokens":6,"forks":["branch"]}]}
{"session_id":"sub","turns":[{"messages":[{"role":"user","content":"x"}],"delay":500,"max_tokens":7},{"messages":[{"role":"user","content":"y"}],"max_tokens":7}]}
{"session_id":"early","turns":[{"messages":[{"role":"user","content":"z"}],"max_tokens":8}]}
{"session_id":"branch","turns":[{"messages":[{"role":"user","content":"on"}],"max_tokens":9}]}`
	all, notes, err := open(t, session.DAG, "d.jsonl", file, byWord)
	require.NoError(t, err)
	require.Len(t, all, 1)
	tr := all[0]
	assert.Equal(t, []session.Stream{{Parent: -1}, {ID: "early"}, {ID: "sub"}, {ID: "sub"}, {ID: "branch", Forked: true}}, tr.Streams)
	type link struct {
		stream, after int
		waits         []int
		in, out       int
		history       int
	}
	var got []link
	for k, u := range tr.Turns {
		got = append(got, link{u.Stream, u.After, u.Waits, u.In, u.Out, tr.History(k)})
	}
	assert.Equal(t, []link{
		{1, -1, nil, 1, 8, -1},
		{0, -1, nil, 4, 5, -1},
		{2, 1, nil, 1, 7, -1}, {2, 2, nil, 9, 7, 2},
		{3, 1, nil, 1, 7, -1}, {3, 4, nil, 9, 7, 4},
		{0, 1, []int{3}, 10, 220, 1},
		{0, 6, []int{5}, 231, 6, 6},
		{4, 7, nil, 238, 9, 7},
	}, got)
	assert.Equal(t, map[string]json.RawMessage{"tools": json.RawMessage(`[{"type":"function"}]`)}, tr.Turns[8].Body, "tools stay")
	assert.Contains(t, notes, "1 turns name a model of their own: all are asked of MODEL")

	for want, change := range map[string][2]string{
		"line 1: turn 0, key join_at: 7, want a turn behind it, of 3": {`"join_at":2`, `"join_at":7`},
		"line 1: turn 0, key forks: branch takes the conversation":    {`"spawns":["sub",`, `"forks":["branch"],"spawns":["sub",`},
		"line 1: key turns, entry 0, key spawn: an unknown key":       {`"spawns"`, `"spawn"`},
		"line 1: turn 1, key delay: want 0 or more":                   {`"delay":1000`, `"delay":-1`},
		"line 2: key session_id: there are two of root":               {`"session_id":"sub"`, `"session_id":"root"`},
		"line 2: key session_id: there is none":                       {`"session_id":"sub",`, ``},
		"line 4: turn 0, key messages, entry 0, key role":             {`"role":"user","content":"on"`, `"content":"on"`},
		"session root: there is no session nobody":                    {`"forks":["branch"]`, `"forks":["nobody"]`},
		"session root: session sub comes to fork or spawn itself":     {`"max_tokens":7}]}`, `"max_tokens":7,"spawns":["sub"]}]}`},
		"in a circle": {`"max_tokens":9}]}`, `"max_tokens":9,"spawns":["root"]}]}`},
		"session root: turn 0, key extra: \"stream\" is": {`"tools":`, `"extra":{"stream":1},"tools":`},
	} {
		require.Contains(t, file, change[0])
		_, _, err := open(t, session.DAG, "d.jsonl", strings.Replace(file, change[0], change[1], 1))
		assert.ErrorContains(t, err, want)
	}

	// Thirty levels that spawn two of the next each come to more turns than are made.
	var wide strings.Builder
	for i := range 30 {
		fmt.Fprintf(&wide, `{"session_id":"%d","turns":[{"messages":[{"role":"user","content":"x"}],"spawns":["%d",{"children":["%d"]}]},{"messages":[{"role":"user","content":"x"}]}]}`+"\n", i, i+1, i+1)
	}
	wide.WriteString(`{"session_id":"30","turns":[{"messages":[{"role":"user","content":"x"}]}]}`)
	_, _, err = open(t, session.DAG, "d.jsonl", wide.String())
	assert.ErrorContains(t, err, "the session comes to more than")
}

// A join waits for the child's own last turn, whatever that one spawned, as it does in
// AIPerf 0.13 and agentx-harness: of this file they send the root's second turn when the
// child has ended, and the grandchild's last one 1.4 s later.
func TestAJoinWaitsForTheChildAlone(t *testing.T) {
	all, _, err := open(t, session.DAG, "d.jsonl", `{"session_id":"root","turns":[{"messages":[{"role":"user","content":"start"}],"spawns":["child"]},{"messages":[{"role":"user","content":"go on"}]}]}
{"session_id":"child","turns":[{"messages":[{"role":"user","content":"one"}],"spawns":["grand"]}]}
{"session_id":"grand","turns":[{"messages":[{"role":"user","content":"one"}]},{"messages":[{"role":"user","content":"two"}],"delay":700},{"messages":[{"role":"user","content":"three"}],"delay":700}]}`)
	require.NoError(t, err)
	r, err := session.NewReplay(all, session.Rules{Lanes: 1, Sessions: 2})
	require.NoError(t, err)
	r.Measure()
	now, flying := time.Duration(0), []*session.Request(nil)
	var sent []string
	for len(sent) < 7 { // every answer takes a second
		for q := r.Next(now); q != nil; q = r.Next(now) {
			u := &q.Live.Trace.Turns[q.Turn]
			sent = append(sent, fmt.Sprintf("%v %d.%d", now, q.Live.Number, u.Stream))
			flying = append(flying, q)
		}
		wake, ok := r.Wake(now)
		if len(flying) > 0 && (!ok || flying[0].Due+time.Second <= wake) {
			now = flying[0].Due + time.Second
			r.Ended(flying[0], now, session.Outcome{})
			flying = flying[1:]
			continue
		}
		require.True(t, ok)
		now = wake
	}
	assert.Equal(t, []string{"0s 0.0", "1s 0.1", "2s 0.2", "2s 0.0", "3.7s 0.2", "5.4s 0.2", "6.4s 1.0"}, sent,
		"the root goes on beside the grandchild, and the lane waits for that")
}

func TestTurns(t *testing.T) {
	const sharegpt = `[{"id":"x","conversations":[{"from":"system","value":"be brief"},{"from":"human","value":"one two"},
	 {"from":"gpt","value":"three four five"},{"from":"human","value":"six"},{"from":"gpt","value":"seven"}]},
	 {"conversations":[{"from":"gpt","value":"unasked"}]},
	 {"conversations":[{"from":"robot","value":"a"}]},
	 {"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"},{"from":"human","value":"c"}]}]`
	all, notes, err := open(t, session.Turns, "s.json", sharegpt, byWord)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, session.Trace{ID: "conversation-1", Streams: []session.Stream{{Parent: -1}}, Turns: []session.Turn{
		{After: -1, In: 4, Out: 3, Answer: "three four five", Says: []session.Message{{Role: "system", Content: "be brief"}, {Role: "user", Content: "one two"}}},
		{After: 0, In: 8, Out: 1, Answer: "seven", Says: []session.Message{{Role: "user", Content: "six"}}},
	}}, all[0])
	assert.Equal(t, []string{"2 conversations cannot be sent: conversation 2: nothing in it that a user said was answered",
		"1 conversations end with a turn that nobody answered: that turn is left out"}, notes)

	lines := `{"messages":[{"role":"user","content":[{"type":"text","text":"hello"}]},{"role":"assistant","content":"a b c d e"}]}
{"messages":[{"role":"user","content":[{"type":"image_url"}]},{"role":"assistant","content":"b"}]}
{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"tool_calls":[{}]}]}
{"messages":[{"role":"user","content":"y"},{"role":"assistant","content":"z"}]}`
	all, notes, err = open(t, session.Turns, "m.jsonl", lines)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, "hello", all[0].Turns[0].Says[0].Content)
	assert.Equal(t, 3, all[0].Turns[0].Out, "nine characters, four a token")
	assert.Contains(t, notes[0], `2 conversations cannot be sent: conversation 2: content of type "image_url"`)
	assert.Contains(t, notes[1], "estimated")

	all, _, err = open(t, session.Turns, "m.jsonl", lines, func(o *traces.Options) { o.Most = 1 })
	require.NoError(t, err)
	assert.Len(t, all, 1)
	_, _, err = open(t, session.Turns, "m.jsonl", `{"messages":[`)
	assert.ErrorContains(t, err, "conversation 1: ")
	_, _, err = open(t, session.Turns, "m.jsonl", `{"messages":[]}`)
	assert.ErrorContains(t, err, "it has no sessions: conversation 1: nothing in it")
}

func TestAgenticTrace(t *testing.T) {
	const trace = `{"metadata":{"any":1},"conversations":[
	 [{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}],"prompt_tokens":12},
	  {"messages":[{"role":"tool","content":"r","tool_call_id":"c1"}],"output_tokens":5}],
	 [{"messages":[{"role":"user","content":"v"}]}]]}`
	all, _, err := open(t, session.Agent, "a.json", trace)
	require.NoError(t, err)
	require.Len(t, all, 2)
	assert.Equal(t, session.Trace{ID: "conversation-0", Live: true, Streams: []session.Stream{{Parent: -1}}, Turns: []session.Turn{
		{After: -1, In: 12, Out: 220, Says: []session.Message{{Role: "system", Content: "s"}, {Role: "user", Content: "u"}}},
		{After: 0, In: 1, Out: 5, Says: []session.Message{{Role: "tool", Content: "r", Tool: "c1"}}},
	}}, all[0])
	for want, change := range map[string][2]string{
		"conversation 0: request 1, key messages: there are none":          {`{"role":"tool","content":"r","tool_call_id":"c1"}`, ``},
		"conversation 0: request 0, key prompt_tokens: want 1 or more":     {`"prompt_tokens":12`, `"prompt_tokens":0`},
		`conversation 1: request 0, key messages: one of role "assistant"`: {`{"role":"user","content":"v"}`, `{"role":"assistant","content":"v"}`},
		"key conversations, entry 0, entry 0, key tokens: an unknown key":  {`"prompt_tokens":12`, `"tokens":12`},
		"key prompt_tokens: a JSON string where a whole number is wanted":  {`"prompt_tokens":12`, `"prompt_tokens":"12"`},
		"conversation 0: request 1, key output_tokens: want 1 or more":     {`"output_tokens":5`, `"output_tokens":0`},
		"key conversations: a JSON string where a list is wanted":          {trace[strings.Index(trace, `"conversations"`):], `"conversations":"x"}`},
		"it has no sessions": {trace, `{"conversations":[]}`},
	} {
		require.Contains(t, trace, change[0])
		_, _, err := open(t, session.Agent, "a.json", strings.Replace(trace, change[0], change[1], 1))
		assert.ErrorContains(t, err, want)
	}
}

// FuzzFormats reads whatever there is as each kind of sessions: an error of one line, or
// sessions that can be replayed.
func FuzzFormats(f *testing.F) {
	f.Add(`{"session_id":"s","timestamp":1e9,"input_length":600,"output_length":5,"hash_ids":[1,2]}` + "\n{}")
	f.Add(`[{"conversations":[{"from":"human","value":"a"},{"from":"gpt","value":"b"}]}]`)
	f.Add(`{"conversations":[[{"messages":[{"role":"user","content":"u"}],"prompt_tokens":12}]]}`)
	f.Add(`{"session_id":"s","turns":[{"text":"a","delay":1e9},{"texts":["b",{"contents":["c"]}]}]}`)
	f.Add(`{"session_id":"s","turns":[{"messages":[{"role":"user","content":"u"}],"spawns":["t"]}]}` + "\n" + `{"session_id":"t","turns":[{"messages":[{"role":"user"}]}]}`)
	f.Add(`{"payload":{"messages":[{"role":"user","content":[{"text":"u"}]}],"max_tokens":5}}`)
	file := filepath.Join(f.TempDir(), "x.jsonl")
	f.Fuzz(func(t *testing.T, text string) {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		for _, kind := range []*session.Kind{session.Mooncake, session.Turns, session.Agent, session.Multi, session.DAG} {
			all, _, err := traces.Open(t.Context(), traces.Options{Kind: kind, Path: file})
			if err != nil {
				assert.NotContains(t, err.Error(), "\n")
				continue
			}
			_, err = session.NewReplay(all, session.Rules{Lanes: 1})
			require.NoError(t, err)
		}
	})
}

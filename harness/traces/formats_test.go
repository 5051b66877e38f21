package traces_test

import (
	"context"
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

func TestMooncakeErrors(t *testing.T) {
	for want, line := range map[string]string{
		"line 2: key input_length":                       `{"output_length":1}`,
		"line 2: key output_length":                      `{"input_length":5,"output_length":-1}`,
		"line 2: key text_input: an unknown key":         `{"text_input":"a","output_length":1}`,
		"line 2: key delay: want 0 or more":              `{"input_length":5,"output_length":1,"delay":-1}`,
		"line 2: key timestamp: want 0 or more":          `{"input_length":5,"output_length":1,"timestamp":-5}`,
		"line 2: key hash_ids: want whole numbers":       `{"input_length":5,"output_length":1,"hash_ids":[1.5]}`,
		"line 2: key session_id: a JSON number where a ": `{"input_length":5,"output_length":1,"session_id":7}`,
		"line 2: jsontext":                               `{"input_length`,
	} {
		_, _, err := open(t, session.Mooncake, "m.jsonl", `{"input_length":5,"output_length":1}`+"\n"+line)
		assert.ErrorContains(t, err, want)
	}
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
	assert.Equal(t, session.Trace{ID: "conversation-0", Streams: []session.Stream{{Parent: -1}}, Turns: []session.Turn{
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
	file := filepath.Join(f.TempDir(), "x.jsonl")
	f.Fuzz(func(t *testing.T, text string) {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		for _, kind := range []*session.Kind{session.Mooncake, session.Turns, session.Agent} {
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

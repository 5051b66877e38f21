package workload_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/workload"
)

// file is a file of the given text.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// byWord counts a token a word and one that the tokenizer adds.
func byWord(_ context.Context, text string) (int, error) { return len(strings.Fields(text)) + 1, nil }

// byByte counts a token a byte and one that the tokenizer adds.
func byByte(_ context.Context, text string) (int, error) { return len(text) + 1, nil }

func open(t *testing.T, s workload.Spec) (workload.Source, []string) {
	t.Helper()
	src, notes, err := workload.Open(t.Context(), s)
	require.NoError(t, err)
	return src, notes
}

func request(t *testing.T, src workload.Source, i int) workload.Request {
	t.Helper()
	r, err := src.Request(i)
	require.NoError(t, err)
	assert.Equal(t, i, r.Index)
	return r
}

func TestSharedPrefix(t *testing.T) {
	src, _ := open(t, workload.Spec{N: 6, ISL: 100, OSL: 1, SharedPrefix: 0.3, Prefixes: 2, Seed: 1})
	all := map[int]workload.Request{}
	for i := -2; i < 6; i++ {
		all[i] = request(t, src, i)
	}
	assert.Equal(t, all[0].Tokens[:30], all[2].Tokens[:30])
	assert.Equal(t, all[0].Tokens[:30], all[-2].Tokens[:30], "the warm-up has the same prefixes")
	assert.NotEqual(t, all[0].Tokens[30], all[2].Tokens[30])
	assert.NotEqual(t, all[0].Tokens[:30], all[1].Tokens[:30], "every second prompt has the other prefix")
	assert.Len(t, all[0].Tokens, 100)

	src, _ = open(t, workload.Spec{N: 2, ISL: 10, OSL: 1, SharedPrefix: 1})
	assert.Equal(t, request(t, src, 0).Tokens, request(t, src, 1).Tokens)
}

func TestTextHasExactlyTheLengthThatTheServerCounts(t *testing.T) {
	for name, count := range map[string]workload.Counter{"a token a word": byWord, "a token a byte": byByte} {
		t.Run(name, func(t *testing.T) {
			s := workload.Spec{Kind: workload.RandomText, N: 20, WarmUp: 4, ISL: 200, OSL: 8, RangeRatio: 0.5, Seed: 3, Count: count}
			src, notes := open(t, s)
			assert.Empty(t, notes)
			seen := map[string]bool{}
			for i := -4; i < 20; i++ {
				r := request(t, src, i)
				n, _ := count(t.Context(), r.Text)
				want, _ := workload.Random{N: 20, ISL: 200, OSL: 8, RangeRatio: 0.5, Seed: 3}.Request(i)
				assert.Equal(t, len(want.Tokens), n, "the lengths that random ids would have")
				assert.Equal(t, want.OutputLen, r.OutputLen)
				assert.False(t, seen[r.Text])
				seen[r.Text] = true
				first, _, _ := strings.Cut(r.Text, " ")
				assert.LessOrEqual(t, len(first), 2, "with a template's space in front it counts much as without")
			}
			s.WarmUp = 0
			again, _ := open(t, s)
			assert.Equal(t, request(t, src, 5), request(t, again, 5), "the warm-up does not change the prompts")
		})
	}
}

func TestTextWithASharedPrefix(t *testing.T) {
	src, _ := open(t, workload.Spec{Kind: workload.RandomText, N: 3, ISL: 101, OSL: 1, SharedPrefix: 0.5, Count: byWord})
	a, b := strings.Fields(request(t, src, 0).Text), strings.Fields(request(t, src, 1).Text)
	assert.Equal(t, a[:50], b[:50])
	assert.NotEqual(t, a[50:], b[50:])
}

func TestTextThatCannotBeMade(t *testing.T) {
	odd := func(_ context.Context, text string) (int, error) { return 3 * len(text), nil }
	_, _, err := workload.Open(t.Context(), workload.Spec{Kind: workload.RandomText, N: 1, ISL: 10, OSL: 1, Count: odd})
	assert.ErrorContains(t, err, "no text of exactly 10 tokens")

	var calls atomic.Int32
	down := func(context.Context, string) (int, error) { calls.Add(1); return 0, errors.New("HTTP 500") }
	_, _, err = workload.Open(t.Context(), workload.Spec{Kind: workload.RandomText, N: 10000, ISL: 10, OSL: 1, Count: down})
	assert.ErrorContains(t, err, "HTTP 500")
	assert.Less(t, calls.Load(), int32(100), "it gives up at the first error")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err = workload.Open(ctx, workload.Spec{Kind: workload.RandomText, N: 10, ISL: 10, OSL: 1, Count: byWord})
	assert.ErrorIs(t, err, context.Canceled)
}

func TestJSONL(t *testing.T) {
	path := file(t, `{"prompt":"one"}
{"prompt":[5,6,7],"output_len":3}

{"text":"four","max_tokens":4}
not json
{"messages":[{"role":"user","content":"hi"}],"output_tokens":2}
{"prompt":7}
{"prompt":[-1]}
{"other":1}
{"prompt":"ten","output_len":0}
{"input_length":3}
{"prompt":"last, without a line end"}`)
	src, notes := open(t, workload.Spec{Kind: workload.JSONL, Path: path, N: 5, OSL: 9, Vocab: 256})
	require.Len(t, notes, 1)
	assert.Equal(t, `6 of 11 lines could not be used: line 5: not a JSON object of a prompt: invalid character 'o' in literal null (expecting 'u'); line 6: messages are for ENDPOINT=chat; line 7: "prompt" is neither text nor a list of token ids; …`, notes[0])
	assert.Equal(t, 5, src.Len())
	assert.Equal(t, workload.Request{Text: "one", OutputLen: 9}, request(t, src, 0))
	assert.Equal(t, workload.Request{Index: 1, Tokens: []int32{5, 6, 7}, OutputLen: 3}, request(t, src, 1))
	assert.Equal(t, workload.Request{Index: 2, Text: "four", OutputLen: 4}, request(t, src, 2))
	assert.Len(t, request(t, src, 3).Tokens, 3)
	assert.Equal(t, "last, without a line end", request(t, src, 4).Text)

	chat, notes := open(t, workload.Spec{Kind: workload.JSONL, Path: path, N: 4, OSL: 9, Chat: true})
	assert.Contains(t, notes[0], "line 2: token ids are not for ENDPOINT=chat")
	assert.JSONEq(t, `[{"role":"user","content":"hi"}]`, string(request(t, chat, 2).Messages))
	assert.Equal(t, "last, without a line end", request(t, src, -1).Text, "the warm-up takes prompts from the end")
}

func TestJSONLRepeats(t *testing.T) {
	path := file(t, "{\"prompt\":\"a\"}\n{\"prompt\":\"b\"}\n")
	src, notes := open(t, workload.Spec{Kind: workload.JSONL, Path: path, N: 5, OSL: 1})
	assert.Equal(t, []string{"the data set has 2 prompts for 5 requests: they repeat, and a prefix cache may answer the repeats"}, notes)
	assert.Equal(t, "a", request(t, src, 4).Text)
	_, notes = open(t, workload.Spec{Kind: workload.JSONL, Path: path, N: workload.Endless, OSL: 1})
	assert.Contains(t, notes[0], "repeat until")
	_, notes = open(t, workload.Spec{Kind: workload.JSONL, Path: path, N: 2, OSL: 1})
	assert.Empty(t, notes)
}

// Prompts to warm up with are others than those that are measured, as long as
// the file has others.
func TestWarmUpPromptsAreNotMeasured(t *testing.T) {
	const have, n, warmUp = 20, 12, 4
	var lines, entries []string
	for i := range have {
		lines = append(lines, fmt.Sprintf(`{"prompt":"p%d","timestamp":%d}`, i, i))
		entries = append(entries, fmt.Sprintf(`{"conversations":[{"value":"p%d"},{"value":"a"}]}`, i))
	}
	jsonl, sharegpt := file(t, strings.Join(lines, "\n")), file(t, "["+strings.Join(entries, ",")+"]")
	for name, s := range map[string]workload.Spec{
		"jsonl":    {Kind: workload.JSONL, Path: jsonl},
		"trace":    {Kind: workload.JSONL, Path: jsonl, Trace: true},
		"sharegpt": {Kind: workload.ShareGPT, Path: sharegpt},
	} {
		t.Run(name, func(t *testing.T) {
			s.N, s.WarmUp, s.OSL = n, warmUp, 1
			src, notes := open(t, s)
			assert.NotContains(t, strings.Join(notes, "\n"), "warm")
			seen := map[string]bool{}
			for i := -warmUp; i < n; i++ {
				seen[request(t, src, i).Text] = true
			}
			assert.Len(t, seen, n+warmUp)

			s.N = have - 1
			_, notes = open(t, s)
			assert.Contains(t, notes, "the data set has 20 prompts for 19 requests and 4 to warm up with: prompts of the warm-up are measured too, and a prefix cache may answer them")
		})
	}
}

// A trace in Mooncake's form: equal hash ids are equal blocks of 512 tokens.
func TestTrace(t *testing.T) {
	path := file(t, `{"timestamp":3000,"input_length":1100,"output_length":5,"hash_ids":[1,2,9]}
{"timestamp":1000,"input_length":600,"output_length":2,"hash_ids":[1,2]}
{"input_length":600,"output_length":2}
{"timestamp":1500.5,"input_length":700,"output_length":90000}
{"timestamp":2000,"prompt":[1,2],"output_length":2}
`)
	src, notes := open(t, workload.Spec{Kind: workload.JSONL, Path: path, N: 100, Trace: true, MaxLen: 4096})
	assert.Equal(t, []string{
		"2 of 5 lines could not be used: line 3: no timestamp; line 4: 700 + 90000 tokens are more than the server's context of 4096",
		"the trace's 3 requests span 2s, its timestamps read as ms (TRACE_UNIT)",
		"the trace has 3 requests where 100 were asked for",
	}, notes)
	require.Equal(t, 3, src.Len())
	a, b, c := request(t, src, 0), request(t, src, 1), request(t, src, 2)
	assert.Equal(t, []time.Duration{0, time.Second, 2 * time.Second}, []time.Duration{a.At, b.At, c.At}, "from the first, in order")
	assert.Len(t, a.Tokens, 600)
	assert.Len(t, c.Tokens, 1100)
	assert.Equal(t, a.Tokens[:600], c.Tokens[:600], "blocks 1 and 2 are the same")
	assert.NotEqual(t, a.Tokens[:512], c.Tokens[512:1024])
	assert.Equal(t, 5, c.OutputLen)
}

func TestShareGPT(t *testing.T) {
	entry := func(prompt, answer string) string {
		return fmt.Sprintf(`{"id":"x","conversations":[{"from":"human","value":%q},{"from":"gpt","value":%q}]}`, prompt, answer)
	}
	path := file(t, "["+strings.Join([]string{
		entry("one two three four", "a b c d e"),
		`{"id":"only one turn","conversations":[{"value":"x"}]}`,
		entry("short", "a b c d e"),
		`{"conversations":"what"}`,
		entry("long "+strings.Repeat("w ", 200), "a b c d"),
		entry("five six seven eight", "a b c d"),
	}, ",\n")+"]")
	src, notes := open(t, workload.Spec{Kind: workload.ShareGPT, Path: path, N: 2, OSL: 99, MaxLen: 100, Count: byWord})
	got := map[string]int{}
	for i := range 2 {
		r := request(t, src, i)
		got[r.Text] = r.OutputLen
	}
	assert.Equal(t, map[string]int{"one two three four": 6, "five six seven eight": 5}, got)
	require.Len(t, notes, 1)
	assert.Contains(t, notes[0], "of 6 entries could not be used: entry 2: 1 turns where the user's and its answer are needed; entry 4: ")

	src, notes = open(t, workload.Spec{Kind: workload.ShareGPT, Path: path, N: 3, OSL: 99})
	assert.Equal(t, 99, request(t, src, 0).OutputLen)
	assert.Contains(t, strings.Join(notes, "\n"), "no tokenizer to count the answers with: every output is 99 tokens")

	order := func(seed int64) (out []string) {
		src, _ := open(t, workload.Spec{Kind: workload.ShareGPT, Path: path, N: 4, OSL: 9, Seed: seed})
		for i := range 4 {
			word, _, _ := strings.Cut(request(t, src, i).Text, " ")
			out = append(out, word)
		}
		return out
	}
	assert.Equal(t, order(1), order(1))
	assert.Equal(t, []string{"short", "long", "five", "one"}, order(7), "on every machine and in every release: this must never change")
	assert.NotEqual(t, order(1), order(2))
}

func TestWorkloadsThatCannotBe(t *testing.T) {
	some := file(t, "{\"prompt\":\"\"}\n")
	for want, s := range map[string]workload.Spec{
		"at least one request":          {},
		"no tokenizer to measure text":  {Kind: workload.RandomText, N: 1, ISL: 1, OSL: 1},
		"DATASET_PATH names no file":    {Kind: workload.JSONL, N: 1},
		"reads no file":                 {N: 1, ISL: 1, OSL: 1, Path: some},
		"more than the server's":        {N: 1, ISL: 1000, OSL: 1000, MaxLen: 1999},
		"has no times":                  {N: 1, ISL: 1, OSL: 1, Trace: true},
		"without range ratio":           {Kind: workload.JSONL, Path: some, N: 1, RangeRatio: 0.5},
		"can be used (line 1: no prom":  {Kind: workload.JSONL, Path: some, N: 1, OSL: 1},
		"not a JSON list":               {Kind: workload.ShareGPT, Path: some, N: 1, OSL: 1},
		"no such file":                  {Kind: workload.JSONL, Path: "/no/such/file", N: 1},
		"shared prefix 2 is not from 0": {N: 1, ISL: 1, OSL: 1, SharedPrefix: 2},
		"give NUM_PROMPTS":              {Kind: workload.RandomText, N: workload.Endless, ISL: 1, OSL: 1, Count: byWord},
	} {
		_, _, err := workload.Open(t.Context(), s)
		require.ErrorContains(t, err, want)
		assert.NotContains(t, err.Error(), "\n")
	}
}

// A trace's times count from its first request, in the unit that their size or a
// setting tells; the span is told, since a wrong unit is another load.
func TestUnitsOfATrace(t *testing.T) {
	for name, c := range map[string]struct {
		stamps string
		unit   time.Duration
		last   time.Duration
		told   string
	}{
		"ms":                   {"0 500 2000.5", 0, 2000500 * time.Microsecond, "span 2.0005s, its timestamps read as ms"},
		"ms since 1970":        {"1764115200000 1764115200250 1764115201500", 0, 1500 * time.Millisecond, "span 1.5s, its timestamps read as ms"},
		"s since 1970":         {"1764115200.5 1764115201 1764115260.5", 0, time.Minute, "span 1m0s, its timestamps read as s"},
		"µs since 1970":        {"1764115200000000 1764115200500000 1764115202000000", 0, 2 * time.Second, "read as µs"},
		"ns since 1970":        {"1764115200000000000 1764115201000000000 1764115202000000000", 0, 2 * time.Second, "read as ns"},
		"s":                    {"0.0 0.5 3.25", time.Second, 3250 * time.Millisecond, "span 3.25s, its timestamps read as s"},
		"small ones are ms":    {"0.0 0.5 3.25", 0, 3250 * time.Microsecond, "span 3.25ms, its timestamps read as ms"},
		"a setting goes first": {"1764115200000 1764115201000 1764115202000", time.Microsecond, 2 * time.Millisecond, "read as µs"},
	} {
		t.Run(name, func(t *testing.T) {
			var lines []string
			for _, s := range strings.Fields(c.stamps) {
				lines = append(lines, `{"prompt":"x","timestamp":`+s+`}`)
			}
			src, notes := open(t, workload.Spec{Kind: workload.JSONL, Path: file(t, strings.Join(lines, "\n")), N: 3, OSL: 1, Trace: true, TraceUnit: c.unit})
			assert.Equal(t, time.Duration(0), request(t, src, 0).At)
			assert.InDelta(t, c.last, request(t, src, 2).At, float64(time.Microsecond))
			require.Len(t, notes, 1)
			assert.Contains(t, notes[0], c.told)
		})
	}
	src, notes := open(t, workload.Spec{Kind: workload.JSONL, N: 2, OSL: 1, Trace: true,
		Path: file(t, `{"prompt":"x","timestamp":0}`+"\n"+`{"prompt":"x","timestamp":10}`+"\n"+`{"prompt":"x","timestamp":999}`)})
	assert.Equal(t, 2, src.Len())
	assert.Equal(t, []string{"the trace's 2 requests span 10ms, its timestamps read as ms (TRACE_UNIT)"}, notes, "of those that are sent")
}

// Whole numbers are read as Python writes them.
func TestWholeNumbers(t *testing.T) {
	src, notes := open(t, workload.Spec{Kind: workload.JSONL, N: 4, OSL: 1, Vocab: 256, Path: file(t, strings.Join([]string{
		`{"input_length":1024.0,"output_length":8.0,"hash_ids":[1.0,2.0]}`,
		`{"input_length":1024,"output_length":8,"hash_ids":[1,2]}`,
		`{"prompt":[7.0,8.0],"max_tokens":1e1}`,
		`{"prompt":"x","output_len":3,"timestamp":null,"input_length":null}`,
	}, "\n"))})
	assert.Empty(t, notes)
	assert.Equal(t, request(t, src, 1).Tokens, request(t, src, 0).Tokens)
	assert.Equal(t, 8, request(t, src, 0).OutputLen)
	assert.Equal(t, []int32{7, 8}, request(t, src, 2).Tokens)
	assert.Equal(t, 10, request(t, src, 2).OutputLen)
	for _, bad := range []string{`{"prompt":"x","output_len":8.5}`, `{"prompt":[1.5]}`, `{"prompt":[4294967296.0]}`, `{"prompt":"x","output_len":"8"}`} {
		_, _, err := workload.Open(t.Context(), workload.Spec{Kind: workload.JSONL, N: 1, OSL: 1, Path: file(t, bad)})
		require.ErrorContains(t, err, "line 1: ", bad)
		assert.NotContains(t, err.Error(), "\n")
	}
}

// A key that would make another workload of a line is refused by name, not
// dropped; one that changes nothing is let through.
func TestKeysThatAreNotFollowed(t *testing.T) {
	for _, key := range []string{
		`"session_id":"s1"`, `"delay":250`, `"Delay":0.5`, `"tools":[{"type":"function"}]`, `"extra":{"top_k":5}`, `"hash_ids":[1,2]`,
		`"temperature":0.7`, `"system":"Be brief."`, `"turns":[{}]`, `"images":["x"]`, `"n":2`, `"lora_name":"a"`, `"response_format":{"type":"json_object"}`,
		`"body":{"prompt":"y"}`, `"stop":["\n"]`, `"parent_id":3`,
	} {
		name, _, _ := strings.Cut(key, ":")
		_, _, err := workload.Open(t.Context(), workload.Spec{Kind: workload.JSONL, N: 2, OSL: 1, Path: file(t, `{"prompt":"x"}`+"\n"+`{"prompt":"x",`+key+`}`)})
		require.ErrorContains(t, err, "line 2: "+name+" changes what is sent", key)
	}
	for _, key := range []string{
		`"session_id":null`, `"delay":0`, `"delay":0.0`, `"tools":[]`, `"extra":{}`, `"id":7`, `"category":"x"`, `"n":1`, `"top_p":1.0`, `"temperature":0`, `"system":""`,
		`"answer":"x"`, `"hash_ids":[]`,
	} {
		_, notes := open(t, workload.Spec{Kind: workload.JSONL, N: 1, OSL: 1, Path: file(t, `{"prompt":"x",`+key+`}`)})
		assert.Empty(t, notes, key)
	}
}

// Roles decide which turn is the prompt, under whichever keys they stand.
func TestRolesOfAConversation(t *testing.T) {
	for name, c := range map[string]struct{ entry, prompt, why, note string }{
		"as it is":        {`{"conversations":[{"from":"human","value":"p"},{"from":"gpt","value":"a b c"}]}`, "p", "", ""},
		"system first":    {`{"conversations":[{"from":"system","value":"be"},{"from":"human","value":"p"},{"from":"gpt","value":"a b c"}]}`, "p", "", "1 of 1 entries have a system prompt, which is left out"},
		"assistant first": {`{"conversations":[{"from":"gpt","value":"hi"},{"from":"human","value":"p"},{"from":"gpt","value":"a b c"}]}`, "p", "", ""},
		"role, content":   {`{"conversations":[{"role":"user","content":"p"},{"role":"assistant","content":"a b c"}]}`, "p", "", ""},
		"messages":        {`{"messages":[{"role":"system","content":""},{"role":"User","content":"p"},{"role":"assistant","content":"a b c"}]}`, "p", "", ""},
		"no roles":        {`{"conversations":[{"value":"p"},{"value":"a b c"}]}`, "p", "", ""},
		"no user":         {`{"conversations":[{"from":"system","value":"x"},{"from":"gpt","value":"a b c"}]}`, "", "no turn of a user", ""},
		"no answer":       {`{"conversations":[{"from":"gpt","value":"x"},{"from":"human","value":"p"}]}`, "", "1 turns where the user's and its answer", ""},
		"two of a user":   {`{"conversations":[{"from":"human","value":"p"},{"from":"human","value":"q"}]}`, "", "no answer to the user's first turn", ""},
		"nothing said":    {`{"conversations":[{"from":"human","value":""},{"from":"gpt","value":"a"}]}`, "", "an empty prompt", ""},
		"parts":           {`{"messages":[{"role":"user","content":[{"type":"text"}]},{"role":"assistant","content":"a"}]}`, "", "is an array", ""},
	} {
		t.Run(name, func(t *testing.T) {
			src, notes, err := workload.Open(t.Context(), workload.Spec{Kind: workload.ShareGPT, N: 1, OSL: 1, Path: file(t, "["+c.entry+"]"),
				Count: func(_ context.Context, text string) (int, error) { return 3 + len(strings.Fields(text)), nil }})
			if c.why != "" {
				require.ErrorContains(t, err, c.why)
				return
			}
			require.NoError(t, err)
			r := request(t, src, 0)
			assert.Equal(t, c.prompt, r.Text)
			assert.Equal(t, 6, r.OutputLen)
			assert.Contains(t, strings.Join(notes, "\n"), c.note)
			assert.Equal(t, c.note == "", len(notes) == 0)
		})
	}
}

package traces_test

import (
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

const s = time.Second

// weka is a trace of a root and two sub-agents, the first of which the root waits for.
const weka = `{"id":"one","models":["m"],"block_size":4,"hash_id_scope":"local","tool_tokens":4,"system_tokens":3,
 "requests":[
  {"t":0,"type":"s","model":"m","in":10,"out":5,"hash_ids":[0,1,2],"input_types":["text"],"output_types":["tool_use"],
   "stop":"tool_use","api_time":2.5,"think_time":null,"ttft":0.4},
  {"t":3,"type":"subagent","agent_id":"a1","subagent_type":"Explore","duration_ms":4000,"total_tokens":30,"tool_use_count":1,
   "status":"completed","models":["m"],"requests":[
    {"t":3.5,"type":"n","model":"m","in":8,"out":0,"hash_ids":[7,8],"api_time":1},
    {"t":5,"type":"n","model":"m","in":12,"out":3,"hash_ids":[7,8,9],"api_time":2}]},
  {"t":4,"type":"subagent","agent_id":"a2","subagent_type":"Plan","duration_ms":null,"total_tokens":null,"tool_use_count":null,
   "status":"async_launched","models":["m"],"requests":[{"t":1,"type":"n","model":"m","in":4,"out":1,"hash_ids":[50]}]},
  {"t":8,"type":"s","model":"m","in":17,"out":2,"hash_ids":[0,1,2,3],"api_time":1}],
 "totals":{"anything":[1]}}`

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestWeka(t *testing.T) {
	all, notes, err := traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: write(t, "one.json", weka)})
	require.NoError(t, err)
	want := session.Trace{ID: "one", Block: 4,
		Streams: []session.Stream{{Parent: -1, Prefix: 7}, {ID: "a1", Parent: 0, Spawned: 3 * s}, {ID: "a2", Spawned: 3 * s}},
		Turns: []session.Turn{
			{After: -1, Took: 2500 * time.Millisecond, In: 10, Out: 5, Blocks: []uint32{0, 1, 2}},
			{Stream: 1, After: 0, At: 3500 * time.Millisecond, Delay: s / 2, Took: s, In: 8, Out: 1, Blocks: []uint32{7, 8}},
			{Stream: 1, After: 1, At: 5 * s, Delay: s / 2, Took: 2 * s, In: 12, Out: 3, Blocks: []uint32{7, 8, 9}},
			{Stream: 2, After: 0, At: 5 * s, Delay: 2 * s, Waits: []int{1}, In: 4, Out: 1, Blocks: []uint32{50}},
			{After: 0, At: 8 * s, Delay: 5500 * time.Millisecond, Waits: []int{2}, Took: s, In: 17, Out: 2, Blocks: []uint32{0, 1, 2, 3}},
		}}
	// The second sub-agent's time in the file is from its spawn. It was spawned behind the
	// same turn as the first, and so begins by the time since that one's spawn. The root
	// also comes after what it had done by then.
	want.Turns[4].Waits = []int{2, 3}
	assert.Equal(t, []session.Trace{want}, all)
	assert.Equal(t, []string{
		"1 recorded answers have no tokens: they are asked for one",
		"1 sub-agents have no end that a request of their parent comes after: nothing waits for them"}, notes)
}

// Traces come one a file, one a line, and from all files of a folder.
func TestFiles(t *testing.T) {
	line := strings.ReplaceAll(weka, "\n", "")
	two := strings.Replace(line, `"one"`, `"two"`, 1)
	three := strings.Replace(weka, `"one"`, `"three"`, 1)
	dir := t.TempDir()
	for name, text := range map[string]string{"b.jsonl": line + "\n\n" + two + "\n", "a.json": "\ufeff" + three, "x.txt": "no"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	all, _, err := traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: dir})
	require.NoError(t, err)
	require.Len(t, all, 3)
	assert.Equal(t, []string{"three", "one", "two"}, []string{all[0].ID, all[1].ID, all[2].ID})

	require.NoError(t, os.WriteFile(filepath.Join(dir, "c.json"), []byte(weka), 0o600))
	_, _, err = traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: dir})
	assert.ErrorContains(t, err, filepath.Join(dir, "c.json")+": trace one: "+filepath.Join(dir, "b.jsonl")+" has one of that id, too")
	_, _, err = traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: t.TempDir()})
	assert.ErrorContains(t, err, "there is no file in it that ends with .json, .jsonl, .parquet")
	_, _, err = traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: filepath.Join(dir, "none")})
	assert.ErrorContains(t, err, "no such file")
	_, _, err = traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: write(t, "e.json", "\n")})
	assert.ErrorContains(t, err, "it has no sessions")
}

// What is wrong is said with the file, the trace, the request and the key.
func TestWekaErrors(t *testing.T) {
	for want, change := range map[string][2]string{
		"trace one: request 0, key in: a JSON string where a whole number is wanted":            {`"in":10`, `"in":"10"`},
		"trace one: request 1, request 0, key temperature: an unknown key":                      {`"in":8`, `"temperature":1,"in":8`},
		"trace one: key extra: an unknown key":                                                  {`"models":["m"],"block`, `"extra":1,"models":["m"],"block`},
		"request 0, key hash_ids: want whole numbers":                                           {`[0,1,2]`, `[0,-1,2]`},
		"request 0, key hash_ids: want whole":                                                   {`[0,1,2]`, `[[0,1,2]]`},
		"request 0, key in: it is not a whole number":                                           {`"in":10`, `"in":10.5`},
		"request 0, key in: the number is too large":                                            {`"in":10`, `"in":1000000000000000000000`},
		"request 0, key in: not valid JSON at byte ":                                            {`"in":10`, `"in":NaN`},
		"trace one: key block_size: not valid JSON at byte ":                                    {`"block_size":4`, `"block_size":4,"block_size":4`},
		"request 0, key in: want 1 token or more":                                               {`"in":10`, `"in":0`},
		"request 1, request 1, key out: want 0 tokens or more":                                  {`"out":3`, `"out":-3`},
		"request 1, request 1, key model: there is none":                                        {`"type":"n","model":"m","in":12`, `"type":"n","in":12`},
		"request 3, key in: want 1 token or more, 16777216 at most":                             {`"in":17`, `"in":17000000`},
		"request 3, key t: want 0 or more":                                                      {`"t":8,`, `"t":-8,`},
		`request 3, key type: "x"`:                                                              {`"t":8,"type":"s"`, `"t":8,"type":"x"`},
		"request 1, request 0, key ttft":                                                        {`"in":8`, `"ttft":1,"in":8`},
		"request 1, key duration_ms: want 0 or more":                                            {`4000`, `-4000`},
		"request 1, key agent_id: there is none":                                                {`"agent_id":"a1",`, ``},
		"request 1, request 0, key api_time":                                                    {`"api_time":1}`, `"api_time":-1}`},
		"key block_size: want 1 or more":                                                        {`"block_size":4`, `"block_size":0`},
		"key hash_id_scope":                                                                     {`"local"`, `"global"`},
		"keys tool_tokens, system_tokens: they are 104 tokens, and the 3 hash_ids of the first": {`"tool_tokens":4`, `"tool_tokens":101`},
		"no requests": {weka[strings.Index(weka, `"requests":[`):], `"requests":[]}`},
		"trace 1: ":   {weka, `{"id":`},
		"trace 1: a JSON list where an object is wanted": {weka, `[` + weka + `]`},
		"trace 1: key id: there is none":                 {`"id":"one",`, ``},
	} {
		require.Contains(t, weka, change[0])
		file := write(t, "x.json", strings.Replace(weka, change[0], change[1], 1))
		_, _, err := traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: file})
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, file)
		assert.Equal(t, 1, strings.Count(err.Error(), "trace "), "named once: %v", err)
	}
}

// Contexts that shrink, entries out of order and answers without tokens are told, and
// the replay has an order all the same.
func TestWekaOddities(t *testing.T) {
	odd := `{"id":"odd","models":[],"block_size":4,"hash_id_scope":"local","requests":[
	 {"t":9,"type":"n","model":"m","in":12,"out":1,"hash_ids":[0,1,2]},
	 {"t":3,"type":"n","model":"m","in":4,"out":1,"hash_ids":[0]},
	 {"t":12,"type":"n","model":"m","in":4,"out":1,"hash_ids":[0]},
	 {"t":2,"type":"subagent","agent_id":"a","subagent_type":"x","status":"completed","models":[],"requests":[]}]}`
	all, notes, err := traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: write(t, "odd.json", odd)})
	require.NoError(t, err)
	assert.Equal(t, []int{4, 12, 4}, []int{all[0].Turns[0].In, all[0].Turns[1].In, all[0].Turns[2].In})
	assert.Equal(t, []string{
		"2 requests stand in their file behind ones that were recorded later: they are sent in order of time",
		"1 turns leave out part of what their stream had said before (a compaction, or another branch)",
		"1 sub-agents have no request of their own: they are left out"}, notes)
}

// Times beyond all reason are taken for long ones, and the replay does not wait for them.
func TestTimesBeyondReason(t *testing.T) {
	odd := strings.NewReplacer(`"t":8,`, `"t":1e300,`, `"duration_ms":4000`, `"duration_ms":1e300`, `"api_time":1}]}`, `"api_time":1e300}]}`).Replace(weka)
	all, _, err := traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: write(t, "x.json", odd)})
	require.NoError(t, err)
	r, err := session.NewReplay(all, session.Rules{Lanes: 1, SystemIdle: 10 * s})
	require.NoError(t, err)
	r.Measure()
	now, sent := time.Duration(0), 0
	for !r.Over(now) {
		for q := r.Next(now); q != nil; q = r.Next(now) {
			sent++
			r.Ended(q, now, session.Outcome{})
		}
		if wake, ok := r.Wake(now); ok {
			now = wake
		}
	}
	assert.Equal(t, 5, sent)
	assert.Less(t, now, time.Minute)
}

// bigTrace is a line of a long session: turns of up to most tokens, in blocks of 64.
func bigTrace(id string, turns, most int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"id":%q,"models":["m"],"block_size":64,"hash_id_scope":"local","requests":[`, id)
	for k := range turns {
		in := most * (k + 1) / turns
		if k > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"t":%d,"type":"s","model":"m","in":%d,"out":100,"api_time":1.5,"hash_ids":[`, 10*k, in)
		for i := range in / 64 {
			if i > 0 {
				b.WriteByte(',')
			}
			fmt.Fprint(&b, i)
		}
		b.WriteString("]}")
	}
	b.WriteString("]}\n")
	return b.String()
}

func BenchmarkOpen(b *testing.B) {
	file := filepath.Join(b.TempDir(), "big.jsonl")
	f, err := os.Create(file)
	require.NoError(b, err)
	for i := range 20 {
		f.WriteString(bigTrace(fmt.Sprint("t", i), 100, 256<<10))
	}
	info, _ := f.Stat()
	f.Close()
	b.SetBytes(info.Size())
	b.ReportAllocs()
	for b.Loop() {
		_, _, err := traces.Open(b.Context(), traces.Options{Kind: session.Weka, Path: file})
		require.NoError(b, err)
	}
}

func FuzzWeka(f *testing.F) {
	f.Add(weka)
	f.Add(`{"id":"x","models":[],"block_size":1,"hash_id_scope":"local","requests":[{"t":1e300,"type":"n","model":"","in":1,"out":0}]}`)
	file := filepath.Join(f.TempDir(), "x.json")
	f.Fuzz(func(t *testing.T, text string) {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		all, _, err := traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: file})
		if err != nil {
			assert.NotContains(t, err.Error(), "\n")
			return
		}
		for i := range all {
			require.NoError(t, all[i].Check())
		}
	})
}

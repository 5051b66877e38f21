package traces_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/session"
	"inferbench/harness/traces"
)

// flat writes requests of a trace, each as "t model ids…".
type flat struct {
	t, took int
	model   string
	ids     []uint32
}

func flatTrace(calls ...flat) string {
	text := `{"id":"flat","models":["m"],"block_size":4,"hash_id_scope":"local","requests":[`
	for i, c := range calls {
		ids, _ := json.Marshal(c.ids)
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(`{"t":%d,"type":"n","model":%q,"in":%d,"out":1,"api_time":%d,"hash_ids":%s}`, c.t, c.model, max(4*len(c.ids), 1), c.took, ids)
	}
	return text + "]}"
}

// Requests of several agents in one list are told apart by what their prompts share;
// the cases are the rules of agentx-harness 1.0.12, weka_agent_chains.py.
func TestChains(t *testing.T) {
	ids := func(ids ...uint32) []uint32 { return ids }
	for name, c := range map[string]struct {
		calls   []flat
		streams []int // of each turn, in order of time
	}{
		"one agent":                        {[]flat{{0, 1, "m", ids(0, 1)}, {2, 1, "m", ids(0, 1, 2)}, {4, 1, "m", ids(0, 1, 2, 3)}}, []int{0, 0, 0}},
		"a compaction":                     {[]flat{{0, 1, "m", ids(0, 1, 2, 3)}, {2, 1, "m", ids(0, 9)}, {4, 1, "m", ids(0, 9, 10)}}, []int{0, 0, 0}},
		"a fork, since the longer goes on": {[]flat{{0, 1, "m", ids(0, 1, 2)}, {2, 1, "m", ids(0, 9)}, {4, 1, "m", ids(0, 1, 2, 3)}}, []int{0, 1, 0}},
		"nothing shared":                   {[]flat{{0, 1, "m", ids(0, 1)}, {2, 1, "m", ids(7, 8)}, {4, 1, "m", ids(0, 1, 2)}}, []int{0, 1, 0}},
		"another model":                    {[]flat{{0, 1, "m", ids(0, 1)}, {2, 1, "h", ids(0, 1, 2)}}, []int{0, 1}},
		"before the answer had come":       {[]flat{{0, 9, "m", ids(0, 1)}, {2, 1, "m", ids(0, 1, 2)}}, []int{0, 1}},
		"no ids tell nothing":              {[]flat{{0, 1, "m", ids(0, 1)}, {2, 1, "m", nil}, {4, 1, "m", ids(0, 1, 2)}}, []int{0, 0, 0}},
		"the deeper of two goes on":        {[]flat{{0, 1, "m", ids(0, 1, 2, 3)}, {2, 1, "m", ids(0, 8)}, {4, 1, "m", ids(0, 1, 9)}}, []int{0, 1, 0}},
		"long after, of little":            {[]flat{{0, 1, "m", ids(0, 1, 2, 3)}, {4000, 1, "m", ids(0, 8)}}, []int{0, 1}},
		"a title first":                    {[]flat{{0, 1, "h", ids(70, 71)}, {2, 1, "m", ids(0, 1)}, {4, 1, "m", ids(0, 1, 2)}}, []int{0, 0, 0}},
		"two compactions":                  {[]flat{{0, 1, "m", ids(0, 1, 2)}, {2, 1, "m", ids(0, 7)}, {4, 1, "m", ids(0, 7, 8)}, {6, 1, "m", ids(0, 9)}}, []int{0, 0, 0, 0}},
	} {
		all, notes, err := open(t, session.Weka, "flat.json", flatTrace(c.calls...))
		require.NoError(t, err, name)
		var got []int
		for _, u := range all[0].Turns {
			got = append(got, u.Stream)
		}
		assert.Equal(t, c.streams, got, name)
		if len(all[0].Streams) > 1 {
			assert.Contains(t, notes, "1 agents were recorded among the requests of another: they are streams of their own, by the "+
				"blocks that their prompts share")
			assert.Equal(t, "chain-1", all[0].Streams[1].ID)
			assert.Zero(t, all[0].Streams[1].Parent)
		}
	}
}

// What an agent that is found in a list begins with, when it begins, and what waits for
// it: the rules of agentx-harness 1.0.12, weka_trace.py.
func TestFoundAgents(t *testing.T) {
	const trace = `{"id":"x","models":["m"],"block_size":4,"hash_id_scope":"local","tool_tokens":4,"system_tokens":3,"requests":[
	 {"t":0,"type":"n","model":"h","in":8,"out":9,"hash_ids":[90,91],"api_time":1},
	 {"t":2,"type":"n","model":"m","in":16,"out":9,"hash_ids":[0,1,2,3],"api_time":10},
	 {"t":3,"type":"n","model":"m","in":12,"out":9,"hash_ids":[0,1,7],"api_time":1},
	 {"t":4,"type":"n","model":"m","in":12,"out":9,"hash_ids":[0,8,9],"api_time":1},
	 {"t":14,"type":"subagent","agent_id":"a","status":"completed","duration_ms":9000,"models":["m"],"tool_tokens":4,"requests":[
	  {"t":15,"type":"n","model":"m","in":8,"out":9,"hash_ids":[50,51],"api_time":3},
	  {"t":16,"type":"n","model":"m","in":8,"out":9,"hash_ids":[50,60],"api_time":9},
	  {"t":19,"type":"n","model":"m","in":8,"out":9,"hash_ids":[50,51,52],"api_time":1}]},
	 {"t":24,"type":"n","model":"m","in":20,"out":9,"hash_ids":[0,1,2,3,4],"api_time":1}]}`
	all, _, err := open(t, session.Weka, "x.json", trace)
	require.NoError(t, err)
	assert.Equal(t, []session.Stream{{Parent: -1, Prefix: 7}, {ID: "a", Prefix: 4, Spawned: 14 * s},
		{ID: "chain-1", Prefix: 7, Spawned: 3 * s}, // the whole prefix is the root's
		{ID: "chain-2", Spawned: 3 * s},            // a part of it
		{ID: "a/chain-1", Prefix: 4, Spawned: 14 * s}}, all[0].Streams)
	type link struct {
		stream, after int
		beside        bool
		delay         time.Duration
		waits         []int
	}
	var got []link
	for _, u := range all[0].Turns {
		got = append(got, link{u.Stream, u.After, u.Beside, u.Delay, u.Waits})
	}
	assert.Equal(t, []link{
		{0, -1, false, 0, nil}, // of another's prompt, and the root's
		{0, 0, false, s, nil},
		{2, 1, true, s, nil}, // while the root's answer comes
		{3, 1, true, 2 * s, []int{2}},
		{1, 1, false, s, []int{3}},
		{4, 1, false, 2 * s, []int{3}},
		{1, 4, false, s, nil},
		{0, 1, false, 12 * s, []int{5, 6}}, // both of the sub-agent's, which had ended by its own word
	}, got)
	all, notes, err := open(t, session.Weka, "x.json", strings.Replace(trace, `"requests":[`, `"requests":[{"t":0,"type":"subagent","agent_id":"early",
	 "status":"completed","models":[],"requests":[{"t":0,"type":"n","model":"m","in":8,"out":9}]},`, 1))
	require.NoError(t, err)
	assert.Len(t, all[0].Turns, 8)
	assert.Contains(t, notes, "1 sub-agents stand before every request of their parent: nobody spawns them, and they are left out")
}

type parquetCall struct {
	T       *float64       `parquet:"t,optional"`
	Type    string         `parquet:"type"`
	Model   *string        `parquet:"model,optional"`
	In      *int64         `parquet:"in,optional"`
	Out     *int64         `parquet:"out,optional"`
	IDs     []int64        `parquet:"hash_ids,list,optional"`
	Agent   *string        `parquet:"agent_id,optional"`
	Status  *string        `parquet:"status,optional"`
	Took    *float64       `parquet:"api_time,optional"`
	Inner   []parquetCall2 `parquet:"requests,list,optional"`
	Unknown *string        `parquet:"unknown,optional"`
}

type parquetCall2 struct {
	T     *float64 `parquet:"t,optional"`
	Type  string   `parquet:"type"`
	Model *string  `parquet:"model,optional"`
	In    *int64   `parquet:"in,optional"`
	Out   *int64   `parquet:"out,optional"`
	IDs   []int64  `parquet:"hash_ids,list,optional"`
}

type parquetTrace struct {
	ID       string        `parquet:"id"`
	Models   []string      `parquet:"models,list"`
	Block    int64         `parquet:"block_size"`
	Scope    string        `parquet:"hash_id_scope"`
	Requests []parquetCall `parquet:"requests,list"`
}

type parquetText struct {
	ID       string `parquet:"id"`
	Block    int64  `parquet:"block_size"`
	Scope    string `parquet:"hash_id_scope"`
	Requests string `parquet:"requests"`
}

func writeParquet[T any](t *testing.T, rows ...T) string {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b)
	_, err := w.Write(rows)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	file := filepath.Join(t.TempDir(), "rows.parquet")
	require.NoError(t, os.WriteFile(file, b.Bytes(), 0o600))
	return file
}

func ptr[T any](v T) *T { return &v }

// A data set's parquet has a trace a row, with the columns of all kinds of requests, or
// with the requests as a text.
func TestParquet(t *testing.T) {
	call := parquetCall{T: ptr(0.0), Type: "n", Model: ptr("m"), In: ptr(int64(8)), Out: ptr(int64(1)), IDs: []int64{0, 1}, Took: ptr(1.0)}
	agent := parquetCall{T: ptr(2.0), Type: "subagent", Agent: ptr("a"), Status: ptr("completed"),
		Inner: []parquetCall2{{T: ptr(3.0), Type: "n", Model: ptr("m"), In: ptr(int64(4)), Out: ptr(int64(2)), IDs: []int64{5}}}}
	row := parquetTrace{ID: "one", Models: []string{"m"}, Block: 4, Scope: "local", Requests: []parquetCall{call, agent}}
	all, _, err := traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: writeParquet(t, row)})
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Len(t, all[0].Turns, 2)
	assert.Equal(t, []uint32{0, 1}, all[0].Turns[0].Blocks)
	assert.Equal(t, "a", all[0].Streams[1].ID)

	text := parquetText{ID: "two", Block: 4, Scope: "local", Requests: `[{"t":0,"type":"n","model":"m","in":4,"out":1,"hash_ids":[3]}]`}
	all, _, err = traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: writeParquet(t, text)})
	require.NoError(t, err)
	assert.Equal(t, []uint32{3}, all[0].Turns[0].Blocks)

	call.Unknown = ptr("x")
	row.Requests = []parquetCall{call}
	_, _, err = traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: writeParquet(t, row)})
	assert.ErrorContains(t, err, "trace one: request 0, key unknown: an unknown key")
	_, _, err = traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: write(t, "x.parquet", "PAR1 and no more")})
	assert.ErrorContains(t, err, "x.parquet: ")
}

// oddCall has other types for its keys than those of the data set of record: each is
// taken for the number that it is, or refused by its name.
type oddCall struct {
	T     float32   `parquet:"t"`
	Type  string    `parquet:"type"`
	Model string    `parquet:"model"`
	In    uint32    `parquet:"in"`
	Out   float64   `parquet:"out"`
	IDs   []*uint64 `parquet:"hash_ids"`
	Stop  []string  `parquet:"output_types,list"`
}

type oddRow struct {
	ID       string    `parquet:"id"`
	Block    int32     `parquet:"block_size"`
	Scope    string    `parquet:"hash_id_scope"`
	Requests []oddCall `parquet:"requests"`
}

func TestParquetOfOtherTypes(t *testing.T) {
	one, big := ptr(uint64(1)), ptr(uint64(math.MaxUint32))
	calls := []oddCall{{T: 0.5, Type: "n", Model: "m", In: 8, Out: 2, IDs: []*uint64{one, big}, Stop: []string{"a", ""}},
		{T: 1.5, Type: "n", Model: "m", In: 100, Out: 3}}
	rows := make([]oddRow, 3) // more than are read at a time
	for i := range rows {
		rows[i] = oddRow{ID: fmt.Sprint("row-", i), Block: 4, Scope: "local", Requests: calls[:1+i%2]}
	}
	all, _, err := traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: writeParquet(t, rows...)})
	require.NoError(t, err)
	require.Len(t, all, 3)
	assert.Equal(t, []uint32{1, math.MaxUint32}, all[0].Turns[0].Blocks)
	require.Len(t, all[1].Turns, 2)
	assert.Empty(t, all[1].Turns[1].Blocks)
	assert.Equal(t, time.Second, all[1].Turns[1].At-all[1].Turns[0].At)

	for key, break_ := range map[string]func(*oddCall){
		"trace row-0: request 0, key t: a JSON string where a number is wanted": func(c *oddCall) { c.T = float32(math.NaN()) },
		"trace row-0: request 0, key out: ":                                     func(c *oddCall) { c.Out = 0.5 },
		"trace row-0: request 0, key hash_ids: want whole numbers":              func(c *oddCall) { c.IDs = []*uint64{ptr(uint64(1 << 40))} },
	} {
		c := calls[0]
		break_(&c)
		_, _, err = traces.Open(t.Context(), traces.Options{Kind: session.Weka,
			Path: writeParquet(t, oddRow{ID: "row-0", Block: 4, Scope: "local", Requests: []oddCall{c}})})
		assert.ErrorContains(t, err, key)
	}
}

// A parquet file that was damaged is refused, or read as far as it makes sense.
func TestDamagedParquet(t *testing.T) {
	calls := []parquetCall{{T: ptr(0.0), Type: "n", Model: ptr("m"), In: ptr(int64(8)), Out: ptr(int64(1)), IDs: []int64{0, 1}}}
	whole, err := os.ReadFile(writeParquet(t, parquetTrace{ID: "one", Models: []string{"m"}, Block: 4, Scope: "local", Requests: calls},
		parquetTrace{ID: "two", Block: 4, Scope: "local", Requests: append(calls, calls...)}))
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(1, 2))
	file := filepath.Join(t.TempDir(), "damaged.parquet")
	for range 300 {
		broken := slices.Clone(whole)
		for range 1 + rng.IntN(3) {
			broken[4+rng.IntN(len(broken)-4)] ^= byte(1 << rng.IntN(8))
		}
		require.NoError(t, os.WriteFile(file, broken, 0o600))
		all, _, err := traces.Open(t.Context(), traces.Options{Kind: session.Weka, Path: file})
		if err != nil {
			assert.ErrorContains(t, err, file)
		}
		for i := range all {
			assert.NoError(t, all[i].Check())
		}
	}
}

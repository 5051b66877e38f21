package traces_test

import (
	"encoding/json"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/session"
)

// golden is what agentx-harness 1.0.12 makes of made-up recordings:
// scripts/parity/agentx_golden.py wrote it.
type golden struct {
	Messages []struct {
		Prefix   int
		Turns    [][3]json.RawMessage // ids, tokens in, tokens out
		Segments [][][2]any           // of each turn: role and tokens
	}
	Agents []struct {
		Calls []struct {
			T       float64  `json:"t"`
			APITime float64  `json:"api_time"`
			Model   string   `json:"model"`
			IDs     []uint32 `json:"ids"`
		}
		Agents [][]int
	}
	Waits []struct {
		Turns [][3]int // stream, start and duration in ms
		Waits [][]int
	}
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	text, err := os.ReadFile("testdata/agentx.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &g))
	return g
}

// Prompts are cut into the messages that agentx-harness cuts them into.
func TestMessagesAreThoseOfAgentX(t *testing.T) {
	cases := readGolden(t).Messages
	require.NotEmpty(t, cases)
	for n, c := range cases {
		tr := session.Trace{ID: "x", Block: 4, Streams: []session.Stream{{Parent: -1, Prefix: c.Prefix}}}
		for k, u := range c.Turns {
			turn := session.Turn{At: time.Duration(k)}
			for i, field := range []any{&turn.Blocks, &turn.In, &turn.Out} {
				require.NoError(t, json.Unmarshal(u[i], field))
			}
			tr.Turns = append(tr.Turns, turn)
		}
		tr.Settle()
		plan := tr.Plan()
		for k := range tr.Turns {
			var got [][2]any
			begin := 0
			parts := plan.Parts(&tr, k)
			for i, p := range parts {
				tokens := 4 * (p.End - begin)
				if begin = p.End; i == len(parts)-1 {
					tokens += tr.Turns[k].In - 4*p.End
				}
				got = append(got, [2]any{p.Role, float64(tokens)})
			}
			require.Equal(t, c.Segments[k], got, "case %d, turn %d of %+v", n, k, tr.Turns)
		}
	}
}

// Interleaved agents are told apart as agentx-harness does.
func TestAgentsAreThoseOfAgentX(t *testing.T) {
	cases := readGolden(t).Agents
	require.NotEmpty(t, cases)
	for n, c := range cases {
		var calls []map[string]any
		for _, x := range c.Calls {
			calls = append(calls, map[string]any{"t": x.T, "type": "n", "model": x.Model, "in": 4 * len(x.IDs), "out": 1,
				"api_time": x.APITime, "hash_ids": x.IDs})
		}
		text, err := json.Marshal(map[string]any{"id": "x", "models": []string{}, "block_size": 4, "hash_id_scope": "local", "requests": calls})
		require.NoError(t, err)
		all, _, err := open(t, session.Weka, "x.json", string(text))
		require.NoError(t, err)
		got := make([][]int, len(all[0].Streams))
		for k, u := range all[0].Turns { // each request has a time of its own
			got[u.Stream] = append(got[u.Stream], k)
		}
		slices.SortFunc(got, func(a, b []int) int { return a[0] - b[0] })
		require.Equal(t, c.Agents, got, "case %d", n)
	}
}

// Turns wait for what agentx-harness has them wait for, and for nothing else; what
// follows from other waits may be left out.
func TestWaitsAreThoseOfAgentX(t *testing.T) {
	cases := readGolden(t).Waits
	require.NotEmpty(t, cases)
	for n, c := range cases {
		tr := session.Trace{ID: "x", Streams: []session.Stream{{Parent: -1}, {}, {}, {}}}
		for _, u := range c.Turns {
			tr.Turns = append(tr.Turns, session.Turn{Stream: u[0], At: time.Duration(u[1]) * time.Millisecond,
				Took: time.Duration(u[2]) * time.Millisecond, In: 1, Out: 1})
		}
		tr.Settle()
		ours, theirs := make([][]int, len(tr.Turns)), make([][]int, len(tr.Turns))
		for k := range tr.Turns {
			own := tr.Previous(k)
			if ours[k] = slices.Clone(tr.Turns[k].Waits); !tr.Turns[k].Beside {
				ours[k] = append(ours[k], tr.Turns[k].After)
			}
			theirs[k] = append(slices.Clone(c.Waits[k]), own)
		}
		for k := range tr.Turns {
			for _, w := range c.Waits[k] {
				assert.True(t, after(ours, k, w), "case %d: turn %d does not wait for %d", n, k, w)
			}
			for _, w := range tr.Turns[k].Waits {
				assert.True(t, after(theirs, k, w), "case %d: turn %d waits for %d", n, k, w)
			}
		}
	}
}

// after reports whether k comes after w, directly or not.
func after(waits [][]int, k, w int) bool {
	for _, x := range waits[k] {
		if x == w || x >= 0 && after(waits, x, w) {
			return true
		}
	}
	return false
}

package workload_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/workload"
)

func TestCanariesArePlacedOverTheRun(t *testing.T) {
	for name, c := range map[string]struct {
		placing workload.Placing
		want    []int // the first ones
		count   int
	}{
		"eight of two hundred":          {workload.Placing{Requests: 200, Share: 0.01, Least: 8}, []int{12, 37, 62, 87, 112, 137, 162, 187}, 8},
		"one in a hundred":              {workload.Placing{Requests: 3200, Share: 0.01, Least: 8}, []int{50, 150, 250}, 32},
		"a run of fewer":                {workload.Placing{Requests: 3, Share: 0.01, Least: 8}, []int{0, 1, 2}, 3},
		"hardly more":                   {workload.Placing{Requests: 11, Share: 0.01, Least: 8}, []int{0, 2, 3, 4, 6, 7, 8, 10}, 8},
		"all":                           {workload.Placing{Requests: 40, Share: 1, Least: 8}, []int{0, 1, 2}, 40},
		"no more than":                  {workload.Placing{Requests: 3200, Share: 0.01, Least: 8, Most: 16}, []int{100, 300}, 16},
		"a run that may end early":      {workload.Placing{Requests: 2000, Share: 0.01, Least: 8, Early: 4}, []int{2, 6, 10, 14, 18, 22, 26, 30, 130, 230}, 27},
		"one that only its time ends":   {workload.Placing{Requests: workload.Endless, Share: 0.01, Least: 8, Early: 1, Most: 9}, []int{0, 1, 2, 3, 4, 5, 6, 7, 107}, 9},
		"one that may end early, small": {workload.Placing{Requests: 10, Share: 0.01, Least: 8, Early: 4}, []int{2, 6}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var got []int
			for i := range min(c.placing.Requests, 5000) {
				if k, is := c.placing.At(i); is {
					require.Equal(t, len(got), k)
					got = append(got, i)
				}
			}
			require.GreaterOrEqual(t, len(got), len(c.want))
			assert.Equal(t, c.want, got[:len(c.want)])
			assert.Len(t, got, c.count)
		})
	}
	_, is := workload.Placing{Requests: 10, Share: 1, Least: 8}.At(-1)
	assert.False(t, is, "none warms up")
}

// A canary has another prompt, and the place, the answer's length and the time of
// the request that it takes the place of.
func TestCanariesTakeTheirPlaces(t *testing.T) {
	run := workload.Random{N: 40, ISL: 64, OSL: 100, RangeRatio: 0.5, Vocab: 32000, Seed: 1}
	pool := workload.Random{N: 3, ISL: 64, OSL: 100, RangeRatio: 0.5, Vocab: 32000, Seed: 9}
	src := workload.WithCanaries{Source: run, Placing: workload.Placing{Requests: 40, Share: 0.1, Least: 8}, Pool: pool, Salt: "s", Apart: true}
	require.NoError(t, workload.Check(src))
	n := 0
	var kept []int32
	for i := -2; i < 40; i++ {
		own, err := run.Request(i)
		require.NoError(t, err)
		got, err := workload.RequestInto(src, kept, i)
		require.NoError(t, err)
		assert.Equal(t, i, got.Index)
		assert.Equal(t, own.OutputLen, got.OutputLen)
		if got.Canary == nil {
			assert.Equal(t, own, got)
		} else {
			want, _ := pool.Request(n % 3)
			assert.Equal(t, want.Tokens, got.Tokens)
			assert.True(t, got.Canary.Apart)
			n++
		}
		kept = got.Tokens // the next prompt is written over it
	}
	assert.Equal(t, 8, n)
	first, _ := src.Request(2)
	again, _ := src.Request(17)
	require.NotNil(t, first.Canary)
	require.NotNil(t, again.Canary)
	assert.Equal(t, first.Tokens, again.Tokens, "the fourth has the first one's prompt")
	assert.NotEqual(t, first.Canary.Salt, again.Canary.Salt)

	src.Pool = nil
	own, _ := run.Request(2)
	got, _ := src.Request(2)
	assert.True(t, slices.Equal(own.Tokens, got.Tokens))
	assert.Empty(t, got.Canary.Salt, "what is sent is to the byte what it would be")
}

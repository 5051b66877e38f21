package workload_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/workload"
)

// The same seed sends the same prompts on every machine and in every release:
// this hash must never change.
func TestRandomIsFixed(t *testing.T) {
	r := workload.Random{N: 10, ISL: 100, OSL: 50, RangeRatio: 0.5, Vocab: 32000, Seed: 1}
	h := sha256.New()
	for i := -3; i < r.Len(); i++ {
		q, err := r.Request(i)
		require.NoError(t, err)
		fmt.Fprintln(h, q.Index, q.Tokens, q.OutputLen)
	}
	assert.Equal(t, "4b435dcb89d6b24338157d502f1551d955ed1415363da692f1b4ef4377b1edce", hex.EncodeToString(h.Sum(nil)))
}

func TestRandomLengthsAndIDs(t *testing.T) {
	for _, c := range []struct {
		r         workload.Random
		in, out   [2]int
		low, high int32
	}{
		{workload.Random{ISL: 1024, OSL: 512, RangeRatio: 1, Vocab: 258}, [2]int{1024, 1024}, [2]int{512, 512}, 16, 242},
		{workload.Random{ISL: 10, OSL: 20, RangeRatio: 0.8}, [2]int{8, 10}, [2]int{16, 20}, 2000, 30000},
		{workload.Random{ISL: 3, OSL: 1, RangeRatio: 0.1, Vocab: 128256}, [2]int{1, 3}, [2]int{1, 1}, 8016, 120240},
	} {
		c.r.N = 500
		require.NoError(t, c.r.Check())
		ins, outs := map[int]bool{}, map[int]bool{}
		for i := range c.r.N {
			q, err := c.r.Request(i)
			require.NoError(t, err)
			ins[len(q.Tokens)], outs[q.OutputLen] = true, true
			for _, id := range q.Tokens {
				assert.True(t, id >= c.low && id < c.high, "id %d", id)
			}
		}
		for have, want := range map[*map[int]bool][2]int{&ins: c.in, &outs: c.out} {
			assert.Len(t, *have, want[1]-want[0]+1, "every length of the range comes up")
			assert.True(t, (*have)[want[0]] && (*have)[want[1]])
		}
	}
}

func TestRandomPromptsDiffer(t *testing.T) {
	r := workload.Random{N: 1000, ISL: 8, OSL: 1, RangeRatio: 1}
	seen := map[string]int{}
	for i := -1000; i < 1000; i++ {
		q, _ := r.Request(i)
		k := fmt.Sprint(q.Tokens)
		assert.NotContains(t, seen, k)
		seen[k] = i
	}
	other := r
	other.Seed = 2
	a, _ := r.Request(0)
	b, _ := other.Request(0)
	assert.NotEqual(t, a.Tokens, b.Tokens)
}

func TestRandomCheck(t *testing.T) {
	good := workload.Random{N: 1, ISL: 1, OSL: 1, RangeRatio: 1}
	assert.NoError(t, good.Check())
	for _, bad := range []workload.Random{{}, {N: 1, ISL: 1, OSL: 1}, {N: 1, ISL: 1, OSL: 1, RangeRatio: 1.1}, {N: 1, ISL: 1, OSL: 1, RangeRatio: 1, Vocab: 1}} {
		assert.Error(t, bad.Check())
	}
}

package compare

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
)

// drifting are blocks of two servers, the second of which is faster by so much, on a
// machine that loses 5 % of its speed while it heats up and has noise of 0.5 % a
// block. In turn, they are measured in pairs whose order chance gives; else all of A
// before all of B.
func drifting(rng *rand.Rand, blocks int, faster float64, inTurn bool) []Pair {
	at := func(i int, faster float64) *batch.Result {
		heat := 0.05 * (1 - math.Exp(-2*float64(i)/float64(blocks)))
		tput := 1000 * (1 + faster) * (1 - heat) * (1 + 0.005*rng.NormFloat64())
		return &batch.Result{Performance: &stats.Summary{TputPerGPU: &tput}}
	}
	out := make([]Pair, blocks)
	for i := range out {
		a, b := i, blocks+i
		if inTurn {
			a = 2*i + rng.IntN(2)
			b = 4*i + 1 - a
		}
		out[i] = Pair{at(a, 0), at(b, faster)}
	}
	return out
}

// A difference of 2 % is found by blocks in turn, and missed by two runs one after
// the other, on a machine that heats up. No difference is found where none is.
func TestPairsFindWhatTwoRunsMiss(t *testing.T) {
	cell := matrix.Cell{Combination: matrix.Combination{ISL: 1024, OSL: 1024}, Conc: 16}
	rng := rand.New(rand.NewPCG(1, 2))
	verdicts := func(faster float64, inTurn bool) map[Verdict]int {
		out := map[Verdict]int{}
		for range 200 {
			pairs := drifting(rng, 10, faster, inTurn)
			if inTurn {
				f := Paired(cell, pairs, Options{}).Figures
				require.Len(t, f, 1)
				out[f[0].Verdict]++
				continue
			}
			var a, b []float64 // as compare judges ten passes a side
			for _, p := range pairs {
				a, b = append(a, *p.A.Performance.TputPerGPU), append(b, *p.B.Performance.TputPerGPU)
			}
			f := Figure{Higher: true}
			low, high, _ := passInterval(a, b, 0.05)
			f.judge(low, high)
			out[f.Verdict]++
		}
		t.Logf("B faster by %g, in turn %t: %v", faster, inTurn, out)
		return out
	}
	assert.GreaterOrEqual(t, verdicts(0.02, true)[Better], 190, "in turn")
	assert.Zero(t, verdicts(0.02, false)[Better], "one after the other the heat hides it")
	assert.GreaterOrEqual(t, verdicts(0, true)[Alike], 180)
	assert.GreaterOrEqual(t, verdicts(0, false)[Worse], 190, "and shows a difference that is none")
}

func TestPaired(t *testing.T) {
	cell := matrix.Cell{Combination: matrix.Combination{ISL: 16, OSL: 8}, Conc: 4}
	block := func(tput, ttft float64, marks ...batch.Mark) *batch.Result {
		return &batch.Result{Marks: marks, Performance: &stats.Summary{TputPerGPU: &tput, TTFT: stats.Dist{Median: &ttft}}}
	}
	pairs := []Pair{{block(100, 10), block(110, 10)}, {block(200, 20), block(220, 20)}, {block(50, 5), block(55, 5)}}
	c := Paired(cell, pairs, Options{})
	require.Len(t, c.Figures, 2)
	assert.Equal(t, Better, c.Figures[0].Verdict)
	assert.InDelta(t, 1.1, c.Figures[0].Ratio, 1e-9)
	assert.InDelta(t, 100, c.Figures[0].A, 1e-9)
	assert.Equal(t, Alike, c.Figures[1].Verdict)
	assert.Equal(t, Untested, Paired(cell, pairs[:2], Options{}).Figures[0].Verdict, "two pairs are too few")
	pairs[1].B.Mark(batch.ClientLimited)
	c = Paired(cell, pairs, Options{})
	assert.Equal(t, Untested, c.Figures[0].Verdict, "the client was the limit")
	assert.Contains(t, c.Marks, batch.ClientLimited)
	pairs[0].A.Performance.TTFT.Median = nil
	assert.Len(t, Paired(cell, pairs, Options{}).Figures, 1, "a figure that a block has not")
}

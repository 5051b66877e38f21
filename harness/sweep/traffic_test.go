package sweep

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"inferbench/harness/matrix"
)

// The same SEED draws the same prompts everywhere and at any time, and other
// ones in each pass.
func TestEveryPassHasPromptsOfItsOwn(t *testing.T) {
	cell := func(isl, osl, conc int) matrix.Cell {
		return matrix.Cell{Combination: matrix.Combination{ISL: isl, OSL: osl}, Conc: conc, NumPrompts: 7}
	}
	assert.EqualValues(t, 3262416138050048344, pass{Cell: cell(1024, 1024, 4)}.seed(1))
	seen := map[int64]pass{}
	for _, seed := range []int64{0, 1, 2} {
		for _, c := range []matrix.Cell{cell(1024, 1024, 4), cell(1024, 1024, 8), cell(1024, 8192, 4), cell(8192, 1024, 4)} {
			for number := range 3 {
				p := pass{Cell: c, Number: number}
				s := p.seed(seed)
				assert.NotContains(t, seen, s, "%v", p)
				seen[s] = p
			}
		}
	}
}

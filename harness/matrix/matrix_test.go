package matrix

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSelection(t *testing.T) {
	for _, c := range []struct {
		name  string
		sel   Selection
		pairs []Combination
		cells int
	}{
		{"nothing given", Selection{}, Standard, 5},
		{"isl alone", Selection{ISL: 1024}, []Combination{{1024, 1024}, {1024, 8192}}, 5},
		{"osl alone", Selection{OSL: 1024}, []Combination{{1024, 1024}, {8192, 1024}}, 5},
		{"custom pair, one conc", Selection{ISL: 5, OSL: 7, Conc: []int{3}}, []Combination{{5, 7}}, 1},
		{"no such row", Selection{ISL: 5}, nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			pairs := c.sel.Combinations()
			assert.Equal(t, c.pairs, pairs)
			if len(pairs) > 0 {
				assert.Len(t, c.sel.Cells(pairs[0]), c.cells)
			}
		})
	}
}

func TestNumPromptsRule(t *testing.T) {
	assert.Equal(t, 200, NumPrompts(1024, 4))
	assert.Equal(t, 3200, NumPrompts(1024, 64))
	assert.Equal(t, 1280, NumPrompts(8192, 64))
	cells := Selection{NumPrompts: 7}.Cells(Combination{1024, 8192})
	assert.Equal(t, 7, cells[4].NumPrompts)
}

func TestNames(t *testing.T) {
	c := Cell{Combination{1024, 8192}, 16, 320}
	assert.Equal(t, "isl=1024/osl=8192/conc=16", c.Name())
	assert.Equal(t, "result_isl1024_osl8192_conc16.json", c.FileName())
	assert.Equal(t, "isl=1024/osl=8192/conc=16 of (1024,8192)", fmt.Sprintf("%v of %v", c, c.Combination))
	assert.True(t, c.IsStandard())
	assert.False(t, Combination{1, 2}.IsStandard())
}

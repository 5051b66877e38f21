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
		{"isl alone", Selection{ISL: 1024}, []Combination{{ISL: 1024, OSL: 1024}, {ISL: 1024, OSL: 8192}}, 5},
		{"osl alone", Selection{OSL: 1024}, []Combination{{ISL: 1024, OSL: 1024}, {ISL: 8192, OSL: 1024}}, 5},
		{"custom pair, one conc", Selection{ISL: 5, OSL: 7, Conc: []int{3}}, []Combination{{ISL: 5, OSL: 7}}, 1},
		{"no such row", Selection{ISL: 5}, nil, 0},
		{"a scenario", Selection{Scenario: "agentx", Conc: []int{3, 4}}, []Combination{{Scenario: "agentx"}}, 2},
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
}

func TestParsePrompts(t *testing.T) {
	for text, want := range map[string][]int{ // at CONC 4, 8, 16, 32, 64 of (1024,8192)
		"":               {80, 160, 320, 640, 1280},
		"7":              {7, 7, 7, 7, 7},
		"50x":            {200, 400, 800, 1600, 3200},
		"4:200,64:1600":  {200, 160, 320, 640, 1600},
		" 4:10x , 64:5 ": {40, 160, 320, 640, 5},
		"10x,64:100":     {40, 80, 160, 320, 100},
		"64:100,7":       {7, 7, 7, 7, 100},
	} {
		var p Prompts
		if text != "" {
			var err error
			p, err = ParsePrompts(text)
			assert.NoError(t, err, text)
		}
		assert.Equal(t, text != "", p.Given())
		var got []int
		for _, c := range (Selection{NumPrompts: p}).Cells(Combination{ISL: 1024, OSL: 8192}) {
			got = append(got, c.NumPrompts)
		}
		assert.Equal(t, want, got, text)
	}
	for _, bad := range []string{"0", "-1", "x", "5y", "4:", ":5", "4:0", "4:5,4:6", "5,6", "4:5,", "1e3", "5xx", "99999999999999999999", "0:5", "5 x", "²"} {
		_, err := ParsePrompts(bad)
		assert.Error(t, err, bad)
	}
}

func TestNames(t *testing.T) {
	c := Cell{Combination: Combination{ISL: 1024, OSL: 8192}, Conc: 16, NumPrompts: 320}
	assert.Equal(t, "isl=1024/osl=8192/conc=16", c.Name())
	assert.Equal(t, "result_isl1024_osl8192_conc16.json", c.FileName())
	assert.Equal(t, "isl=1024/osl=8192/conc=16 of (1024,8192)", fmt.Sprintf("%v of %v", c, c.Combination))
	assert.Equal(t, "ISL 1024, OSL 8192", c.Title())
	r := c
	r.Rate = 2.5
	assert.Equal(t, "isl=1024/osl=8192/conc=16/rate=2.5", r.Name())
	assert.Equal(t, "result_isl1024_osl8192_conc16_rate2.5.json", r.FileName())
	assert.False(t, r.Same(c))
	r.Rate, r.NumPrompts = 0, 5
	assert.True(t, r.Same(c))
	assert.True(t, c.IsStandard())
	s := Cell{Combination: Combination{Scenario: "agentx"}, Conc: 16}
	assert.Equal(t, "scenario=agentx/conc=16", s.Name())
	assert.Equal(t, "result_agentx_conc16.json", s.FileName())
	assert.Equal(t, "verdict_agentx_conc16.json", s.VerdictName())
	assert.Equal(t, "agentx, scenario agentx", fmt.Sprintf("%v, %s", s.Combination, s.Title()))
	assert.False(t, s.IsStandard())
	assert.Zero(t, Selection{Scenario: "agentx"}.Cells(s.Combination)[0].NumPrompts)
	assert.False(t, Combination{ISL: 1, OSL: 2}.IsStandard())
}

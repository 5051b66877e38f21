package estimate

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/matrix"
	"inferbench/harness/settings"
)

func TestProbeForetellsACell(t *testing.T) {
	p := probe{ttft: 100 * time.Millisecond, tpot: 10 * time.Millisecond}
	c := matrix.Cell{Combination: matrix.Combination{ISL: 1024, OSL: 100}, Conc: 1, NumPrompts: 50}
	assert.Equal(t, 52*1100*time.Millisecond, p.cell(c, settings.Shape{}, false), "50 rounds and two to warm up, one after another")
	c.Conc, c.NumPrompts = 64, 64*50
	assert.InDelta(t, 52*1.1*3.784, p.cell(c, settings.Shape{}, false).Seconds(), 0.1, "as many rounds, each slower by 64^0.32")

	c.Conc, c.NumPrompts = 1, 50
	round := 1100 * time.Millisecond
	assert.Equal(t, 2*round+100*time.Second, p.cell(c, settings.Shape{Rate: 0.5}, false), "they are not sent faster than their rate")
	assert.Equal(t, 52*round, p.cell(c, settings.Shape{Rate: 100}, false), "nor answered faster than the server can")
	assert.Equal(t, 3*round+10*time.Second, p.cell(c, settings.Shape{Duration: 10 * time.Second}, false), "the time is over before they are sent")
	assert.Equal(t, 52*round, p.cell(c, settings.Shape{Duration: time.Hour}, false))
	assert.Equal(t, 3*round+time.Hour, p.cell(c, settings.Shape{Duration: time.Hour}, true), "it has no number of requests")
}

func TestBudget(t *testing.T) {
	cells := matrix.Selection{Conc: []int{1, 2}}.Cells(matrix.Combination{ISL: 1, OSL: 1})
	fresh := func(limit time.Duration) *Budget {
		b := &Budget{Limit: limit, Begin: time.Now(), Accuracies: 2,
			Expected: map[matrix.Cell]time.Duration{}, Passes: map[matrix.Cell]int{}}
		for _, c := range cells {
			b.Expected[c], b.Passes[c] = time.Minute, 1
		}
		return b
	}
	assert.NoError(t, fresh(0).Fits(), "no limit")
	assert.NoError(t, fresh(3*time.Minute).Fits())
	err := fresh(90 * time.Second).Fits()
	require.ErrorContains(t, err, "add -timeout 0")
	assert.ErrorContains(t, err, "needs about 2m0s more")

	b := fresh(3 * time.Minute)
	b.AccuracyTook(10 * time.Second)
	require.NoError(t, b.Fits())
	b.PassTook(cells[0], 4*time.Minute)
	assert.ErrorContains(t, b.Fits(), "needs about 4m10s more", "the first cell showed that all is four times slower; one accuracy run is left")
}

// Accuracy counts before it has run once.
func TestBudgetCountsAccuracyBeforeTheFirstCell(t *testing.T) {
	b := &Budget{Limit: 2 * time.Minute, Begin: time.Now(), Accuracies: 3, Accuracy: time.Minute}
	assert.ErrorContains(t, b.Fits(), "needs about 3m0s more")
	b.AccuracyTook(20 * time.Second)
	assert.NoError(t, b.Fits(), "it was faster than foretold")
}

// Canaries' prompts are recorded twice, once a combination, and not where there are
// none.
func TestCanariesAreForetold(t *testing.T) {
	cell := func(n int) matrix.Cell {
		return matrix.Cell{Combination: matrix.Combination{ISL: 64, OSL: 64}, Conc: 4, NumPrompts: n}
	}
	on := settings.Settings{Accuracy: settings.Accuracy{CanaryShare: 0.01, Task: "wikitext"}}
	assert.Equal(t, 8, canaries(cell(200), on))
	assert.Equal(t, 12, canaries(cell(1200), on))
	assert.Equal(t, 16, canaries(cell(3200), on))
	assert.Equal(t, 3, canaries(cell(3), on))
	assert.Zero(t, canaries(cell(200), settings.Settings{}))
}

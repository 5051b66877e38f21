package settings_test

import (
	"flag"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/harness/matrix"
	"inferbench/harness/settings"
)

func load(t *testing.T, args ...string) (settings.Settings, error) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	settings.Register(flags)
	require.NoError(t, flags.Parse(args))
	return settings.Load(flags, nil, "")
}

func TestACellStandsOnTheNextHigherScore(t *testing.T) {
	all := []int{4, 8, 16, 32, 64}
	for at, want := range map[string][]int{
		"":      {4, 8, 16, 32, 64},
		"once":  {64, 64, 64, 64, 64},
		"ends":  {4, 64, 64, 64, 64},
		"64,16": {16, 16, 16, 64, 64},
		"8":     {8, 8, 8, 8, 8},
	} {
		s, err := load(t, "-acc-at", at)
		require.NoError(t, err)
		distinct := map[int]bool{}
		for i, conc := range all {
			assert.Equal(t, want[i], s.Accuracy.At.For(conc, all), "ACC_AT=%s, CONC %d", at, conc)
			distinct[want[i]] = true
		}
		cells := matrix.Selection{Conc: all}.Cells(matrix.Combination{ISL: 1, OSL: 1})
		assert.Len(t, s.Accuracy.At.Scores(cells), len(distinct))
	}
	for _, bad := range []string{"twice", "0", "4,4", "4;8"} {
		_, err := load(t, "-acc-at", bad)
		assert.ErrorContains(t, err, "want once, ends, or whole numbers as 16,64")
	}
}

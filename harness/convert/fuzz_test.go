package convert

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"inferbench/harness/batch"
)

// Whatever a file holds, reading it ends in an error at a line of it, or in
// runs whose results can be written and read back.
func FuzzImport(f *testing.F) {
	samples, err := filepath.Glob("testdata/*.json*")
	require.NoError(f, err)
	for _, s := range samples {
		b, err := os.ReadFile(s)
		require.NoError(f, err)
		f.Add(b)
	}
	f.Add([]byte("{\"x\":[NaN,NaN,NaN,NaN,NaN]}\n{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		runs, _, line, err := parse(b, Hints{Model: "m", ISL: 64, OSL: 16, TP: 8, RangeRatio: 1})
		require.GreaterOrEqual(t, line, 1)
		if err != nil {
			return
		}
		for _, r := range runs {
			j, err := json.Marshal(r.Result)
			require.NoError(t, err)
			var back batch.Result
			require.NoError(t, json.Unmarshal(j, &back))
			require.NotNil(t, back.Performance)
			require.Positive(t, r.cell().Conc)
			require.GreaterOrEqual(t, r.Duration, time.Duration(0))
		}
	})
}

package baselines_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"inferbench/baselines"
)

// Whatever a baseline file holds, loading ends in an error or in figures that
// can be compared with: finite, and above zero.
func FuzzBaselineFile(f *testing.F) {
	for _, kind := range []string{"hardware", "accuracy"} {
		for _, name := range baselines.Names(kind) {
			b, err := os.ReadFile(kind + "/" + name + ".json")
			require.NoError(f, err)
			f.Add(b)
		}
	}
	f.Add([]byte(`{"points":[{"isl":1,"median_e2e_ms":1e999}]}`))
	path := filepath.Join(f.TempDir(), "b.json")
	f.Fuzz(func(t *testing.T, b []byte) {
		require.NoError(t, os.WriteFile(path, b, 0o600))
		if h, err := baselines.LoadHardware(path); err == nil {
			for _, p := range h.Points {
				for _, v := range []float64{p.MedianE2E, p.TputPerGPU} {
					require.True(t, v > 0 && !math.IsInf(v, 0), "%v", p)
				}
			}
			h.Point(1, 1, 1)
			h.Differences(1, 8)
		}
		if a, err := baselines.LoadAccuracy(path); err == nil {
			figures := []float64{a.BitsPerByte, a.BytePerplexity}
			if a.Filter != "" {
				figures = []float64{a.ExactMatch}
			}
			for _, v := range figures {
				require.True(t, v > 0 && !math.IsInf(v, 0), "%v", a)
			}
			a.Matches("org/Model")
		}
	})
}

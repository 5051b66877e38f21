package baselines_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
)

func TestWriteHardware(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "hardware"), 0o755))
	h, err := baselines.LoadHardware(baselines.DefaultHardware)
	require.NoError(t, err)

	file, err := baselines.WriteHardware(dir, h)
	require.NoError(t, err)
	back, err := baselines.LoadHardware(file)
	require.NoError(t, err)
	assert.Equal(t, h, back)
	_, err = baselines.WriteHardware(dir, h)
	assert.ErrorContains(t, err, "is there already")

	h.Name = "b201"
	h.Points[2].TputPerGPU = 0
	_, err = baselines.WriteHardware(dir, h)
	require.ErrorContains(t, err, "points 3: tput_per_gpu_tok_s must be finite and above 0")
	_, err = os.Stat(filepath.Join(dir, "hardware", "b201.json"))
	assert.ErrorIs(t, err, os.ErrNotExist, "nothing is left behind")
}

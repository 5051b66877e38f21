package calibration

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"inferbench/baselines"
	"inferbench/harness/engine/schedule"
)

var update = flag.Bool("update", false, "write docs/engine-calibration.md anew")

// The profile must reproduce the B200 baseline, and the page that says so must
// be what the simulation says today.
func TestB200ProfileReproducesItsBaseline(t *testing.T) {
	p, err := schedule.LoadProfile("b200-dsr1-fp4")
	require.NoError(t, err)
	h, err := baselines.LoadHardware("b200-nv1126")
	require.NoError(t, err)
	regular := 0
	for _, c := range calibrate(p, h) {
		if c.irregular {
			continue
		}
		regular++
		assert.LessOrEqual(t, c.worse(), within, "isl=%d osl=%d conc=%d: E2E %+.3f, throughput %+.3f", c.point.ISL, c.point.OSL, c.point.Conc, c.e2e, c.tput)
	}
	assert.Equal(t, 13, regular)

	var page bytes.Buffer
	require.NoError(t, writePage(&page, p, h))
	const file = "../../../docs/engine-calibration.md"
	if *update {
		require.NoError(t, os.WriteFile(file, page.Bytes(), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), page.String(), "run make engine-calibration")
}

package suite

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPlanFollowsGoTest(t *testing.T) {
	const cell, other = "isl=1024/osl=1024/conc=4", "isl=1024/osl=1024/conc=64"
	for _, c := range []struct {
		run, bench, skip string
		acc, serve       bool
	}{
		{"", "", "", true, true},
		{"TestAccuracy", "", "", true, false},
		{"^$", "Serving", "", false, true},
		{"^$", ".", "", false, true},
		{"^$", "", "", false, false},
		{"TestAccuracy|TestServing", "", "", true, true},
		{"TestServing/isl=1024/osl=1024/conc=4$", "", "", false, true},
		{"TestServing/isl=8192", "", "", false, false},
		{"Test(Accuracy|Serving)/isl=1024", "", "", true, true},
		{"TestAccuracy/isl=8192|TestServing/isl=1024", "", "", false, true},
		{"", "", "TestServing", true, false},
		{"", "", "TestServing/isl=1024/osl=1024/conc=4$", true, false},
		{"", "", "TestServing/isl=1024/osl=1024/conc=4/deeper", true, true},
		{"", "", "/isl=1024", false, false},
		{"TestSelf", "", "", false, false},
	} {
		p, err := newPlan(c.run, c.bench, c.skip)
		require.NoError(t, err)
		assert.Equal(t, c.acc, p.accuracy(cell), "accuracy: -run %q -bench %q -skip %q", c.run, c.bench, c.skip)
		assert.Equal(t, c.serve, p.serving(cell), "serving: -run %q -bench %q -skip %q", c.run, c.bench, c.skip)
	}
	p, err := newPlan("^$", "Serving/isl=1024/osl=1024/conc=4$", "")
	require.NoError(t, err)
	assert.False(t, p.serving(other))
	_, err = newPlan("(", "", "")
	assert.Error(t, err)
}

package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPercent(t *testing.T) {
	for text, want := range map[string]float64{"": 0, "3%": 0.03, "3 %": 0.03, "0.03": 0.03, "0.5%": 0.005, "0": 0, "0%": 0, "99%": 0.99} {
		got, err := percent(text)
		assert.NoError(t, err, text)
		assert.InDelta(t, want, got, 1e-12, text)
	}
	for _, text := range []string{"3", "-3%", "-0.03", "100%", "NaN", "Inf", "%", "three", "3%%"} {
		_, err := percent(text)
		assert.EqualError(t, err, "want a share such as 3% or 0.03", text)
	}
}

func TestWhatIsWrongWithTheLine(t *testing.T) {
	for want, args := range map[string][]string{
		"want two batch folders, as in make compare A=batch_… B=batch_…": {"a", ""},
		"-max-regress: flags go before the two batch folders":            {"a", "b", "-max-regress", "3%"},
		"nowhere: there is no such folder":                               {"nowhere", "b"},
	} {
		code, err := run(args, "", 0.95, false)
		assert.Equal(t, 2, code)
		assert.EqualError(t, err, want)
	}
	_, err := run([]string{"a", "b"}, "3", 0.95, false)
	assert.EqualError(t, err, `-max-regress "3": want a share such as 3% or 0.03`)
	_, err = run([]string{"a", "b"}, "", 95, false)
	assert.EqualError(t, err, "-confidence 95: want between 0.5 and 1, as 0.95")
}

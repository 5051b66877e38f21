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

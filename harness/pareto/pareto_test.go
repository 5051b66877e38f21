package pareto

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestFront(t *testing.T) {
	ref := []Point{{100, 100}, {50, 300}, {80, 120}, {60, 110}} // the last two: on the front, and under it
	assert.Equal(t, []Point{{50, 300}, {80, 120}, {100, 100}}, Front(ref, High))
	assert.Equal(t, []Point{{80, 120}}, Front([]Point{{80, 120}, {80, 120}, {80, 119}, {79, 120}}, High), "a tie in one is decided by the other; equal points are one")
	for p, want := range map[Point]bool{
		{50, 300}: false, {50, 301}: true, // on a corner; above it
		{65, 210}: false, {65, 211}: true, // on a line between corners (300 → 120 over 30); above it
		{100, 100}: false, {101, 1}: true, // better in x than all of it
		{10, 299}: false, {10, 301}: true, // worse in x than all of it
		{90, 109}: false, {90, 111}: true,
	} {
		assert.Equal(t, want, Above(p, ref, High), "%v", p)
	}
	latency := []Point{{10, 100}, {20, 300}}
	for p, want := range map[Point]bool{
		{15, 200}: false, {15, 201}: true, {9, 1}: true, {30, 299}: false, {30, 301}: true,
	} {
		assert.Equal(t, want, Above(p, latency, Low), "%v", p)
	}
	assert.False(t, Above(Point{1, 1}, nil, High), "nothing is above no curve")
}

// Package pareto finds, among configurations, those that are worth running: no
// other makes as many tokens a second and serves one user as fast.
package pareto

import (
	"cmp"
	"slices"
)

// Point is a point of a plot: tok/s/GPU (Y, more is Better) over X.
type Point struct{ X, Y float64 }

// Better says which way X is better: interactivity is better high, latency low.
type Better int

const (
	High Better = 1
	Low  Better = -1
)

// Front gives the points that no other is better than in one and as good as in
// the other, from the best Y to the best X. Of equal points it gives one.
func Front(points []Point, x Better) []Point {
	sorted := slices.Clone(points)
	slices.SortFunc(sorted, func(a, b Point) int {
		return cmp.Or(cmp.Compare(b.Y, a.Y), int(x)*cmp.Compare(b.X, a.X))
	})
	var out []Point
	for _, p := range sorted {
		if len(out) == 0 || float64(x)*(p.X-out[len(out)-1].X) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// Above reports whether p lies above the curve of a reference: its Pareto
// front, with straight lines between the points. A point that is better in x
// than all of the curve is above it, since the reference does not get there at
// any throughput; one that is worse in x than all of it must beat its best
// throughput.
func Above(p Point, curve []Point, x Better) bool {
	front := Front(curve, x)
	if len(front) == 0 {
		return false
	}
	if float64(x)*(p.X-front[len(front)-1].X) > 0 {
		return true
	}
	if float64(x)*(p.X-front[0].X) <= 0 {
		return p.Y > front[0].Y
	}
	for i := 1; i < len(front); i++ {
		a, b := front[i-1], front[i]
		if float64(x)*(p.X-b.X) <= 0 {
			f := (p.X - a.X) / (b.X - a.X)
			return p.Y > a.Y*(1-f)+b.Y*f // exact at both corners
		}
	}
	return false
}

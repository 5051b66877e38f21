package leaderboard

import (
	"cmp"
	"slices"
)

// xy is a point of a plot: throughput per GPU (y, more is better) over x.
type xy struct{ x, y float64 }

// better says which way x is better: interactivity is better high, latency low.
type better int

const (
	high better = 1
	low  better = -1
)

// pareto gives the points that no other point equals or beats in both, from the
// best y to the best x.
func pareto(points []xy, x better) []xy {
	sorted := slices.Clone(points)
	slices.SortFunc(sorted, func(a, b xy) int {
		return cmp.Or(cmp.Compare(b.y, a.y), int(x)*cmp.Compare(b.x, a.x))
	})
	var out []xy
	for _, p := range sorted {
		if len(out) == 0 || float64(x)*(p.x-out[len(out)-1].x) > 0 {
			out = append(out, p)
		}
	}
	return out
}

// above reports whether p lies above the curve of a reference: its Pareto
// front, with straight lines between the points. A point that is better in x
// than all of the curve is above it, since the reference does not get there at
// any throughput; one that is worse in x than all of it must beat its best
// throughput.
func above(p xy, curve []xy, x better) bool {
	front := pareto(curve, x)
	if len(front) == 0 {
		return false
	}
	if float64(x)*(p.x-front[len(front)-1].x) > 0 {
		return true
	}
	if float64(x)*(p.x-front[0].x) <= 0 {
		return p.y > front[0].y
	}
	for i := 1; i < len(front); i++ {
		a, b := front[i-1], front[i]
		if float64(x)*(p.x-b.x) <= 0 {
			f := (p.x - a.x) / (b.x - a.x)
			return p.y > a.y*(1-f)+b.y*f // exact at both corners
		}
	}
	return false
}

package compare

import (
	"math/rand/v2"
	"slices"

	"inferbench/harness/stats"
)

// Shows reports whether resampling sees a difference between two sides in any
// figure, all its tests together at alpha.
func Shows(rng *rand.Rand, a, b []stats.Timing, conc int, alpha float64) bool {
	sa, sb := draw(rng, a, conc), draw(rng, b, conc)
	all := slices.Repeat([]int{1}, len(a))
	for i := range compared {
		if !sa.resolves(i) {
			continue
		}
		low, high := interval(sa, sb, i, sb.of[i].value(all)/sa.of[i].value(all), alpha/float64(len(compared)))
		if low > 1 || high < 1 {
			return true
		}
	}
	return false
}

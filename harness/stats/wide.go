package stats

import (
	"math"
	"math/big"
	"math/bits"
)

// wide is a whole number of 128 bits. Sums of nanoseconds and of their squares
// are kept in it, so that adding up in another order, or on several machines,
// gives the same to the last bit: 10¹¹ gaps of 30 s fit.
type wide struct{ hi, lo uint64 }

func (w *wide) add(o wide) {
	var carry uint64
	w.lo, carry = bits.Add64(w.lo, o.lo, 0)
	w.hi, _ = bits.Add64(w.hi, o.hi, carry)
}

func square(n uint64) wide {
	hi, lo := bits.Mul64(n, n)
	return wide{hi, lo}
}

func (w wide) int() *big.Int {
	n := new(big.Int).SetUint64(w.hi)
	return n.Lsh(n, 64).Add(n, new(big.Int).SetUint64(w.lo))
}

func (w wide) float() float64 {
	f, _ := new(big.Float).SetInt(w.int()).Float64()
	return f
}

// deviation is the population's standard deviation of n numbers from their sum
// and the sum of their squares: √(n·Σx² − (Σx)²)/n, in whole numbers up to the
// root, so that nothing cancels.
func deviation(sum, squares wide, n int64) float64 {
	s := sum.int()
	d := new(big.Int).Mul(squares.int(), big.NewInt(n))
	d.Sub(d, s.Mul(s, s))
	f, _ := new(big.Float).SetInt(d).Float64()
	return math.Sqrt(f) / float64(n)
}

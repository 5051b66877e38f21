package session

import (
	"errors"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Dist is how a number is spread: fixed, normal, or log-normal. Mean and SD are
// those of the numbers themselves, of a log-normal one too.
type Dist struct {
	Shape    string // "" is fixed at Mean; normal, lognormal
	Mean, SD float64
}

// ParseDist reads 8, normal:8:2 or lognormal:600:400, mean and standard deviation.
func ParseDist(s string) (Dist, error) {
	shape, rest, ok := strings.Cut(s, ":")
	if !ok {
		v, err := number(s)
		return Dist{Mean: v}, err
	}
	mean, sd, ok := strings.Cut(rest, ":")
	if !ok || shape != "normal" && shape != "lognormal" {
		return Dist{}, errDist
	}
	d := Dist{Shape: shape}
	var err error
	if d.Mean, err = number(mean); err != nil {
		return Dist{}, errDist
	}
	if d.SD, err = number(sd); err != nil || shape == "lognormal" && d.Mean == 0 {
		return Dist{}, errDist
	}
	return d, nil
}

func number(s string) (float64, error) {
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 0 && v <= 1e9) {
		return 0, errDist
	}
	return v, nil
}

var errDist = errors.New("want a number from 0 to 1e9, normal:MEAN:SD or lognormal:MEAN:SD")

// sample draws a number of 0 or more.
func (d Dist) sample(rng *rand.Rand) float64 {
	switch d.Shape {
	case "normal":
		return max(d.Mean+d.SD*rng.NormFloat64(), 0)
	case "lognormal": // of which mean and deviation are the numbers', not their logarithms'
		v := math.Log(1 + (d.SD/d.Mean)*(d.SD/d.Mean))
		return math.Exp(math.Log(d.Mean) - v/2 + math.Sqrt(v)*rng.NormFloat64())
	}
	return d.Mean
}

// count draws a whole number, at least least.
func (d Dist) count(rng *rand.Rand, least int) int {
	return max(int(math.Round(min(d.sample(rng), 1e9))), least)
}

package load

import (
	"errors"
	"math"
	"math/rand/v2"
	"time"
)

// Shape says when requests are sent. The zero Shape is the closed loop: each
// slot sends its next request as soon as its last was answered.
type Shape struct {
	// Rate makes it an open loop: so many requests a second on average, whether
	// or not earlier ones were answered. Latency then counts from the time for
	// which a request was scheduled.
	Rate float64

	// Burstiness is the shape of the gamma distribution that the gaps between
	// requests follow, as in vLLM: 1, the default, is a Poisson process, less
	// comes in bursts, more comes more evenly, +Inf is a constant gap. The mean is 1/Rate.
	Burstiness float64

	// Uncapped lets an open loop have more than Conc requests in flight, up to
	// MaxInFlight. Otherwise a request that would be one too many waits.
	Uncapped bool

	// RampUp is how long the load takes to reach its full height: the slots of
	// a closed loop start evenly spread over it, the rate of an open loop grows
	// linearly from zero.
	RampUp time.Duration

	// Duration, where set, ends the run: no request is sent later; those in
	// flight are read to their end. The run also ends with its workload.
	Duration time.Duration

	// Trace sends each request at the time that the workload says, from the
	// start of the run; Rate must then be zero.
	Trace bool

	// Seed of the random gaps.
	Seed int64

	// Where Shares clients put on this load together, this is the one of number
	// Share, from 0. It sends every Shares-th request of the whole rate, and its
	// slots are every Shares-th of a ramp: together they are what one client does.
	Share, Shares int
}

// MaxInFlight bounds an uncapped open loop: a server that answers nothing must
// not cost the client all its memory and files.
const MaxInFlight = 16384

// Open reports whether requests have scheduled times.
func (s Shape) Open() bool { return s.Rate > 0 || s.Trace }

func (s Shape) check() error {
	switch {
	case s.Rate < 0 || math.IsNaN(s.Rate) || math.IsInf(s.Rate, 0):
		return errors.New("load: the request rate is not a number above zero")
	case s.Burstiness < 0 || math.IsNaN(s.Burstiness):
		return errors.New("load: the burstiness is not a number above zero")
	case s.RampUp < 0 || s.Duration < 0:
		return errors.New("load: a negative duration")
	case s.Trace && s.Rate > 0:
		return errors.New("load: a trace has its own times: give no request rate")
	case s.Uncapped && !s.Open():
		return errors.New("load: only an open loop (a request rate or a trace) can be without a cap")
	}
	return nil
}

// arrivals gives the scheduled times of an open loop, in order.
type arrivals struct {
	shape Shape
	rng   *rand.Rand
	at    float64 // s, at the full rate
}

func newArrivals(s Shape) *arrivals {
	if s.Burstiness == 0 {
		s.Burstiness = 1
	}
	a := &arrivals{shape: s, rng: rand.New(rand.NewPCG(uint64(s.Seed), 0xa881))}
	for range s.Share {
		a.draw()
	}
	return a
}

// next is the time of this client's next request. The first of all is sent at
// once.
func (a *arrivals) next() time.Duration {
	at := a.draw()
	for range a.shape.Shares - 1 { // the others'
		a.draw()
	}
	return at
}

// draw is the time of the next request of the whole load.
func (a *arrivals) draw() time.Duration {
	now := a.at
	gap := 1.0
	if b := a.shape.Burstiness; !math.IsInf(b, 1) {
		gap = gamma(a.rng, b) / b
	}
	a.at += gap / a.shape.Rate
	// During the ramp of length r the rate is t/r of the full one, so that t²/2r
	// seconds' worth of requests have come by t.
	if r := a.shape.RampUp.Seconds(); r > 0 {
		if now < r/2 {
			now = math.Sqrt(2 * r * now)
		} else {
			now += r / 2
		}
	}
	return seconds(now)
}

func seconds(s float64) time.Duration {
	return time.Duration(min(math.Round(s*float64(time.Second)), math.MaxInt64/2))
}

// gamma draws from the gamma distribution of the given shape and scale 1:
// Marsaglia and Tsang, "A simple method for generating gamma variables", 2000.
func gamma(rng *rand.Rand, shape float64) float64 {
	if shape < 1 {
		return gamma(rng, shape+1) * math.Pow(1-rng.Float64(), 1/shape)
	}
	d := shape - 1.0/3
	c := 1 / math.Sqrt(9*d)
	for {
		x := rng.NormFloat64()
		v := 1 + c*x
		if v <= 0 {
			continue
		}
		v *= v * v
		u := 1 - rng.Float64() // in (0, 1]
		if math.Log(u) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v
		}
	}
}

// Package capacity answers what load a server carries within limits: it reads
// service levels such as ttft:p99<500, judges them as the statistical tests that
// they are, and searches the load at which they stop being kept.
//
// It is pure: it sends nothing. Whoever measures hands it the requests' timings.
package capacity

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"inferbench/harness/stats"
)

// Limit is one service level: a statistic of a figure that must stay under a
// bound, or the share of good requests that must stay above one.
type Limit struct {
	Figure string  // ttft, tpot, itl or e2el; goodput for the share
	Stat   string  // mean, or a percentile as p99; "" for goodput
	Bound  float64 // ms; of goodput the share, 0 to 1
}

// share is the part of what is counted that must keep the bound: 0.99 of a p99;
// 0 for a mean.
func (l Limit) share() float64 {
	if l.Figure == Goodput {
		return l.Bound
	}
	p, err := strconv.ParseFloat(strings.TrimPrefix(l.Stat, "p"), 64)
	if err != nil {
		return 0
	}
	return p / 100
}

// Goodput is the figure whose limit is a share of requests.
const Goodput = "goodput"

// figures that can be limited; goodput is one more.
var figures = []string{"ttft", "tpot", "itl", "e2el"}

// stats that a limit may be of, beside mean.
var percentiles = []string{"p50", "p90", "p95", "p99", "p99.9"}

// String is the limit as it is written.
func (l Limit) String() string {
	if l.Figure == Goodput {
		return fmt.Sprintf("goodput>%g%%", l.Bound*100)
	}
	return fmt.Sprintf("%s:%s<%g", l.Figure, l.Stat, l.Bound)
}

// Parse reads limits with white space or commas between them, as
// "ttft:p99<500 tpot:p99<50": FIGURE:STAT<BOUND in ms (or with a unit, 9s), of
// mean, p50, p90, p95, p99 or p99.9; and goodput>95%, the share of requests that
// keep the levels of GOODPUT.
func Parse(text string) ([]Limit, error) {
	var out []Limit
	seen := map[string]bool{}
	for _, word := range strings.FieldsFunc(text, func(r rune) bool {
		return r == ',' || r == ' ' || r == '\t' ||
			r == '\n'
	}) {
		l, err := parse(word)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", word, err)
		}
		if key := l.Figure + ":" + l.Stat; seen[key] {
			return nil, fmt.Errorf("%s is limited twice", strings.TrimSuffix(key, ":"))
		} else {
			seen[key] = true
		}
		out = append(out, l)
	}
	if len(out) == 0 {
		return nil, errors.New("want limits such as ttft:p99<500 tpot:p99<50")
	}
	return out, nil
}

func parse(word string) (Limit, error) {
	if share, ok := strings.CutPrefix(word, "goodput>"); ok {
		v, err := strconv.ParseFloat(strings.TrimSuffix(share, "%"), 64)
		if strings.HasSuffix(share, "%") {
			v /= 100
		}
		if err != nil || !(v > 0 && v < 1) {
			return Limit{}, errors.New("want a share between 0 and 1, as goodput>95%")
		}
		return Limit{Figure: Goodput, Bound: v}, nil
	}
	name, bound, ok := strings.Cut(word, "<")
	figure, stat, told := strings.Cut(name, ":")
	switch {
	case !ok:
		return Limit{}, errors.New("want FIGURE:STAT<MILLISECONDS such as ttft:p99<500, or goodput>95%")
	case !slices.Contains(figures, figure):
		return Limit{}, fmt.Errorf("want one of %s, or goodput", strings.Join(figures, ", "))
	case !told || stat != "mean" && !slices.Contains(percentiles, stat):
		return Limit{}, fmt.Errorf("say of which statistic: %s:mean<… or one of %s", figure, strings.Join(percentiles, ", "))
	}
	ms, err := strconv.ParseFloat(bound, 64)
	if err != nil {
		d, unit := time.ParseDuration(bound)
		ms, err = float64(d)/float64(time.Millisecond), unit
	}
	if err != nil || !(ms > 0) || math.IsInf(ms, 0) {
		return Limit{}, errors.New("want a bound above 0 in ms, as 500, 500ms or 9s")
	}
	return Limit{Figure: figure, Stat: stat, Bound: ms}, nil
}

// value is the limited figure of one request in ms; no number where it has none.
func (l Limit) value(t stats.Timing) float64 {
	switch l.Figure {
	case "ttft":
		return ms(t.TTFT())
	case "tpot":
		if !t.HasTPOT() {
			return math.NaN()
		}
		return ms(t.TPOT())
	default:
		return ms(t.E2EL())
	}
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

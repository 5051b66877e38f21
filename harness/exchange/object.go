package exchange

import (
	"encoding/json"
	"fmt"
	"math"

	"inferbench/harness/stats"
)

// object is a JSON object of another tool, read leniently: tools add keys from
// one release to the next, and write a number now as a number, now as text.
type object map[string]json.RawMessage

func (o object) has(keys ...string) bool {
	for _, k := range keys {
		if _, ok := o[k]; !ok {
			return false
		}
	}
	return true
}

// number is the first of the keys that holds a finite number.
func (o object) number(keys ...string) *float64 {
	for _, k := range keys {
		var v float64
		raw := o[k]
		if len(raw) > 1 && raw[0] == '"' {
			raw = raw[1 : len(raw)-1]
		}
		if json.Unmarshal(raw, &v) == nil && !math.IsInf(v, 0) && len(raw) > 0 && string(raw) != "null" {
			return &v
		}
	}
	return nil
}

func (o object) float(keys ...string) float64 {
	if v := o.number(keys...); v != nil {
		return *v
	}
	return 0
}

func (o object) int(keys ...string) int { return int(o.float(keys...)) }

func (o object) text(keys ...string) string {
	for _, k := range keys {
		var s string
		if json.Unmarshal(o[k], &s) == nil && s != "" {
			return s
		}
	}
	return ""
}

// distributions fills in TTFT, TPOT, ITL and E2EL: theirs maps our name of a
// metric to the tool's key, given the statistic; scale turns the tool's unit
// into milliseconds.
func distributions(s *stats.Summary, o object, scale float64, theirs func(stat, metric string) string) error {
	ours := map[string]float64{}
	for _, metric := range []string{"ttft", "tpot", "itl", "e2el"} {
		for _, stat := range []string{"mean", "median", "std", "p90", "p95", "p99", "p99.9", "max"} {
			if v := o.number(theirs(stat, metric)); v != nil {
				ours[fmt.Sprintf("%s_%s_ms", stat, metric)] = *v * scale
			}
		}
	}
	b, err := json.Marshal(ours)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(b, s); err != nil {
		return err
	}
	if tpot := s.TPOT.Median; tpot != nil && *tpot > 0 {
		v := 1000 / *tpot
		s.Interactivity = &v
	}
	return nil
}

// first is the first of the values that is given.
func first[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

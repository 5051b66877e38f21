package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"strings"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/server"
	"inferbench/harness/stats"
)

// object is a JSON object of another tool, read leniently: tools add keys from
// one release to the next, and write a number now as a number, now as text.
type object map[string]json.RawMessage

// notFinite is what Python's json module writes that is not JSON, as SGLang's
// "request_rate": Infinity. A string is matched whole, so that none within it is.
var notFinite = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|-?Infinity|NaN`)

// strictJSON has null in place of Python's Infinity and NaN.
func strictJSON(b []byte) []byte {
	return notFinite.ReplaceAllFunc(b, func(m []byte) []byte {
		if m[0] == '"' {
			return m
		}
		return []byte("null")
	})
}

func (o object) has(keys ...string) bool {
	for _, k := range keys {
		if _, ok := o[k]; !ok {
			return false
		}
	}
	return true
}

// number returns the first of the keys that holds a finite number.
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

// int returns a whole number from 0 on; 0 where there is none.
func (o object) int(keys ...string) int {
	v := o.float(keys...)
	if v < 0 || v > math.MaxInt32 || v != math.Trunc(v) {
		return 0
	}
	return int(v)
}

func (o object) bool(key string) bool {
	return string(o[key]) == "true" || strings.EqualFold(o.text(key), "true")
}

// text returns the first of the keys that holds a text, without what a terminal
// would obey.
func (o object) text(keys ...string) string {
	for _, k := range keys {
		var s string
		if json.Unmarshal(o[k], &s) == nil && s != "" {
			return server.Redact(s)
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
		some := false // the clients write zeros where there was nothing to measure
		for _, stat := range []string{"mean", "median", "std", "p90", "p95", "p99", "p99.9", "max"} {
			v := o.number(theirs(stat, metric))
			if v == nil && stat == "median" {
				v = o.number(theirs("p50", metric))
			}
			if v != nil {
				some = some || *v != 0
				ours[fmt.Sprintf("%s_%s_ms", stat, metric)] = *v * scale
			}
		}
		if !some {
			maps.DeleteFunc(ours, func(key string, _ float64) bool { return strings.HasSuffix(key, "_"+metric+"_ms") })
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

// word returns a single value as it is written; "" for none.
func (o object) word(key string) string {
	if s := o.text(key); s != "" {
		return s
	}
	if raw := string(o[key]); raw != "" && raw != "null" && raw != `""` {
		return raw
	}
	return ""
}

// at returns the object under keys within each other; nil where there is none.
func (o object) at(path ...string) object {
	for _, key := range path {
		var inner object
		if json.Unmarshal(o[key], &inner) != nil {
			return nil
		}
		o = inner
	}
	return o
}

// list returns the objects of a list; nil where there are none.
func (o object) list(key string) (out []object) {
	if json.Unmarshal(o[key], &out) != nil {
		return nil
	}
	return out
}

// underscored gives every key that is written with hyphens, as a sweep's
// parameters are, its name with underscores too.
func (o object) underscored() {
	for k, v := range o {
		if name := strings.ReplaceAll(k, "-", "_"); name != k && !o.has(name) {
			o[name] = v
		}
	}
}

// secondsOf returns a list of durations in seconds; nil where the key holds none.
func (o object) secondsOf(key string) []time.Duration {
	var list []float64
	if json.Unmarshal(o[key], &list) != nil {
		return nil
	}
	out := make([]time.Duration, len(list))
	for i, s := range list {
		out[i] = seconds(s)
	}
	return out
}

// first returns the first of the values that is given.
func first[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

// rate returns the request rate; 0 where the file has none or an infinite one.
func (o object) rate() batch.Rate {
	if v := o.number("request_rate"); v != nil {
		return batch.Rate(*v)
	}
	return 0
}

package stats

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SLO is the service level that a request must meet to count as good: limits
// in milliseconds by the name of the metric, ttft, tpot or e2el, as in vLLM's
// and SGLang's --goodput. An answer of one token has a TPOT of zero; one whose
// tokens all came at once has none that is known, and does not keep to a limit.
type SLO map[string]float64

// ParseSLO reads vLLM's form: KEY:VALUE pairs with white space or commas
// between them, values in milliseconds, as "ttft:500 tpot:50".
func ParseSLO(text string) (SLO, error) {
	out := SLO{}
	for _, pair := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }) {
		key, value, ok := strings.Cut(pair, ":")
		v, err := strconv.ParseFloat(value, 64)
		switch {
		case !ok || err != nil || !(v > 0) || v > 1e12:
			return nil, fmt.Errorf("%q: want KEY:MILLISECONDS such as ttft:500", pair)
		case !slices.Contains([]string{"ttft", "tpot", "e2el"}, key):
			return nil, fmt.Errorf("%q: want ttft, tpot or e2el", key)
		}
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("%s is given twice", key)
		}
		out[key] = v
	}
	if len(out) == 0 {
		return nil, errors.New("want KEY:MILLISECONDS pairs such as ttft:500 tpot:50")
	}
	return out, nil
}

// met reports whether the request kept within the limit of a metric.
func (s SLO) met(metric string, t Timing) bool {
	var ns float64
	switch metric {
	case "ttft":
		ns = float64(t.TTFT())
	case "tpot":
		if t.OutputTokens > 1 && !t.HasTPOT() {
			return false
		}
		ns = t.tpot()
	case "e2el":
		ns = float64(t.E2EL())
	}
	return ns <= s[metric]*float64(time.Millisecond)
}

// Good reports whether a request succeeded and kept within every limit.
func (s SLO) Good(t Timing) bool {
	for metric := range s {
		if t.Err != "" || !s.met(metric, t) {
			return false
		}
	}
	return t.Err == ""
}

// Goodput is how much of the load was served within the [SLO].
type Goodput struct {
	SLO           SLO                `json:"goodput_slos_ms"`
	Request       float64            `json:"request_goodput"`          // good requests a second
	Attainment    float64            `json:"slo_attainment"`           // good requests / requests sent
	AttainmentFor map[string]float64 `json:"slo_attainment_by_metric"` // likewise, by metric
}

// goodput counts the requests that met the service level; a request that
// failed did not.
func goodput(ts []Timing, slo SLO, seconds float64) *Goodput {
	if len(slo) == 0 || len(ts) == 0 {
		return nil
	}
	g := &Goodput{SLO: slo, AttainmentFor: map[string]float64{}}
	good := 0
	for _, t := range ts {
		if t.Err != "" {
			continue
		}
		for metric := range slo {
			if slo.met(metric, t) {
				g.AttainmentFor[metric]++
			}
		}
		if slo.Good(t) {
			good++
		}
	}
	n := float64(len(ts))
	for metric := range slo {
		g.AttainmentFor[metric] /= n
	}
	g.Attainment = float64(good) / n
	if seconds > 0 {
		g.Request = float64(good) / seconds
	}
	return g
}

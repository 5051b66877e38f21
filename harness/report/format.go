package report

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
)

// number returns a figure with as many digits as a reader can use: four, and all
// before the point.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	digits := 4
	if a := math.Abs(v); a >= 1 {
		digits = max(0, 3-int(math.Log10(a)))
	} else {
		return strconv.FormatFloat(v, 'g', 4, 64)
	}
	return strconv.FormatFloat(v, 'f', digits, 64)
}

// figure returns a number, or a dash where there is none.
func figure(v *float64) string {
	if v == nil {
		return "–"
	}
	return number(*v)
}

// round keeps six digits: what a chart can show.
func round(v float64) float64 {
	r, err := strconv.ParseFloat(strconv.FormatFloat(v, 'g', 6, 64), 64)
	if err != nil {
		return v
	}
	return r
}

// orderedKeys lists the keys of a JSON object in the order of the text.
func orderedKeys(raw json.RawMessage) []string {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if _, err := dec.Token(); err != nil {
		return nil
	}
	var out []string
	for dec.More() {
		k, err := dec.Token()
		if err != nil {
			return out
		}
		if s, ok := k.(string); ok {
			out = append(out, s)
		}
		var skip json.RawMessage
		if dec.Decode(&skip) != nil {
			return out
		}
	}
	return out
}

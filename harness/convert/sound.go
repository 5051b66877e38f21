package convert

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"inferbench/harness/stats"
)

// contradiction says in what a run's own figures cannot be true together, as those
// of a file that was edited or has another unit than it should; "" where they can.
func (r *Imported) contradiction() string {
	s := r.Result.Performance
	for _, check := range []func(*stats.Summary) string{below0, outOfOrder, r.ratesOff, r.inFlightOff} {
		if why := check(s); why != "" {
			return why
		}
	}
	return ""
}

// below0 names a figure that is below 0, which none can be.
func below0(s *stats.Summary) string {
	b, err := json.Marshal(s)
	var own map[string]any
	if err != nil || json.Unmarshal(b, &own) != nil {
		return "its figures are no numbers"
	}
	for _, key := range slices.Sorted(maps.Keys(own)) {
		if v, ok := own[key].(float64); ok && v < 0 {
			return fmt.Sprintf("%s is %g", key, v)
		}
	}
	return ""
}

// outOfOrder names a higher percentile that is below a lower one.
func outOfOrder(s *stats.Summary) string {
	for _, m := range []struct {
		name string
		d    stats.Dist
	}{{"TTFT", s.TTFT}, {"TPOT", s.TPOT}, {"ITL", s.ITL}, {"E2EL", s.E2EL}} {
		lower, lowest := "", 0.0
		for _, p := range []struct {
			name  string
			value *float64
		}{{"p50", m.d.Median}, {"p90", m.d.P90}, {"p95", m.d.P95}, {"p99", m.d.P99}, {"p99.9", m.d.P99_9}, {"max", m.d.Max}} {
			if p.value == nil {
				continue
			}
			if *p.value < 0.99*lowest { // tables are rounded
				return fmt.Sprintf("the %s of its %s, %g ms, is below the %s, %g ms", p.name, m.name, *p.value, lower, lowest)
			}
			lower, lowest = p.name, *p.value
		}
	}
	return ""
}

// ratesOff names a rate that is not what was counted over the duration.
func (r *Imported) ratesOff(s *stats.Summary) string {
	if s.TotalThroughput != nil && s.OutputThroughput > 1.01**s.TotalThroughput {
		return fmt.Sprintf("%g output tok/s are more than the %g of input and output", s.OutputThroughput, *s.TotalThroughput)
	}
	if s.Duration <= 0 {
		return ""
	}
	off := 1.05 // tables are rounded
	if r.ratesApart {
		off = unitOff
	}
	for _, c := range []struct {
		what  string
		count float64
		rate  float64
	}{
		{"requests", float64(s.Successful), s.RequestThroughput},
		{"output tokens", float64(s.OutputTokens), s.OutputThroughput},
	} {
		if got := c.count / s.Duration; got > 0 && c.rate > 0 && math.Max(got/c.rate, c.rate/got) > off {
			return fmt.Sprintf("%g %s in %g s are %.4g/s, but it says %.4g/s", c.count, c.what, s.Duration, got, c.rate)
		}
	}
	return ""
}

// unitOff is by which factor latencies and throughput may be apart before one of
// them must have another unit: seconds for milliseconds is a thousand.
const unitOff = 100

// inFlightOff holds latencies and the rate of requests against the limit on those in
// flight, by Little's law, as far as to tell another unit.
func (r *Imported) inFlightOff(s *stats.Summary) string {
	a := r.Result.Args
	osl := float64(a.RandomOutputLen)
	if s.Successful > 0 && s.OutputTokens > 0 {
		osl = float64(s.OutputTokens) / float64(s.Successful)
	}
	rate, limit := first(s.RequestThroughput, s.OutputThroughput/max(1, osl)), float64(a.MaxConcurrency)
	if s.Successful > 0 {
		limit = min(limit, float64(s.Successful))
	}
	for _, ms := range []*float64{s.E2EL.Mean, s.E2EL.Median, sumOf(s.TTFT.Mean, s.TPOT.Mean, max(0, osl-1))} {
		if ms == nil || *ms <= 0 || rate <= 0 || a.Settings["CONC_CAP"] == "false" {
			continue
		}
		if n := *ms / 1000 * rate; n > unitOff*limit || a.RequestRate == 0 && n < limit/unitOff {
			return fmt.Sprintf("%.4g requests/s of %.4g ms each are %.3g in flight, but there were %g: is a figure in another "+
				"unit than it says", rate, *ms, n, limit)
		}
	}
	return ""
}

// sumOf is the latency of an answer whose first token takes ttft and each of the n
// others tpot; nil where either is not known.
func sumOf(ttft, tpot *float64, n float64) *float64 {
	if ttft == nil || tpot == nil {
		return nil
	}
	return new(*ttft + n**tpot)
}

// told notes of which of our keys, each given with the tool's names for it, the file
// says nothing.
func (r *Imported) told(o object, ours map[string][]string) {
	for _, key := range slices.Sorted(maps.Keys(ours)) {
		if o.number(ours[key]...) == nil {
			r.Result.NotTold = append(r.Result.NotTold, key)
		}
	}
}

// clientKeys are figures of vLLM's client and of SGLang's, which calls them alike, by
// our keys.
var clientKeys = map[string][]string{
	"successful_requests": {"completed"}, "benchmark_duration": {"duration"},
	"total_generated_tokens": {"total_output_tokens"}, "request_throughput": {"request_throughput"},
	"output_throughput": {"output_throughput"},
}

// clientTotals are the tokens that either client counted, and its throughput of input
// and output: as it says, or as follows from what it counted; nil where neither is
// told.
func (o object) clientTotals() (input *int64, throughput *float64) {
	if n := o.number("total_input_tokens"); n != nil {
		input = new(int64(*n))
	}
	if v := o.number("total_token_throughput", "total_throughput"); v != nil {
		return input, v
	}
	in, out := o.number("input_throughput"), o.number("output_throughput") // releases before the key
	if in != nil && out != nil {
		return input, new(*in + *out)
	}
	in, out = o.number("total_input_tokens"), o.number("total_output_tokens")
	if d := o.number("duration"); in != nil && out != nil && d != nil && *d > 0 {
		return input, new((*in + *out) / *d)
	}
	return input, nil
}

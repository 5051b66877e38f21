package report

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"inferbench/harness/scrape"
	"inferbench/harness/slowest"
)

// serverHeads are the columns of what the server said of itself.
var serverHeads = []string{
	"most running", "most waiting", "waiting on average", "KV cache in use, mean / most", "preemptions",
	"prefix cache hits", "ranks, busiest / mean", "server's TTFT mean / p50 / p99 ms", "client's TTFT p50 ms",
}

// unevenRanks is the busiest rank's share of the mean from which on a reader is
// told.
const unevenRanks = 1.2

type serverRow struct {
	At     string // see [Cell.At]
	Values []string
}

// serverTable is one row a cell whose server had metrics, and what a reader
// should conclude from them.
func (r *Report) serverTable() (rows []serverRow, why []string) {
	for _, c := range r.Cells {
		var s scrape.Report
		if c.result().ServerMetrics == nil || json.Unmarshal(c.Result.ServerMetrics, &s) != nil {
			continue
		}
		rows = append(rows, serverRow{c.At(), []string{
			figure(s.MaxRunning), figure(s.MaxWaiting), figure(s.MeanWaiting),
			percent(s.MeanKVCache) + " / " + percent(s.MaxKVCache),
			figure(s.Preemptions), percent(s.PrefixHits), balance(s),
			figure(s.MeanTTFT) + " / " + figure(s.MedianTTFT) + " / " + figure(s.P99TTFT), figure(c.Figure("median_ttft_ms")),
		}})
		if s.Balance != nil && *s.Balance >= unevenRanks {
			why = append(why, fmt.Sprintf("CONC %s: of %d ranks the busiest ran %s times as many requests as "+
				"the mean: they were not evenly loaded.", c.At(), len(s.Ranks), number(*s.Balance)))
		}
		why = append(why, disaggregated(c.At(), s)...)
		if s.MeanWaiting != nil && *s.MeanWaiting >= 1 {
			why = append(why, fmt.Sprintf("CONC %s: on average %s requests waited in the server's queue, which their TTFT "+
				"includes.", c.At(), number(*s.MeanWaiting)))
		}
		if s.Preemptions != nil && *s.Preemptions > 0 {
			why = append(why, fmt.Sprintf("CONC %s: the server ran out of KV cache and put requests back %s times: their "+
				"tokens were computed again.", c.At(), number(*s.Preemptions)))
		}
		sessions := c.Figure("turns_completed") != nil // of which hits are the point
		if s.PrefixHits != nil && *s.PrefixHits > 0.05 && !sessions {
			why = append(why, fmt.Sprintf("CONC %s: %s of the prompt tokens came from the prefix cache, so prefill was not "+
				"measured whole.", c.At(), percent(s.PrefixHits)))
		}
	}
	return rows, why
}

// balance is how many ranks there are, and how many times the mean the busiest ran.
func balance(s scrape.Report) string {
	if s.Balance == nil {
		return absent
	}
	return fmt.Sprintf("%d, %s", len(s.Ranks), number(*s.Balance))
}

// disaggregated says what prefill and decode on different GPUs cost.
func disaggregated(conc string, s scrape.Report) (out []string) {
	if t := s.Transfer; t != nil {
		line := fmt.Sprintf("CONC %s: KV cache went from prefill to decode", conc)
		if t.MeanMs != nil {
			line += fmt.Sprintf(" in %s ms on average", number(*t.MeanMs))
		}
		if t.P99Ms != nil {
			line += fmt.Sprintf(" (99th percentile %s ms)", number(*t.P99Ms))
		}
		if t.GB != nil {
			line += fmt.Sprintf(", %s GB in all", number(*t.GB))
		}
		if t.Failed != nil && *t.Failed > 0 {
			line += fmt.Sprintf("; %s transfers failed", number(*t.Failed))
		}
		out = append(out, line+".")
	}
	var queues []string
	for _, name := range slices.Sorted(maps.Keys(s.Queues)) {
		q := s.Queues[name]
		queues = append(queues, fmt.Sprintf("%s %s (most %s)", name, number(q.Mean), number(q.Max)))
	}
	if queues != nil {
		out = append(out, fmt.Sprintf("CONC %s: requests in queues on average: %s.", conc, strings.Join(queues, ", ")))
	}
	return out
}

// slowest says of each cell what its slowest requests had in common.
func (r *Report) slowest() (out []string) {
	for _, c := range r.Cells {
		var f slowest.Finding
		if c.result().Slowest != nil && json.Unmarshal(c.Result.Slowest, &f) == nil && f.Sentence != "" {
			out = append(out, fmt.Sprintf("CONC %s: %s", c.At(), f.Sentence))
		}
	}
	return out
}

// throttled says which GPUs of which cell could not keep their clock.
func (r *Report) throttled() (out []string) {
	for _, c := range r.Cells {
		if p := c.result().Performance; p != nil && p.Power != nil && p.Power.Throttled != "" {
			out = append(out, fmt.Sprintf("CONC %s: %s.", c.At(), p.Power.Throttled))
		}
	}
	return out
}

func percent(v *float64) string {
	if v == nil {
		return "–"
	}
	return number(*v*100) + " %"
}

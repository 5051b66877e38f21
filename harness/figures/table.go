package figures

import (
	"strconv"
	"time"

	"inferbench/baselines"
	"inferbench/harness/batch"
	"inferbench/harness/stats"
)

// Table is every figure, in the order in which outputs show them. To add one,
// see "A figure" in CONTRIBUTING.md.
var Table = []Figure{
	{Key: "tput_per_gpu", Name: "tok/s/GPU", Bench: "tok/s/gpu", Better: Higher,
		Means: "input and output tokens a second, divided by the number of GPUs (TP)",
		Of:    rate(func(s *stats.Summary) *float64 { return s.TputPerGPU }), Sample: throughput,
		Versus:  func(c *baselines.Comparison) *float64 { return c.TputRatio },
		Outputs: Terminal | Agents | Compare | Report},
	{Key: "output_throughput", Name: "output tok/s", Bench: "out-tok/s", Better: Higher,
		Means: "output tokens a second, of all GPUs",
		Of:    rate(func(s *stats.Summary) *float64 { return &s.OutputThroughput }), Outputs: Report},
	{Key: "total_token_throughput", Name: "total tok/s", Better: Higher,
		Means: "input and output tokens a second, of all GPUs",
		Of:    rate(func(s *stats.Summary) *float64 { return s.TotalThroughput })},
	{Key: "request_throughput", Name: "req/s", Better: Higher,
		Means: "requests a second that succeeded",
		Of:    rate(func(s *stats.Summary) *float64 { return &s.RequestThroughput })},
	{Key: "interactivity", Name: "tok/s/user", Bench: "tok/s/user", Better: Higher,
		Means: "interactivity, the speed that one user sees: 1000 / median TPOT",
		Of:    summary(func(s *stats.Summary) *float64 { return s.Interactivity }), Outputs: Report},
	{Key: "e2e_norm_intvty.p50", Name: "E2E tok/s/user", Stat: "p50", Bench: "e2e-tok/s/user-p50", Better: Higher,
		Means: "speed that a user sees, the time to the first token in it: 1 over the median of E2EL/OSL",
		Of:    sessions(func(s *stats.Sessions) *float64 { return s.E2ENormIntvty.P50 }), Outputs: Report},
	{Key: "e2e_norm_intvty.p90", Name: "E2E tok/s/user", Stat: "p90", Bench: "e2e-tok/s/user-p90", Better: Higher,
		Means:  "the same that 90 % of requests kept: 1 over the p90 of E2EL/OSL",
		Of:     sessions(func(s *stats.Sessions) *float64 { return s.E2ENormIntvty.P90 }),
		Sample: &Sample{Of: secondsPerToken, Quantile: 0.9, Inverse: true}, Outputs: Agents | Compare | Report},
	{Key: "intvty.p90", Name: "tok/s/user", Stat: "p90", Bench: "tok/s/user-p90", Better: Higher,
		Means: "speed after the first token that 90 % of requests kept: 1 over the p90 of TPOT",
		Of:    sessions(func(s *stats.Sessions) *float64 { return s.Intvty.P90 })},

	{Key: "median_ttft_ms", Name: "TTFT", Stat: "p50", Unit: "ms", Bench: "ttft-p50-ms", Better: Lower,
		Means: "time to first token",
		Of:    summary(func(s *stats.Summary) *float64 { return s.TTFT.Median }), Sample: quantile(stats.Timing.TTFT, 0.5),
		Outputs: Terminal | Agents | Compare | Report},
	{Key: "p99_ttft_ms", Name: "TTFT", Stat: "p99", Unit: "ms", Bench: "ttft-p99-ms", Better: Lower,
		Means: "time to first token that 99 % of requests kept",
		Of:    summary(func(s *stats.Summary) *float64 { return s.TTFT.P99 }), Sample: quantile(stats.Timing.TTFT, 0.99),
		Outputs: Wide | Compare | Report},
	{Key: "median_tpot_ms", Name: "TPOT", Stat: "p50", Unit: "ms", Bench: "tpot-p50-ms", Better: Lower,
		Means: "time per output token after the first",
		Of:    summary(func(s *stats.Summary) *float64 { return s.TPOT.Median }), Sample: quantile(stats.Timing.TPOT, 0.5),
		Outputs: Terminal | Compare | Report},
	{Key: "p99_tpot_ms", Name: "TPOT", Stat: "p99", Unit: "ms", Bench: "tpot-p99-ms", Better: Lower,
		Means: "time per output token that 99 % of requests kept",
		Of:    summary(func(s *stats.Summary) *float64 { return s.TPOT.P99 }), Sample: quantile(stats.Timing.TPOT, 0.99),
		Outputs: Wide | Compare | Report},
	{Key: "mean_itl_ms", Name: "ITL", Stat: "mean", Unit: "ms", Better: Lower,
		Means: "mean gap between chunks that carry tokens",
		Of:    summary(func(s *stats.Summary) *float64 { return s.ITL.Mean }), Sample: meanGap, Outputs: Compare},
	{Key: "median_itl_ms", Name: "ITL", Stat: "p50", Unit: "ms", Bench: "itl-p50-ms", Better: Lower,
		Means: "gap between chunks that carry tokens",
		Of:    summary(func(s *stats.Summary) *float64 { return s.ITL.Median }), Outputs: Report},
	{Key: "p99_itl_ms", Name: "ITL", Stat: "p99", Unit: "ms", Bench: "itl-p99-ms", Better: Lower,
		Means: "gap between chunks that 99 % of gaps kept",
		Of:    summary(func(s *stats.Summary) *float64 { return s.ITL.P99 }), Outputs: Report},
	{Key: "median_itl_per_token_ms", Name: "ITL/token", Stat: "p50", Unit: "ms", Bench: "itl-per-token-p50-ms",
		Better: Lower,
		Means:  "gap between chunks, spread over the tokens of the later one, where chunks carry several",
		Of:     itlPerToken(func(d *stats.Dist) *float64 { return d.Median }), Outputs: Report},
	{Key: "p99_itl_per_token_ms", Name: "ITL/token", Stat: "p99", Unit: "ms", Bench: "itl-per-token-p99-ms",
		Better: Lower,
		Means:  "gap a token that 99 % of tokens kept, where chunks carry several",
		Of:     itlPerToken(func(d *stats.Dist) *float64 { return d.P99 }), Outputs: Report},
	{Key: "tokens_per_chunk", Name: "tokens/chunk",
		Means: "output tokens in a chunk of the stream, on average",
		Of:    summary(func(s *stats.Summary) *float64 { return s.PerChunk })},
	{Key: "spec_decode.acceptance_length", Name: "acceptance length",
		Means: "tokens a decode step, with those guessed ahead and accepted",
		Of:    speculation(func(s *stats.Speculation) *float64 { return s.AcceptanceLength }), Outputs: Report},
	{Key: "spec_decode.acceptance_rate", Name: "acceptance rate", Unit: "%",
		Means:  "share of the tokens guessed ahead that were accepted",
		Format: func(share float64) string { return Digits(100 * share) },
		Of:     speculation(func(s *stats.Speculation) *float64 { return s.AcceptanceRate }), Outputs: Report},
	{Key: "steps_per_s_per_gpu", Name: "steps/s/GPU",
		Means: "decode steps a second and GPU: output tok/s over the acceptance length",
		Of:    summary(func(s *stats.Summary) *float64 { return s.StepsPerGPU }), Outputs: Report},
	{Key: "cache_hit_rate", Name: "prefix cache", Unit: "%", Bench: "cache-hit-share", Better: Higher,
		Means:  "share of the input tokens that came from the server's prefix cache",
		Format: func(share float64) string { return Digits(100 * share) },
		Of:     summary(func(s *stats.Summary) *float64 { return s.HitRate }), Outputs: Compare | Report | Agents},
	{Key: "theoretical_cache_hit_rate", Name: "infinite cache", Unit: "%", Bench: "infinite-cache-share", Better: Higher,
		Means:  "share of the prompts' blocks that an infinite prefix cache would hold",
		Format: func(share float64) string { return Digits(100 * share) },
		Of:     sessions(func(s *stats.Sessions) *float64 { return s.Hits }), Outputs: Compare | Report | Agents},
	{Key: "median_e2el_ms", Name: "E2EL", Stat: "p50", Unit: "ms", Bench: "e2el-p50-ms", Better: Lower,
		Means: "end-to-end latency, to the last token",
		Of:    summary(func(s *stats.Summary) *float64 { return s.E2EL.Median }), Sample: quantile(stats.Timing.E2EL, 0.5),
		Versus:  func(c *baselines.Comparison) *float64 { return c.E2ERatio },
		Outputs: Terminal | Compare | Report},
	{Key: "p99_e2el_ms", Name: "E2EL", Stat: "p99", Unit: "ms", Bench: "e2el-p99-ms", Better: Lower,
		Means: "end-to-end latency that 99 % of requests kept",
		Of:    summary(func(s *stats.Summary) *float64 { return s.E2EL.P99 }), Sample: quantile(stats.Timing.E2EL, 0.99),
		Outputs: Wide | Compare | Report},

	{Key: "session_completion_s.p50", Name: "session", Stat: "p50", Unit: "s", Bench: "session-p50-s", Better: Lower,
		Means: "time from a session's first request to its last answer",
		Of:    sessions(func(s *stats.Sessions) *float64 { return s.Times.P50 }), Outputs: Agents | Compare | Report},
	{Key: "session_completion_s.p99", Name: "session", Stat: "p99", Unit: "s", Bench: "session-p99-s", Better: Lower,
		Means: "time from its first request to its last answer that 99 % of sessions kept",
		Of:    sessions(func(s *stats.Sessions) *float64 { return s.Times.P99 }), Outputs: Report},
	{Key: "sessions_per_hour_per_gpu", Name: "sessions/h/GPU", Bench: "sessions/h/gpu", Better: Higher,
		Means: "sessions completed in an hour, divided by the number of GPUs",
		Of:    sessions(func(s *stats.Sessions) *float64 { return s.PerHour }), Outputs: Agents | Compare | Report},
	{Key: "sessions_completed", Name: "sessions completed",
		Means:  "sessions whose last turn was answered",
		Format: whole,
		Of:     counted(func(s *stats.Sessions) int { return s.Completed }), Outputs: Report},
	{Key: "turns_completed", Name: "turns completed",
		Means:  "turns of sessions that were answered",
		Format: whole,
		Of:     counted(func(s *stats.Sessions) int { return s.Turns })},
	{Key: "turns_failed", Name: "turns failed",
		Means:  "turns of sessions that failed, each of which ends its session",
		Format: whole,
		Of:     counted(func(s *stats.Sessions) int { return s.TurnsLost }), Outputs: Report},
	{Key: "input_throughput", Name: "input tok/s", Bench: "in-tok/s", Better: Higher,
		Means: "input tokens a second, of all GPUs, those from the prefix cache among them",
		Of:    sessions(func(s *stats.Sessions) *float64 { return s.InputRate })},
	{Key: "uncached_input_throughput", Name: "computed input tok/s", Bench: "computed-in-tok/s", Better: Higher,
		Means: "input tokens a second that did not come from the prefix cache",
		Of:    sessions(func(s *stats.Sessions) *float64 { return s.Uncached })},
	{Key: "requests_in_flight.mean", Name: "requests in flight",
		Means: "requests in flight at once, on average: a session has as many as it has agents at work, or none",
		Of:    sessions(func(s *stats.Sessions) *float64 { return s.InFlight.Mean })},
	{Key: "power.joules_per_output_token", Name: "J/token", Stat: "output", Bench: "J/out-tok", Better: Lower,
		Format: threePlaces, Means: "energy that the GPUs took, over the output tokens",
		Of: energy(func(p *stats.Power) *float64 { return p.JoulesPerOutputToken }), Outputs: Terminal | Compare | Report},
	{Key: "power.joules_per_total_token", Name: "J/token", Stat: "total", Bench: "J/tok", Better: Lower,
		Format: threePlaces, Means: "energy that the GPUs took, over input and output tokens",
		Of: energy(func(p *stats.Power) *float64 { return p.JoulesPerTotalToken }), Outputs: Wide | Report},
	{Key: "power.joules_per_input_token", Name: "J/token", Stat: "input", Better: Lower,
		Format: threePlaces, Means: "energy that the GPUs took, over the input tokens",
		Of: energy(func(p *stats.Power) *float64 { return p.JoulesPerInputToken }), Outputs: Report},
	{Key: "power.prefill_joules_per_input_token", Name: "J/token", Stat: "input, prefill's GPUs", Better: Lower,
		Format: threePlaces, Means: "energy that the GPUs of prefill took, over the input tokens",
		Of: energy(func(p *stats.Power) *float64 { return p.PrefillJoulesPerInput }), Outputs: Report},
	{Key: "power.decode_joules_per_output_token", Name: "J/token", Stat: "output, decode's GPUs", Better: Lower,
		Format: threePlaces, Means: "energy that the GPUs of decode took, over the output tokens",
		Of: energy(func(p *stats.Power) *float64 { return p.DecodeJoulesPerOutput }), Outputs: Report},
	{Key: "power.avg_power_w", Name: "power", Stat: "W/GPU",
		Means: "mean power of a GPU over the run",
		Of:    energy(func(p *stats.Power) *float64 { return p.AvgPowerW }), Outputs: Wide | Report},
	{Key: "power.tokens_per_s_per_w", Name: "power", Stat: "tok/s/W", Better: Higher,
		Format: threePlaces, Means: "input and output tokens a second for each watt that the GPUs drew",
		Of: energy(func(p *stats.Power) *float64 { return p.TokensPerSPerW }), Outputs: Report},
	{Key: "power.total_gpu_energy_j", Name: "energy", Unit: "J",
		Means: "energy that all GPUs took over the run",
		Of:    energy(func(p *stats.Power) *float64 { return p.TotalEnergyJ })},

	{Key: "request_goodput", Name: "goodput", Unit: "req/s", Bench: "good-req/s", Better: Higher,
		Means: "requests a second that kept every limit of GOODPUT",
		Of:    goodput(func(g *stats.Goodput) float64 { return g.Request }), Outputs: Terminal | Report},
	{Key: "slo_attainment", Name: "SLO attainment", Bench: "slo-attainment", Better: Higher, Format: Percent,
		Means: "share of the requests sent that kept every limit of GOODPUT",
		Of:    goodput(func(g *stats.Goodput) float64 { return g.Attainment }), Outputs: Terminal | Report},
}

// summary takes a figure from a result's performance, where it has one.
func summary(of func(*stats.Summary) *float64) func(*batch.Result) *float64 {
	return func(r *batch.Result) *float64 {
		if r.Performance == nil {
			return nil
		}
		return of(r.Performance)
	}
}

// itlPerToken takes a figure of the gaps a token, which there are only where
// chunks carry several tokens.
func itlPerToken(of func(*stats.Dist) *float64) func(*batch.Result) *float64 {
	return summary(func(s *stats.Summary) *float64 {
		if s.ITLPerToken == nil {
			return nil
		}
		return of(s.ITLPerToken)
	})
}

// speculation takes a figure of what was guessed ahead, where anything was.
func speculation(of func(*stats.Speculation) *float64) func(*batch.Result) *float64 {
	return summary(func(s *stats.Summary) *float64 {
		if s.Speculation == nil {
			return nil
		}
		return of(s.Speculation)
	})
}

// sessions takes a figure of a run whose requests are turns of sessions.
func sessions(of func(*stats.Sessions) *float64) func(*batch.Result) *float64 {
	return summary(func(s *stats.Summary) *float64 {
		if s.Sessions == nil {
			return nil
		}
		return of(s.Sessions)
	})
}

// whole prints a count.
func whole(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

// counted takes a count of such a run; there 0 is a measurement.
func counted(of func(*stats.Sessions) int) func(*batch.Result) *float64 {
	return sessions(func(s *stats.Sessions) *float64 {
		v := float64(of(s))
		return &v
	})
}

// threePlaces prints what is below 1 with three places: energy is not known better.
func threePlaces(v float64) string {
	if v < 1 && v >= 0.01 {
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
	return Digits(v)
}

// energy takes a figure of the power that was measured.
func energy(of func(*stats.Power) *float64) func(*batch.Result) *float64 {
	return summary(func(s *stats.Summary) *float64 {
		if s.Power == nil {
			return nil
		}
		return of(s.Power)
	})
}

// rate takes a rate from a summary: 0 is of a run in which nothing succeeded,
// or of another tool's file that does not tell it.
func rate(of func(*stats.Summary) *float64) func(*batch.Result) *float64 {
	return summary(func(s *stats.Summary) *float64 {
		if v := of(s); v != nil && *v > 0 {
			return v
		}
		return nil
	})
}

// goodput takes a figure of a run that had an SLO; there 0 is a measurement.
func goodput(of func(*stats.Goodput) float64) func(*batch.Result) *float64 {
	return summary(func(s *stats.Summary) *float64 {
		if s.Goodput == nil {
			return nil
		}
		v := of(s.Goodput)
		return &v
	})
}

func quantile(of func(stats.Timing) time.Duration, q float64) *Sample {
	return &Sample{Of: func(t stats.Timing) float64 { return of(t).Seconds() * 1e3 }, Quantile: q}
}

// secondsPerToken is a request's time a token, the time to the first one in it.
func secondsPerToken(t stats.Timing) float64 {
	if t.OutputTokens == 0 {
		return 0
	}
	return t.E2EL().Seconds() / float64(t.OutputTokens)
}

// throughput is tokens over the run's length, and a sample of requests has no
// length of its own. By Little's law tokens/length = tokens per second of
// request × requests in flight; the latter is the load's, so the former carries
// the noise.
var throughput = &Sample{
	Of:  func(t stats.Timing) float64 { return float64(t.InputTokens + t.OutputTokens) },
	Per: func(t stats.Timing) float64 { return t.E2EL().Seconds() },
}

var meanGap = &Sample{
	Of:  func(t stats.Timing) float64 { return (t.Last - t.First).Seconds() * 1e3 },
	Per: func(t stats.Timing) float64 { return float64(max(0, t.Chunks-1)) },
}

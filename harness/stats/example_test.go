package stats_test

import (
	"fmt"
	"log"
	"time"

	"inferbench/harness/stats"
)

// The figures of a run are taken from what the client saw of each request.
func ExampleSummarize() {
	const ms = time.Millisecond
	timings := []stats.Timing{
		{Sent: 0, First: 50 * ms, Last: 250 * ms, InputTokens: 100, OutputTokens: 21},
		{Sent: 0, First: 70 * ms, Last: 310 * ms, InputTokens: 100, OutputTokens: 21},
		{Sent: 250 * ms, Err: "HTTP 503: overloaded"}, // a request that failed has no latency
	}
	s := stats.Summarize(timings, 400*ms, 8)
	fmt.Printf("%d succeeded, %d failed\n", s.Successful, s.Failed)
	fmt.Printf("%.1f tok/s/GPU\n", *s.TputPerGPU)
	fmt.Printf("TTFT p50 %.0f ms, TPOT p50 %.0f ms, E2EL max %.0f ms\n", *s.TTFT.Median, *s.TPOT.Median, *s.E2EL.Max)
	// Output:
	// 2 succeeded, 1 failed
	// 75.6 tok/s/GPU
	// TTFT p50 60 ms, TPOT p50 11 ms, E2EL max 310 ms
}

// With service levels, a summary also tells how much of the load kept them.
func ExampleRun_Summary() {
	slo, err := stats.ParseSLO("ttft:60 tpot:50")
	if err != nil {
		log.Fatal(err)
	}
	const ms = time.Millisecond
	run := stats.Run{Duration: time.Second, GPUs: 1, SLO: slo, Timings: []stats.Timing{
		{First: 50 * ms, Last: 250 * ms, OutputTokens: 21},
		{First: 70 * ms, Last: 310 * ms, OutputTokens: 21},
	}}
	s := run.Summary()
	fmt.Printf("%g good requests a second, %g %% of all\n", s.Goodput.Request, 100*s.Goodput.Attainment)
	// Output: 1 good requests a second, 50 % of all
}

// Percentiles are numpy's default: linear interpolation.
func ExamplePercentile() {
	fmt.Println(stats.Percentile([]float64{10, 20, 30, 40, 50}, 90))
	// Output: 46
}

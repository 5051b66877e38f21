package figures_test

import (
	"fmt"
	"log"

	"inferbench/harness/batch"
	"inferbench/harness/figures"
)

// A program that shows figures ranges over the table and need not know any.
func ExampleMeasured() {
	r, err := batch.ReadResult("testdata/result.json")
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range figures.Measured(r) {
		if f.In(figures.Compare) {
			fmt.Printf("%s: %s (%s is better)\n", f.Label(), f.PrintUnit(&f.Value), f.Better)
		}
	}
	// Output:
	// tok/s/GPU: 900.4 (higher is better)
	// TTFT p50: 23.25 ms (lower is better)
	// TTFT p99: 29.81 ms (lower is better)
	// TPOT p50: 2.567 ms (lower is better)
	// TPOT p99: 3.241 ms (lower is better)
	// E2EL p50: 103.0 ms (lower is better)
	// E2EL p99: 129.4 ms (lower is better)
}

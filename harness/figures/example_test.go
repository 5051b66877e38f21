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
			fmt.Printf("%s: %s (%s is better)\n", f.LabelUnit(), f.Print(&f.Value), f.Better)
		}
	}
	// Output:
	// tok/s/GPU: 900.4 (higher is better)
	// TTFT p50 (ms): 23.25 (lower is better)
	// TTFT p99 (ms): 29.81 (lower is better)
	// TPOT p50 (ms): 2.567 (lower is better)
	// TPOT p99 (ms): 3.241 (lower is better)
	// E2EL p50 (ms): 103.0 (lower is better)
	// E2EL p99 (ms): 129.4 (lower is better)
}

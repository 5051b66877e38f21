package compare_test

import (
	"fmt"
	"log"

	"inferbench/harness/batch"
	"inferbench/harness/compare"
)

// Two batches of one workload are laid side by side; a verdict is given where
// the difference is more than chance.
func ExampleFolders() {
	before, err := batch.OpenAll("testdata/before")
	if err != nil {
		log.Fatal(err)
	}
	after, err := batch.OpenAll("testdata/after")
	if err != nil {
		log.Fatal(err)
	}
	c, err := compare.Folders(before, after, compare.Options{Confidence: 0.95})
	if err != nil {
		log.Fatal(err)
	}
	for _, cell := range c.Cells {
		fmt.Println(cell.Name)
		for _, f := range cell.Figures {
			if f.Verdict != compare.Untested {
				fmt.Printf("%s: %.2f times, %s\n", f.Key, f.Ratio, f.Verdict)
			}
		}
	}
	for _, r := range c.Check(0.03).Regressions {
		fmt.Println("REGRESSION", r)
	}
	// Output:
	// isl=64/osl=32/conc=8
	// tput_per_gpu: 0.87 times, worse
	// median_ttft_ms: 1.14 times, worse
	// median_tpot_ms: 1.16 times, worse
	// median_e2el_ms: 1.15 times, worse
	// REGRESSION isl=64/osl=32/conc=8: tok/s/GPU is 13.1 % worse (allowed: 3 %)
	// REGRESSION isl=64/osl=32/conc=8: TTFT p50 is 14.5 % worse (allowed: 3 %)
	// REGRESSION isl=64/osl=32/conc=8: TPOT p50 is 15.7 % worse (allowed: 3 %)
	// REGRESSION isl=64/osl=32/conc=8: E2EL p50 is 15.5 % worse (allowed: 3 %)
}

package baselines_test

import (
	"fmt"
	"log"

	"inferbench/baselines"
)

// A cell's figures are laid beside the hardware baseline's, and what was unequal
// in how they were measured is told.
func ExampleHardware_Compare() {
	b200, err := baselines.LoadHardware(baselines.DefaultHardware)
	if err != nil {
		log.Fatal(err)
	}
	c := b200.Compare(baselines.Run{
		ISL: 1024, OSL: 1024, Conc: 4, RandomRangeRatio: 1, GPUs: 8,
		MedianE2E: 10281, TputPerGPU: 157.7, // as measured
	})
	fmt.Printf("tok/s/GPU: %.2f of %s's\n", *c.TputRatio, c.Hardware)
	fmt.Printf("E2EL p50: %.2f of it\n", *c.E2ERatio)
	fmt.Println(c.Differences)
	// Output:
	// tok/s/GPU: 1.20 of NVIDIA B200's
	// E2EL p50: 1.50 of it
	// [RANDOM_RANGE_RATIO is 1, the baseline's is 0.8]
}

package batch_test

import (
	"fmt"
	"log"
	"os"
	"time"

	"inferbench/harness/batch"
	"inferbench/harness/matrix"
	"inferbench/harness/stats"
)

// A batch is written as its cells end, and read back whole at any time.
func Example() {
	root, err := os.MkdirTemp("", "results")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(root)

	lengths := matrix.Combination{ISL: 1024, OSL: 1024}
	cells := []matrix.Cell{{Combination: lengths, Conc: 4, NumPrompts: 200}, {Combination: lengths, Conc: 8, NumPrompts: 400}}
	b, err := batch.Create(root, batch.Header{Combination: lengths, Mode: "perf", Time: time.Now(), Cells: cells})
	if err != nil {
		log.Fatal(err)
	}
	r := batch.Result{Status: batch.Passed, Performance: &stats.Summary{Successful: 200, TputPerGPU: new(131.4)},
		Args: batch.Args{Model: "m", RandomInputLen: 1024, RandomOutputLen: 1024, MaxConcurrency: 4, NumPrompts: 200}}
	if err := b.WriteResult("", cells[0], r); err != nil {
		log.Fatal(err)
	}
	if err := b.Record(cells[0], r.Status, 180*time.Second); err != nil {
		log.Fatal(err)
	}
	if err := b.Close(); err != nil {
		log.Fatal(err)
	}

	folder, err := batch.Open(b.Dir)
	if err != nil {
		log.Fatal(err)
	}
	for _, c := range folder.Cells {
		fmt.Println(c.Name(), c.Status, c.Took)
		if c.Result != nil {
			fmt.Println(*c.Result.Performance.TputPerGPU, "tok/s/GPU")
		}
	}
	// Output:
	// isl=1024/osl=1024/conc=4 PASSED 3m0s
	// 131.4 tok/s/GPU
	// isl=1024/osl=1024/conc=8 INCOMPLETE 0s
}

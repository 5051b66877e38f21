// Command export writes batches as one CSV table, a row a cell, to standard
// output.
//
//	export BATCH ... > cells.csv
package main

import (
	"fmt"
	"os"

	"inferbench/harness/batch"
	"inferbench/harness/exchange"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "export:", err)
		os.Exit(1)
	}
}

func run(dirs []string) error {
	if len(dirs) == 0 {
		return fmt.Errorf("want a batch folder, as in make csv BATCH=batch_…")
	}
	var folders []*batch.Folder
	for _, d := range dirs {
		f, err := batch.Open(d)
		if err != nil {
			return err
		}
		folders = append(folders, f)
	}
	return exchange.WriteCSV(os.Stdout, folders)
}

// Command export writes batches as one CSV table, a row a cell, to standard
// output.
//
//	export BATCH ... > cells.csv
package main

import (
	"flag"
	"fmt"
	"os"

	"inferbench/harness/batch"
	"inferbench/harness/convert"
)

func main() {
	flag.Usage = func() { fmt.Fprintln(os.Stderr, "usage: export BATCH ... > cells.csv") }
	flag.Parse()
	if err := run(flag.Args()); err != nil {
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
	return convert.WriteCSV(os.Stdout, folders)
}

// Command settings prints the suite's settings: as a table for a person, or
// with -example as the text of .env.example.
package main

import (
	"flag"
	"fmt"
	"os"

	"inferbench/harness/settings"
)

func main() {
	example := flag.Bool("example", false, "print .env.example instead of the table")
	flag.Parse()
	write := settings.WriteHelp
	if *example {
		write = settings.WriteExample
	}
	if err := write(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "settings:", err)
		os.Exit(1)
	}
}

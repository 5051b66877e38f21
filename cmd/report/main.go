// Command report makes report.html and summary.md of batch folders anew, as a
// sweep does at its end: after a kill, or with another price or power.
//
//	report [-gpu-hour-usd 2.50] [-gpu-watts 1000] BATCH ...
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"inferbench/harness/report"
	"inferbench/harness/settings"
)

func main() {
	settings.Register(flag.CommandLine)
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: report [-gpu-hour-usd 2.50] [-gpu-watts 1000] BATCH ...")
	}
	flag.Parse()
	if err := run(flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(dirs []string) error {
	set, err := settings.Load(flag.CommandLine, os.Environ(), ".env")
	if err != nil {
		return err
	}
	if len(dirs) == 0 {
		return errors.New("want a batch folder, as in make report BATCH=batch_…")
	}
	for _, dir := range dirs {
		if err := report.Write(dir, report.Options{GPUHourUSD: set.Results.GPUHourUSD, GPUWatts: set.Results.GPUWatts}); err != nil {
			return err
		}
		fmt.Println(filepath.Join(dir, report.HTMLName))
		fmt.Println(filepath.Join(dir, report.MarkdownName))
	}
	return nil
}

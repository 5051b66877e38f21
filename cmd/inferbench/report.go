package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"inferbench/harness/report"
	"inferbench/harness/settings"
)

func reportCommand() *cobra.Command {
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	settings.Register(flags)
	c := &cobra.Command{
		Use: "report BATCH ...", Short: "Make report.html and summary.md of batches anew",
		Long: `Report makes report.html and summary.md of batch folders anew, as a sweep does
at its end: after a kill, or with another price or power.`,
		Example: `  inferbench report batch_isl1024_osl1024_20251125_150000
  inferbench report -gpu-hour-usd 2.50 -gpu-watts 1000 batch_isl1024_osl1024_*`,
		Args: want(1, -1, "a batch folder, as in make report BATCH=batch_…"),
		RunE: func(c *cobra.Command, dirs []string) error {
			for _, name := range []string{"gpu-hour-usd", "gpu-watts"} {
				if f := c.Flags().Lookup(name); f.Changed {
					if err := flags.Set(name, f.Value.String()); err != nil {
						return err
					}
				}
			}
			set, err := settings.Load(flags, os.Environ(), ".env")
			if err != nil {
				return err
			}
			for _, dir := range dirs {
				if err := report.Write(dir, report.Options{GPUHourUSD: set.Results.GPUHourUSD,
					GPUWatts: set.Results.GPUWatts}); err != nil {
					return err
				}
				fmt.Fprintln(c.OutOrStdout(), filepath.Join(dir, report.HTMLName))
				fmt.Fprintln(c.OutOrStdout(), filepath.Join(dir, report.MarkdownName))
			}
			return nil
		},
	}
	for _, name := range []string{"gpu-hour-usd", "gpu-watts"} {
		c.Flags().String(name, "", flags.Lookup(name).Usage)
	}
	return c
}

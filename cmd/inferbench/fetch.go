package main

import (
	"flag"
	"os"

	"github.com/spf13/cobra"

	"inferbench/harness/accuracy"
	"inferbench/harness/settings"
	"inferbench/harness/sweep"
)

func fetchCommand() *cobra.Command {
	flags := flag.NewFlagSet("fetch", flag.ContinueOnError)
	settings.Register(flags)
	names := []string{"cache-dir", "data-mirror", "hf-endpoint"}
	c := &cobra.Command{
		Use: "fetch", Short: "Bring the public data files that accuracy needs into CACHE_DIR",
		Long: `Fetch brings the public texts and questions that accuracy is measured on into
CACHE_DIR, and checks them. Carry that folder to a machine without network and
set CACHE_DIR there.`,
		Example: `  inferbench fetch -cache-dir data`,
		Args:    want(0, 0, "no words: flags only"),
		RunE: func(c *cobra.Command, _ []string) error {
			for _, name := range names {
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
			return accuracy.Fetch(c.Context(), c.OutOrStdout(), sweep.Cache(set.Accuracy.Fetch))
		},
	}
	for _, name := range names {
		c.Flags().String(name, "", flags.Lookup(name).Usage)
	}
	return c
}

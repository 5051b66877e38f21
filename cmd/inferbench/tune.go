package main

import (
	"os"

	"github.com/spf13/cobra"

	"inferbench/harness/suite"
	"inferbench/harness/supervise"
)

func tuneCommand() *cobra.Command {
	var o suite.TuneOptions
	c := &cobra.Command{
		Use: "tune [RECIPE.yaml]", Short: "Try many server commands, and say which is best",
		Long: `Tune starts each server command of a recipe, waits for it, measures it as run
does, and ends it with all that it started, also what forked away and also where
tune itself is killed. It ends with the Pareto fronts, the best command for
latency, throughput and SLO, and what failed with the end of its log. A recipe
that was interrupted goes on with -resume. The exit code is 0 when every command
passed, 1 when one did not, 2 when nothing could be run. See docs/tune.md.`,
		Example: `  inferbench tune tune.yaml
  inferbench tune -resume tune_vllm_20251125_150000
  inferbench tune -resume tune_vllm_20251125_150000 -failed     once more what FAILED`,
		Args: want(0, 1, "one recipe, as in make tune RECIPE=tune.yaml"),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.Recipe = args[0]
			}
			if code := suite.Tune(o, c.OutOrStdout()); code != 0 {
				return exit(code)
			}
			return nil
		},
	}
	c.Flags().StringVar(&o.Resume, "resume", "", "folder of a recipe to go on with")
	c.Flags().BoolVar(&o.Failed, "failed", false, "with -resume: try again what FAILED")
	return c
}

// keepCommand is the process that ends a server when tune has ended.
func keepCommand() *cobra.Command {
	return &cobra.Command{Use: supervise.Word, Hidden: true, DisableFlagParsing: true,
		Run: func(_ *cobra.Command, args []string) { os.Exit(supervise.Keep(args)) }}
}

package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"inferbench/harness/convert"
	"inferbench/harness/settings"
)

func importCommand() *cobra.Command {
	var h convert.Hints
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	settings.Register(flags)
	var out string
	c := &cobra.Command{
		Use: "import FILE ...", Short: "Make batch folders of other tools' result files",
		Long: `Import reads result files of vLLM's "bench serve --save-result", SGLang's
"bench_serving --output-file", InferenceX (InferenceMAX), GuideLLM and AIPerf,
and writes them as batch folders, to compare with and to make baselines of. Runs
of another model, hardware or way of serving make folders of their own, as does
each further run of the same cell.`,
		Example: `  inferbench import -isl 1024 -osl 1024 -tp 8 result.json
  inferbench import -tp 8 benchmarks.json profile_export_aiperf.json`,
		Args: want(1, -1, "a result file, as in make import FILE=result.json ISL=1024 OSL=1024 TP=8"),
		RunE: func(c *cobra.Command, files []string) error {
			if out == "" {
				set, err := settings.Load(flags, os.Environ(), ".env")
				if err != nil {
					return err
				}
				out = set.Results.Dir
			}
			var runs []convert.Imported
			for _, f := range files {
				r, skipped, err := convert.Read(f, h)
				if err != nil {
					return err
				}
				if len(skipped) > 0 {
					fmt.Fprintf(c.ErrOrStderr(), "%s: %d of %d rows skipped: %s\n", f, len(skipped), len(r)+len(skipped),
						convert.Reasons(skipped))
				}
				runs = append(runs, r...)
			}
			dirs, err := convert.Write(out, runs)
			for _, d := range dirs {
				fmt.Fprintln(c.OutOrStdout(), d)
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&h.Model, "model", "", "model, where the file does not name it or names it otherwise than your server")
	f.StringVar(&h.Dataset, "dataset", "", "data set, likewise: random for prompts of random tokens")
	f.IntVar(&h.ISL, "isl", 0, "input tokens asked for, where the file does not tell")
	f.IntVar(&h.OSL, "osl", 0, "output tokens asked for, likewise")
	f.IntVar(&h.Conc, "conc", 0, "requests in flight, likewise")
	f.IntVar(&h.TP, "tp", 0, "GPUs that throughput is divided by, likewise")
	f.Float64Var(&h.RangeRatio, "random-range-ratio", 0, "lengths were uniform in [ratio·L, L], likewise (1: fixed)")
	f.StringVar(&out, "out", "", "folder in which the batch folders are made; none is RESULTS_DIR")
	return c
}

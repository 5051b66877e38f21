package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"inferbench/harness/convert"
)

func importCommand() *cobra.Command {
	var h convert.Hints
	var out string
	c := &cobra.Command{
		Use: "import FILE ...", Short: "Make batch folders of other tools' result files",
		Long: `Import reads result files of vLLM's "bench serve --save-result", SGLang's
"bench_serving --output-file", InferenceMAX and InferenceX, and writes them as
batch folders, to compare with and to make baselines of.`,
		Example: `  inferbench import -isl 1024 -osl 1024 -tp 8 result.json`,
		Args:    want(1, -1, "a result file, as in make import FILE=result.json ISL=1024 OSL=1024 TP=8"),
		RunE: func(c *cobra.Command, files []string) error {
			var runs []convert.Imported
			for _, f := range files {
				r, err := convert.Read(f, h)
				if err != nil {
					return err
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
	f.IntVar(&h.ISL, "isl", 0, "input tokens asked for, where the file does not tell")
	f.IntVar(&h.OSL, "osl", 0, "output tokens asked for, likewise")
	f.IntVar(&h.TP, "tp", 0, "GPUs that throughput is divided by, likewise")
	f.Float64Var(&h.RangeRatio, "random-range-ratio", 0, "lengths were uniform in [ratio·L, L], likewise (1: fixed)")
	f.StringVar(&out, "out", ".", "folder in which the batch folders are made")
	return c
}

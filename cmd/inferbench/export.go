package main

import (
	"github.com/spf13/cobra"

	"inferbench/harness/batch"
	"inferbench/harness/convert"
)

func exportCommand() *cobra.Command {
	return &cobra.Command{
		Use: "export BATCH ...", Short: "Write batches as one CSV table to standard output, a row a cell",
		Example: `  inferbench export batch_isl1024_osl1024_* > cells.csv`,
		Args:    want(1, -1, "a batch folder, as in make csv BATCH=batch_…"),
		RunE: func(c *cobra.Command, dirs []string) error {
			var folders []*batch.Folder
			for _, d := range dirs {
				f, err := batch.Open(d)
				if err != nil {
					return err
				}
				folders = append(folders, f)
			}
			return convert.WriteCSV(c.OutOrStdout(), folders)
		},
	}
}

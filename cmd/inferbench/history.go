package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"inferbench/harness/hint"
	"inferbench/harness/history"
	"inferbench/harness/settings"
)

func historyCommand() *cobra.Command {
	last := 30
	c := &cobra.Command{
		Use: "history [FOLDER|FILE ...]", Short: "Lay all batches side by side: a table, and one page",
		Long: `History reads all batches below folders, RESULTS_DIR unless some are given, and
rows of other tools' files, as make import takes them, and shows what was measured
when, with which flags, against the baseline and the batch before, and what was
best so far. All curves, with filters, are in history.html in the first folder.
What cannot be read is skipped and counted.`,
		Example: `  inferbench history
  inferbench history results /mnt/others/results inferencex-rows.json`,
		RunE: func(c *cobra.Command, paths []string) error {
			if len(paths) == 0 {
				flags := flag.NewFlagSet("history", flag.ContinueOnError)
				settings.Register(flags)
				set, err := settings.Load(flags, os.Environ(), ".env")
				if err != nil {
					return err
				}
				paths = []string{set.Results.Dir}
			}
			h, err := history.Read(paths)
			if err != nil {
				return err
			}
			width := 80
			if columns, _, err := term.GetSize(int(os.Stdout.Fd())); err == nil && columns > 0 {
				width = columns
			}
			if err := h.WriteTable(c.OutOrStdout(), width, last); err != nil {
				return err
			}
			return writeHistory(c, h, paths[0])
		},
	}
	c.Flags().IntVar(&last, "last", last, "how many batches the table shows; 0 for all")
	return c
}

// writeHistory writes the page into the first folder; beside the first file, where
// that is one.
func writeHistory(c *cobra.Command, h *history.History, first string) error {
	if info, err := os.Stat(first); err == nil && !info.IsDir() {
		first = filepath.Dir(first)
	}
	page, err := h.HTML()
	if err != nil {
		return err
	}
	name := filepath.Join(first, history.HTMLName)
	if err := renameio.WriteFile(name, page, 0o644); err != nil {
		return hint.Folder(fmt.Errorf("write %s: %w", name, err), "RESULTS_DIR")
	}
	fmt.Fprintf(c.OutOrStdout(), "\n%s has all curves, with filters.\n", name)
	return nil
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"inferbench/harness/batch"
	"inferbench/harness/compare"
)

// comparison is what compare was asked for besides the two sides.
type comparison struct {
	regress    string
	confidence float64
	json       bool
}

func compareCommand() *cobra.Command {
	var o comparison
	c := &cobra.Command{
		Use: "compare A B", Short: "Lay two batches side by side: ratios, their intervals, verdicts",
		Long: `Compare lays two batches side by side: per cell the ratio of each figure, its
interval, and a verdict where the difference is significant. A and B are batch
folders, or several of a side with commas between (repeated passes of one
sweep). The exit code is for CI: 0 when nothing is worse, 1 when a figure is
significantly worse by more than -max-regress, 2 when something could not be
compared.`,
		Example: `  inferbench compare batch_before batch_after
  inferbench compare -max-regress 3% a1,a2,a3 b1,b2,b3`,
		Args: want(2, 2, "two batch folders, as in make compare A=batch_… B=batch_…"),
		RunE: func(c *cobra.Command, args []string) error {
			code, err := o.run(c.OutOrStdout(), args[0], args[1])
			switch {
			case err != nil:
				return couldNot{err, 2}
			case code != 0:
				return exit(code)
			}
			return nil
		},
	}
	c.Flags().StringVar(&o.regress, "max-regress", "", "exit 1 when a figure is worse by more than this, as 3%; "+
		"empty only reports")
	c.Flags().Float64Var(&o.confidence, "confidence", 0.95, "of all intervals together")
	c.Flags().BoolVar(&o.json, "json", false, "write JSON instead of a table")
	return c
}

// run returns the exit code where there is no error.
func (o comparison) run(w io.Writer, sideA, sideB string) (int, error) {
	if !(o.confidence > 0.5 && o.confidence < 1) {
		return 0, fmt.Errorf("-confidence %g: want between 0.5 and 1, as 0.95", o.confidence)
	}
	limit, err := percent(o.regress)
	if err != nil {
		return 0, fmt.Errorf("-max-regress %q: %w", o.regress, err)
	}
	a, err := batch.OpenAll(sideA)
	if err != nil {
		return 0, err
	}
	b, err := batch.OpenAll(sideB)
	if err != nil {
		return 0, err
	}
	c, err := compare.Folders(a, b, compare.Options{Confidence: o.confidence})
	if err != nil {
		return 0, err
	}
	if o.json {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		err = enc.Encode(c)
	} else {
		err = c.WriteText(w)
	}
	if err != nil || o.regress == "" {
		return 0, err
	}
	return gate(c, limit), nil
}

// gate says on standard error what is worse by more than limit, and what could
// not be compared, and returns the exit code.
func gate(c *compare.Comparison, limit float64) int {
	g := c.Check(limit)
	for _, r := range g.Regressions {
		fmt.Fprintln(os.Stderr, "REGRESSION", r)
	}
	for _, n := range g.NotCompared {
		fmt.Fprintln(os.Stderr, "NOT COMPARED", n)
	}
	switch {
	case len(g.Regressions) > 0:
		return 1
	case len(g.NotCompared) > 0:
		return 2
	}
	return 0
}

// percent reads 3% or 0.03.
func percent(s string) (float64, error) {
	if s == "" {
		return 0, nil
	}
	number, isPercent := strings.CutSuffix(s, "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if isPercent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v < 1) {
		return 0, fmt.Errorf("want a share such as 3%% or 0.03")
	}
	return v, nil
}

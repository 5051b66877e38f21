// Command compare lays two batches side by side: per cell the ratio of each
// figure, its interval, and a verdict where the difference is significant.
//
//	compare [flags] A B
//
// A and B are batch folders, or several of them with commas between (repeated
// passes of one sweep). The exit code is for CI: 0 when nothing is worse, 1
// when a figure is significantly worse by more than -max-regress, 2 when
// something could not be compared.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"inferbench/harness/batch"
	"inferbench/harness/compare"
)

func main() {
	regress := flag.String("max-regress", "", "exit 1 when a figure is worse by more than this, as 3%; empty only reports")
	confidence := flag.Float64("confidence", 0.95, "of all intervals together")
	asJSON := flag.Bool("json", false, "write JSON instead of a table")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: compare [flags] A B\nA and B: batch folders, several of a side with commas between")
		flag.PrintDefaults()
	}
	flag.Parse()
	code, err := run(flag.Args(), *regress, *confidence, *asJSON)
	if err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		code = 2
	}
	os.Exit(code)
}

func run(args []string, regress string, confidence float64, asJSON bool) (int, error) {
	if len(args) > 2 && strings.HasPrefix(args[2], "-") {
		return 2, fmt.Errorf("%s: flags go before the two batch folders", args[2])
	}
	if len(args) != 2 || args[0] == "" || args[1] == "" {
		return 2, fmt.Errorf("want two batch folders, as in make compare A=batch_… B=batch_…")
	}
	if !(confidence > 0.5 && confidence < 1) {
		return 2, fmt.Errorf("-confidence %g: want between 0.5 and 1, as 0.95", confidence)
	}
	limit, err := percent(regress)
	if err != nil {
		return 2, fmt.Errorf("-max-regress %q: %w", regress, err)
	}
	a, err := batch.OpenAll(args[0])
	if err != nil {
		return 2, err
	}
	b, err := batch.OpenAll(args[1])
	if err != nil {
		return 2, err
	}
	c, err := compare.Folders(a, b, compare.Options{Confidence: confidence})
	if err != nil {
		return 2, err
	}
	if asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		err = enc.Encode(c)
	} else {
		err = c.WriteText(os.Stdout)
	}
	if err != nil || regress == "" {
		return 0, err
	}
	gate := c.Check(limit)
	for _, r := range gate.Regressions {
		fmt.Fprintln(os.Stderr, "REGRESSION", r)
	}
	for _, n := range gate.NotCompared {
		fmt.Fprintln(os.Stderr, "NOT COMPARED", n)
	}
	switch {
	case len(gate.Regressions) > 0:
		return 1, nil
	case len(gate.NotCompared) > 0:
		return 2, nil
	}
	return 0, nil
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
